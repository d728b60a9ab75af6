"""Several workers under torchrun and in SLURM arrays: the records of one worker, also when some of them are killed."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from equal_runs import assert_equal_runs
from forking_cli import ForkingCli, children_of, environment, is_running, needs_proc, wait_for
from lively_factory import DELAY, write_images

COMMAND = (
    *("evaluate", "data", "-m", "lively_factory:network", "--method", "CAM", "-k", "3", "--images-per-part", "3"),
    *("--keep-maps", "--thumbnails", "9"),
)
TABLE = "exact McNemar p  "


@pytest.fixture(scope="module")
def cli(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    write_images(folder / "data")
    cli = ForkingCli(folder)
    assert cli.run(*COMMAND, "-o", "reference")[0] == 0
    yield cli
    cli.close()


@pytest.fixture
def run(cli):
    yield cli.folder / "run"
    shutil.rmtree(cli.folder / "run", ignore_errors=True)


class Torchrun:
    """Two workers on one machine, in a process group of their own."""

    def __init__(self, cli, run, *options, delay=0):
        self.log = cli.folder / f"torchrun-{time.monotonic_ns()}.txt"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "-m", "maskcorrect_plugin", *COMMAND, "-o", str(run)],
                cwd=cli.folder,
                env=environment(**{DELAY: str(delay)}),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def output(self):
        return self.log.read_text()

    def wait_for_part(self, run):
        """Waits until the first part is there, and gives the process ids of the workers."""
        wait_for(lambda: list(run.glob("records/CAM/part-*")) or self.process.poll() is not None, what="a part")
        assert self.process.poll() is None, self.output
        return children_of(self.process.pid)

    def wait(self):
        return self.process.wait(180)

    def end(self):
        """Kills whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture
def torchrun(cli, run):
    started = []

    def start(*options, **arguments):
        started.append(Torchrun(cli, run, *options, **arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


def assert_resumed(cli, run):
    code, output = cli.run(*COMMAND, "-o", run)
    assert code == 0, output
    assert_equal_runs(run, cli.folder / "reference")


def test_two_workers_give_the_records_of_one_and_one_of_them_tells(cli, run, torchrun):
    both = torchrun()
    assert both.wait() == 0, both.output
    assert_equal_runs(run, cli.folder / "reference")
    output = both.output
    assert output.count(TABLE) == 1
    assert output.count("lively_factory:network on 30 images of data: CAM") == 1
    assert len(re.findall(r"worker [01] of 2 has done its share; \d+ of 10 parts", output)) <= 1


@needs_proc
def test_a_worker_that_is_killed_is_started_again_and_nothing_is_missing(cli, run, torchrun):
    both = torchrun("--max-restarts=3", delay=30)
    os.kill(both.wait_for_part(run)[1], signal.SIGKILL)
    assert both.wait() == 0, both.output
    assert "worker 0 of 2 stopped;" in both.output and "going on: " in both.output
    assert_equal_runs(run, cli.folder / "reference")


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_without_restarts_the_other_worker_stops_and_the_same_command_goes_on(cli, run, torchrun, rank):
    both = torchrun(delay=30)
    os.kill(both.wait_for_part(run)[rank], signal.SIGKILL)
    assert both.wait() == 1
    assert f"worker {1 - rank} of 2 stopped; " in both.output and both.output.count(TABLE) == 0
    assert_resumed(cli, run)


@needs_proc
@pytest.mark.slow
def test_the_launcher_is_killed_and_its_workers_meet_the_same_command(cli, run, torchrun):
    """The workers go on without their launcher, while another process does the same parts."""
    both = torchrun(delay=30)
    workers = both.wait_for_part(run)
    os.kill(both.process.pid, signal.SIGKILL)
    both.wait()
    code, output = cli.run(*COMMAND, "-o", run)
    assert code == 0, output
    wait_for(lambda: not any(map(is_running, workers)), what="the end of the workers")
    assert_equal_runs(run, cli.folder / "reference")


@needs_proc
@pytest.mark.slow
def test_everything_is_killed_and_torchrun_goes_on(cli, run, torchrun):
    for _ in range(3):
        both = torchrun(delay=30)
        before = len(list(run.glob("records/CAM/part-*")))
        wait_for(lambda before=before: len(list(run.glob("records/CAM/part-*"))) > before, what="another part")
        both.end()
    both = torchrun()
    assert both.wait() == 0, both.output
    assert_equal_runs(run, cli.folder / "reference")


def test_tasks_of_a_slurm_array_share_a_run_and_the_last_one_tells(cli, run):
    outputs = []
    for task in (4, 2, 3):
        names = zip(("ID", "MIN", "MAX", "STEP", "COUNT"), (task, 2, 4, 1, 3), strict=True)
        variables = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names}
        code, output = cli.run(*COMMAND, "-o", run, **variables)
        assert code == 0, output
        outputs.append(output)
    assert [output.count(TABLE) for output in outputs] == [0, 0, 1]
    assert "worker 2 of 3 (slurm array)" in outputs[0]
    assert "worker 2 of 3 has done its share; 3 of 10 parts of the run are in" in outputs[0]
    assert_equal_runs(run, cli.folder / "reference")


def test_a_task_that_is_submitted_again_alone_does_what_is_left(cli, run):
    assert cli.run(*COMMAND, "-o", run, "--worker", "0/3")[0] == 0
    alone = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "7"}
    assert cli.run(*COMMAND, "-o", run, **alone)[0] == 0
    assert_equal_runs(run, cli.folder / "reference")


def test_shares_by_hand_at_the_same_time(cli, run):
    running = [cli.start(*COMMAND, "-o", run, "--worker", f"{rank}/4") for rank in range(4)]
    assert [each.wait() for each in running] == [0] * 4
    assert sum(each.output.count(TABLE) for each in running) == 1
    assert_equal_runs(run, cli.folder / "reference")


def test_more_workers_than_parts_is_no_error(cli, run):
    running = [cli.start(*COMMAND, "-o", run, "--worker", f"{rank}/12") for rank in range(12)]
    assert [each.wait() for each in running] == [0] * 12
    assert_equal_runs(run, cli.folder / "reference")
    assert any(TABLE in each.output for each in running)  # also of those that begin when it is finished


def test_a_finished_run_is_told_again_by_the_first_worker_only(cli, run):
    shutil.copytree(cli.folder / "reference", run)
    outputs = [
        cli.run(*COMMAND, "-o", run, RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE="2")[1]
        for rank in range(2)
    ]
    assert [output.count(TABLE) for output in outputs] == [1, 0] and outputs[1] == ""
