"""Shares: together they are everything, once; what a launcher says is believed only where it makes sense."""

import pytest

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.worker import Worker


def torchrun(rank, size, local_rank=None, local_size=None):
    variables = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": local_rank, "LOCAL_WORLD_SIZE": local_size}
    return {name: str(value) for name, value in variables.items() if value is not None}


def array(task, first, last, step=1, count=None):
    count = (last - first) // step + 1 if count is None else count
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    values = zip(names, (task, first, last, step, count), strict=True)
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values}


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("parts", [0, 1, 7, 16])
def test_every_part_belongs_to_exactly_one_worker(size, parts):
    owners = [[rank for rank in range(size) if Worker(rank, size).owns(part)] for part in range(parts)]
    assert owners == [[part % size] for part in range(parts)]


def test_alone_a_worker_does_everything():
    worker = Worker.of(environ={})
    assert worker == Worker(0, 1, 0, 1, "single") and worker.speaks


def test_torchrun_says_rank_size_and_which_gpu():
    assert Worker.of(environ=torchrun(5, 8, 1, 4)) == Worker(5, 8, 1, 4, "torchrun")
    assert Worker.of(environ=torchrun(2, 8)) == Worker(2, 8, 0, 1, "torchrun")


def test_the_first_worker_of_each_terminal_speaks():
    assert [Worker.of(environ=torchrun(rank, 8, rank % 4, 4)).speaks for rank in range(8)] == [True, *[False] * 3] * 2
    assert Worker.of("3/4", {}).speaks and Worker.of(environ=array(3, 0, 7)).speaks


@pytest.mark.parametrize("first", [0, 1, 10])
@pytest.mark.parametrize("step", [1, 3])
def test_a_slurm_array_of_any_start_and_step_is_all_of_the_work(first, step):
    tasks = range(first, first + 4 * step, step)
    workers = [Worker.of(environ=array(task, first, tasks[-1], step)) for task in tasks]
    assert [(worker.rank, worker.size) for worker in workers] == [(rank, 4) for rank in range(4)]
    assert {worker.source for worker in workers} == {"slurm array"}


def test_one_task_alone_submitted_again_does_what_is_left():
    assert (Worker.of(environ=array(5, 5, 5)).rank, Worker.of(environ=array(5, 5, 5)).size) == (0, 1)


def test_an_irregular_array_is_refused_instead_of_leaving_parts_out():
    for task in (1, 3, 7):
        with pytest.raises(ArgumentError, match=r"regular array.* --worker"):
            Worker.of(environ=array(task, 1, 7, 1, count=3))


def test_torchrun_inside_array_tasks_shares_each_task():
    workers = [
        Worker.of(environ=array(task, 0, 3) | torchrun(rank, 8, rank, 8)) for task in range(4) for rank in range(8)
    ]
    assert [worker.rank for worker in workers] == list(range(32)) and {worker.size for worker in workers} == {32}
    assert workers[11].local_rank == 3 and workers[11].source == "torchrun in a slurm array"


def test_an_option_overrides_a_slurm_array():
    assert Worker.of("2/8", array(0, 0, 3)) == Worker(2, 8, source="option")
    assert Worker.of("0/1", array(2, 0, 3)).size == 1


def test_an_option_for_all_processes_of_torchrun_is_refused():
    with pytest.raises(ArgumentError, match="worker must not be given to the 2 processes of torchrun"):
        Worker.of("0/2", torchrun(1, 2))
    assert Worker.of("1/2", torchrun(0, 1)) == Worker(1, 2, source="option")


def test_slurm_task_ranks_are_not_looked_at():
    assert Worker.of(environ={"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}) == Worker()


@pytest.mark.parametrize("text", ["", "3", "1/2/3", "a/b", "-1/4", "1.0/2", "1 / 2"])
def test_a_malformed_option_is_refused(text):
    with pytest.raises(ArgumentError, match="worker must be RANK/SIZE"):
        Worker.of(text, {})


@pytest.mark.parametrize("text", ["2/2", "0/0", "8/4"])
def test_a_rank_outside_of_its_size_is_refused(text):
    with pytest.raises(ArgumentError, match="worker"):
        Worker.of(text, {})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (torchrun(2, 2), "RANK"),
        (torchrun(0, 0), "RANK"),
        ({"RANK": "first", "WORLD_SIZE": "2"}, "RANK must be a number, got 'first'"),
        ({"RANK": "1"}, "RANK is set .* WORLD_SIZE is not"),
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is set .* RANK is not"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, "SLURM_ARRAY_TASK_COUNT is not"),
        (array(9, 0, 3), "regular array"),
    ],
)
def test_variables_that_contradict_themselves_are_refused(environ, message):
    with pytest.raises(ArgumentError, match=message):
        Worker.of(environ=environ)


def test_empty_variables_count_as_missing():
    assert Worker.of(environ={"RANK": "", "WORLD_SIZE": "", "SLURM_ARRAY_TASK_ID": ""}) == Worker()
