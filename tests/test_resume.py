"""A run that is killed goes on, whenever and whatever was killed, and ends as one that was not."""

import os
import random
import shutil
import signal
import time

import pytest
from equal_runs import assert_equal_runs, files_of
from forking_cli import ForkingCli, children_of, is_running, needs_proc, wait_for
from lively_factory import DELAY, write_images

from maskcorrect_plugin import RunFolder

COMMAND = (
    *("evaluate", "data", "-m", "lively_factory:network", "--method", "CAM", "--method", "control:hflip", "-k", "3"),
    *("--images-per-part", "5", "--keep-maps", "--thumbnails", "9", "--quiet"),
)
PARTS = 6


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    write_images(folder / "data")
    cli = ForkingCli(folder)
    yield cli
    cli.close()


@pytest.fixture(scope="module")
def steps(cli):
    """The steps of a run that nobody disturbs; it stays in the folder ``reference``."""
    return cli.steps(*COMMAND, "-o", "reference")


@pytest.fixture
def run(cli, steps):
    """Where a run goes that is to be killed."""
    yield cli.folder / "run"
    shutil.rmtree(cli.folder / "run", ignore_errors=True)


def start(cli, run, *more, **options):
    return cli.start(*COMMAND, "-o", run, *more, **options)


def assert_resumed(cli, run, *more):
    """The same command goes on, to the same end as without any kill."""
    code, output = cli.run(*COMMAND, "-o", run, *more)
    assert code == 0, output
    assert_equal_runs(run, cli.folder / "reference")


def assert_whole(run):
    """Every part that is there can be read."""
    if (run / "run.json").exists():
        folder = RunFolder.open(run)
        for method in folder.methods:
            if folder.done(method):
                assert len(folder.records(method)) == 5 * len(folder.done(method))
                folder.maps(method), folder.thumbnails(method)


def crash(cli, run, steps, number):
    """A run that kills itself at a step."""
    running = start(cli, run, crash_at=number)
    assert running.wait() == -signal.SIGKILL, (steps[number - 1], running.output)
    assert_whole(run)


def step_of(steps, moment, *parts):
    """Number of the first step of a kind whose path has these parts in it."""
    return next(
        number for number, (kind, path) in enumerate(steps, 1) if kind == moment and all(part in path for part in parts)
    )


# --- at every step by which files come to be --------------------------------------------------------------------------


def test_a_run_has_many_moments_to_be_killed_at(steps):
    moments = {moment for moment, _ in steps}
    assert {"half-written", "before replace", "after replace", "before link", "after link"} <= moments
    assert len(steps) > 2 * 3 * PARTS * 2


@pytest.mark.parametrize("start_at", [1, 5, 11])
def test_killed_here_and_there(cli, run, steps, start_at):
    for number in range(start_at, len(steps), len(steps) // 5):
        crash(cli, run, steps, number)
        assert_resumed(cli, run)
        shutil.rmtree(run)


@pytest.mark.slow
def test_killed_at_every_single_step(cli, run, steps):
    print(f"killed at each of {len(steps)} steps")  # pytest -s
    for number in range(1, len(steps) + 1):
        crash(cli, run, steps, number)
        assert_resumed(cli, run)
        shutil.rmtree(run)


@pytest.mark.parametrize("every", [45, 70])
def test_killed_again_and_again_until_it_is_done(cli, run, steps, every):
    kills = 0
    while start(cli, run, crash_at=every).wait() != 0:
        assert_whole(run)
        kills += 1
    assert kills >= 5
    assert_equal_runs(run, cli.folder / "reference")


def test_killed_before_the_description_of_the_run_is_there(cli, run, steps):
    crash(cli, run, steps, step_of(steps, "before link", "run.json"))
    (left,) = files_of(run)
    assert left.startswith(".writing-")
    assert_resumed(cli, run)


def test_killed_in_the_middle_of_writing_a_part(cli, run, steps):
    crash(cli, run, steps, step_of(steps, "half-written", "records/control.hflip"))
    assert sum(".writing-" in name for name in files_of(run)) == 1
    assert not list((run / "records" / "control.hflip").glob("part-*"))
    assert_resumed(cli, run)


def test_killed_between_maps_and_records(cli, run, steps):
    crash(cli, run, steps, step_of(steps, "after replace", "maps/CAM/part-00002"))
    names = files_of(run)
    assert "maps/CAM/part-00002.parquet" in names and "records/CAM/part-00002.parquet" not in names
    assert_resumed(cli, run)


def test_killed_between_the_last_part_and_the_summary(cli, run, steps):
    crash(cli, run, steps, step_of(steps, "before link", "summary.json"))
    assert RunFolder.open(run).complete and not (run / "summary.json").exists()
    assert_resumed(cli, run)


# --- from outside, at any time ----------------------------------------------------------------------------------------


def kill_at_random(cli, run, seed, workers=(None,), attempts=60, delay=3):
    """Kills one run after another at a random moment until one ends by itself; gives the number of kills.

    With more of a delay (ms in each forward) a run takes longer, and is killed more often until it is done.
    """
    chance = random.Random(seed)
    for kills in range(attempts):
        running = [
            start(cli, run, *(("--worker", worker) if worker else ()), **{DELAY: str(delay)})
            for worker in chance.choice(workers if isinstance(workers[0], tuple) else (workers,))
        ]
        time.sleep(chance.uniform(0, 2.5))
        codes = [each.kill() for each in running]
        if (run / "run.json").exists() and RunFolder.open(run).complete:
            return kills + 1
        assert_whole(run)
        assert set(codes) <= {0, -signal.SIGKILL}, [each.output for each in running]
    raise AssertionError(f"not done after {attempts} kills")


NUMBERS_OF_WORKERS = ((None,), ("0/2", "1/2"), ("0/3", "1/3", "2/3"), ("1/2",))


def test_killed_at_random(cli, run, steps):
    kill_at_random(cli, run, seed=0)
    assert_resumed(cli, run)


def test_killed_at_random_with_another_number_of_workers_each_time(cli, run, steps):
    kill_at_random(cli, run, 1, NUMBERS_OF_WORKERS)
    assert_resumed(cli, run)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_killed_at_random_at_length(cli, run, steps, seed):
    times = kill_at_random(cli, run, seed, NUMBERS_OF_WORKERS, delay=60)
    print(f"killed {times} times")
    assert_resumed(cli, run)


def test_one_of_two_workers_is_killed_and_the_other_one_goes_on(cli, run, steps):
    first, second = (start(cli, run, "--worker", f"{rank}/2", **{DELAY: "20"}) for rank in (0, 1))
    wait_for(lambda: list(run.glob("records/CAM/part-0000[024]*")), what="a part of the first worker")
    assert first.kill() == -signal.SIGKILL
    assert second.wait() == 0
    done = RunFolder.open(run).done("CAM")
    assert {1, 3, 5} <= set(done) and len(done) < PARTS
    assert_resumed(cli, run)


def test_while_a_worker_writes_another_one_leaves_its_file_alone(cli, run, steps):
    """The first is stopped in the middle of a part, which the second does as well; then the first goes on."""
    stopped = start(cli, run, crash_at=step_of(steps, "half-written", "records/CAM"), crash_signal=signal.SIGSTOP)
    (temporary,) = wait_for(lambda: list(run.glob("records/CAM/.writing-*")), what="half a part")
    code, output = cli.run(*COMMAND, "-o", run)
    assert code == 0 and temporary.exists(), output
    os.kill(stopped.pid, signal.SIGCONT)
    assert stopped.wait() == 0, stopped.output
    assert_equal_runs(run, cli.folder / "reference")


@needs_proc
@pytest.mark.parametrize("group", [False, True])
def test_a_run_with_processes_that_read_images_is_killed(cli, run, steps, group):
    running = start(cli, run, "--num-workers", "2", **{DELAY: "20"})
    readers = wait_for(lambda: children_of(running.pid), what="processes that read images")
    wait_for(lambda: list(run.glob("records/CAM/part-*")), what="a part")
    assert running.kill(group=group) == -signal.SIGKILL
    wait_for(lambda: not any(map(is_running, readers)), what="the end of the processes that read images")
    assert_resumed(cli, run)


@needs_proc
def test_the_death_of_a_process_that_reads_images_is_one_clear_error(cli, run, steps):
    running = start(cli, run, "--num-workers", "1", **{DELAY: "20"})
    (reader,) = wait_for(lambda: children_of(running.pid), what="a process that reads images")
    wait_for(lambda: list(run.glob("records/CAM/part-*")), what="a part")
    os.kill(reader, signal.SIGKILL)
    code = running.wait()
    if code == 0:  # it had read everything by then
        assert_equal_runs(run, cli.folder / "reference")
        return
    assert code == 2 and "a process that loads images died" in running.output, running.output
    assert "Traceback" not in running.output, running.output
    assert_resumed(cli, run)


# --- asked to stop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop_it_says_what_is_there_and_leaves_nothing_half_done(cli, run, steps, number, expected):
    running = start(cli, run, **{DELAY: "20"})
    wait_for(lambda: list(run.glob("records/CAM/part-*")), what="a part")
    assert running.kill(number) == expected
    assert "parts are done and safe in" in running.output and "the same command goes on" in running.output
    assert "Traceback" not in running.output
    assert not any(".writing-" in name for name in files_of(run))
    assert_whole(run)
    assert_resumed(cli, run)


def test_asked_to_stop_in_the_middle_of_writing_it_removes_what_it_wrote(cli, run, steps):
    number = step_of(steps, "half-written", "records/CAM")
    running = start(cli, run, crash_at=number, crash_signal=signal.SIGTERM)
    assert running.wait() == 143
    assert not any(".writing-" in name for name in files_of(run))
    assert_resumed(cli, run)
