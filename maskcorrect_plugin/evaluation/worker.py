"""Which share of a run this process does. Workers share nothing: part ``b`` belongs to rank ``b % size``."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError


@dataclass(frozen=True)
class Worker:
    """One of several processes that work on the same run.

    Attributes:
        rank: From 0 to ``size - 1``.
        size: Number of workers.
        local_rank: Rank among the workers of this machine, which chooses the GPU.
        source: What said so: ``"torchrun"``, ``"slurm array"``, ``"option"`` or ``"single"``.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    source: str = "single"

    def owns(self, part: int) -> bool:
        """Whether a part is this worker's to do.

        Example:
            >>> [part for part in range(7) if Worker(1, 3).owns(part)]
            [1, 4]
        """
        return part % self.size == self.rank

    @classmethod
    def of(cls, text: str | None = None, environ: Mapping[str, str] = os.environ) -> "Worker":
        """From an option such as ``"2/8"``, or else from torchrun's or a SLURM array's environment variables.

        SLURM's own task ranks (``SLURM_PROCID``) are not looked at: they are also set where a batch script runs a
        command once, which would then silently do one share only. Under ``srun`` pass
        ``"$SLURM_PROCID/$SLURM_NTASKS"``.

        Args:
            text: ``"RANK/SIZE"`` with ranks from 0.
            environ: Environment variables.

        Raises:
            ValueError: a malformed option or variables that contradict themselves.
        """
        if text is not None:
            match = re.fullmatch(r"(\d+)/(\d+)", text)
            if match is None:
                raise ArgumentError(f"worker must be RANK/SIZE with ranks from 0, such as 0/8; got {text!r}")
            return cls._checked("worker", int(match[1]), int(match[2]), 0, "option")
        if "RANK" in environ and "WORLD_SIZE" in environ:
            rank, size = _number(environ, "RANK"), _number(environ, "WORLD_SIZE")
            local = _number(environ, "LOCAL_RANK") if "LOCAL_RANK" in environ else 0
            return cls._checked("RANK", rank, size, local, "torchrun")
        if "SLURM_ARRAY_TASK_ID" in environ:
            task, first = _number(environ, "SLURM_ARRAY_TASK_ID"), int(environ.get("SLURM_ARRAY_TASK_MIN", 0))
            step = int(environ.get("SLURM_ARRAY_TASK_STEP", 1))
            size = _number(environ, "SLURM_ARRAY_TASK_COUNT")
            return cls._checked("SLURM_ARRAY_TASK_ID", (task - first) // step, size, 0, "slurm array")
        return cls()

    @classmethod
    def _checked(cls, name: str, rank: int, size: int, local: int, source: str) -> "Worker":
        check_int(f"{name} (number of workers)", size, 1)
        check_int(f"{name} (rank)", rank, 0, size - 1)
        return cls(rank, size, local, source)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdigit():
        raise ArgumentError(f"the environment variable {name} must be a number, got {text!r}")
    return int(text)
