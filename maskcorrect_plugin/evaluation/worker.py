"""Which share of a run this process does. Workers share nothing: part ``b`` belongs to rank ``b % size``."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError

TORCHRUN = ("RANK", "WORLD_SIZE")
SLURM_ARRAY = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")


@dataclass(frozen=True)
class Worker:
    """One of several processes that work on the same run.

    Attributes:
        rank: From 0 to ``size - 1``.
        size: Number of workers.
        local_rank: Rank among the workers that one launcher started on this machine; it chooses the GPU.
        local_size: Number of those workers.
        source: What said so: ``"torchrun"``, ``"slurm array"``, both, ``"option"`` or ``"single"``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    source: str = "single"

    def owns(self, part: int) -> bool:
        """Whether a part is this worker's to do.

        Example:
            >>> [part for part in range(7) if Worker(1, 3).owns(part)]
            [1, 4]
        """
        return part % self.size == self.rank

    @property
    def speaks(self) -> bool:
        """Whether this is the one of the workers in a terminal that says what all of them do."""
        return self.local_rank == 0

    def __str__(self) -> str:
        return f"worker {self.rank} of {self.size}"

    @classmethod
    def of(cls, text: str | None = None, environ: Mapping[str, str] = os.environ) -> "Worker":
        """From an option such as ``"2/8"``, or else from torchrun's or a SLURM array's environment variables.

        Under torchrun inside the tasks of a SLURM array, each task's workers share what the task would do alone.
        SLURM's own task ranks (``SLURM_PROCID``) are not looked at: they are also set where a batch script runs a
        command once, which would then silently do one share only. Under ``srun`` pass
        ``"$SLURM_PROCID/$SLURM_NTASKS"``.

        Args:
            text: ``"RANK/SIZE"`` with ranks from 0.
            environ: Environment variables; empty ones count as missing.

        Raises:
            ValueError: a malformed option or variables that contradict themselves or one another.
        """
        if text is not None:
            return cls._of_option(text, environ)
        launched = _torchrun(environ)
        task = _slurm_array(environ)
        if launched is None or task is None:
            return launched or task or cls()
        return cls(
            task.rank * launched.size + launched.rank,
            task.size * launched.size,
            launched.local_rank,
            launched.local_size,
            "torchrun in a slurm array",
        )

    @classmethod
    def _of_option(cls, text: str, environ: Mapping[str, str]) -> "Worker":
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise ArgumentError(f"worker must be RANK/SIZE with ranks from 0, such as 0/8; got {text!r}")
        if environ.get("RANK") and environ.get("WORLD_SIZE", "1") != "1":
            raise ArgumentError(
                f"worker must not be given to the {environ['WORLD_SIZE']} processes of torchrun, which have ranks of "
                f"their own; got {text!r}"
            )
        return cls._checked("worker", int(match[1]), int(match[2]), source="option")

    @classmethod
    def _checked(
        cls, name: str, rank: int, size: int, local_rank: int = 0, local_size: int = 1, *, source: str
    ) -> "Worker":
        check_int(f"{name} (number of workers)", size, 1)
        check_int(f"{name} (rank, from 0)", rank, 0, size - 1)
        return cls(rank, size, local_rank, local_size, source)


def _torchrun(environ: Mapping[str, str]) -> Worker | None:
    if not _given(environ, TORCHRUN):
        return None
    rank, size = (_number(environ, name) for name in TORCHRUN)
    local_rank, local_size = _number(environ, "LOCAL_RANK", 0), _number(environ, "LOCAL_WORLD_SIZE", 1)
    return Worker._checked("RANK", rank, size, local_rank, local_size, source="torchrun")


def _slurm_array(environ: Mapping[str, str]) -> Worker | None:
    if not _given(environ, SLURM_ARRAY):
        return None
    task, size = (_number(environ, name) for name in SLURM_ARRAY)
    first, step = _number(environ, "SLURM_ARRAY_TASK_MIN", 0), _number(environ, "SLURM_ARRAY_TASK_STEP", 1)
    last = _number(environ, "SLURM_ARRAY_TASK_MAX", first + (size - 1) * step)
    if not first <= task <= last or last - first != (size - 1) * step:
        raise ArgumentError(
            f"SLURM_ARRAY_TASK_ID must be one of a regular array such as 0-7, got task {task} of {size} from {first} "
            f"to {last}; for others pass --worker RANK/SIZE"
        )
    return Worker._checked("SLURM_ARRAY_TASK_ID", (task - first) // step, size, source="slurm array")


def _given(environ: Mapping[str, str], names: tuple[str, str]) -> bool:
    """Whether both variables are there.

    Raises:
        ValueError: only one is, which would make every process do all of the work or the same share of it.
    """
    missing = [name for name in names if not environ.get(name)]
    if len(missing) == 1:
        (there,) = set(names) - set(missing)
        raise ArgumentError(
            f"the environment variable {there} is set ({environ[there]!r}) but {missing[0]} is not; set both, or unset "
            "it and pass --worker RANK/SIZE where there are several workers"
        )
    return not missing


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "")
    if not text and default is not None:
        return default
    if not text.isdecimal():
        raise ArgumentError(f"the environment variable {name} must be a number, got {text!r}")
    return int(text)
