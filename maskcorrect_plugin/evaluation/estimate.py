"""What a run will take, measured on a few of its images: passes, time, disk."""

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskcorrect_plugin.datasets import iterate_groups

from .evaluate import Evaluation
from .run_folder import RunFolder
from .runner import PartRunner

BUDGET = 10.0
"""Seconds of measuring for each method, after which no larger group is tried."""


@dataclass(frozen=True)
class MethodEstimate:
    """What one method takes.

    Attributes:
        method: Its name.
        images: Images that were measured together; the forward that finds the layer is not in it.
        failed: Of them, could not be done.
        seconds_per_image: Reading and records included.
        forwards_per_image: Mean.
        bytes_per_image: On disk, all files of the run.
    """

    method: str
    images: int
    failed: int
    seconds_per_image: float
    forwards_per_image: float
    bytes_per_image: float


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        images: In the data set.
        parts: Of each method.
        workers: That share the run.
        device: On which it was measured.
        methods: What each takes.
    """

    images: int
    parts: int
    workers: int
    device: str
    methods: tuple[MethodEstimate, ...]

    @property
    def forwards(self) -> float:
        """Of all images and methods."""
        return self.images * sum(method.forwards_per_image for method in self.methods)

    @property
    def seconds(self) -> float:
        """Of one worker, if the workers are alike and share nothing else."""
        return self.images * sum(method.seconds_per_image for method in self.methods) / self.workers

    @property
    def bytes(self) -> float:
        """On disk."""
        return self.images * sum(method.bytes_per_image for method in self.methods)


def measure(evaluation: Evaluation, budget: float = BUDGET) -> Estimate:
    """Runs every method on a few images drawn from the data set, in ever larger groups, and keeps nothing.

    Args:
        evaluation: What is to be run; `Evaluation.probe` has been called.
        budget: Seconds for each method.
    """
    manifest = evaluation.manifest()
    order = random.Random(0).sample(range(manifest.num_images), min(manifest.num_images, manifest.images_per_part))
    methods = []
    with tempfile.TemporaryDirectory() as path:
        runner = PartRunner(
            RunFolder(Path(path), manifest),
            evaluation.dataset,
            evaluation.options,
            evaluation.loaded.mean,
            evaluation.loaded.std,
        )
        for method in evaluation.correctors:
            _run_once(evaluation, runner, method, order[:1])  # what happens once only: imports, compilation
            count, seconds = 1, 0.0
            while True:
                seconds = _run_once(evaluation, runner, method, order[:count])
                if count == len(order) or 3 * seconds > budget:
                    break
                count = min(2 * count, len(order))
            methods.append(_estimate(runner, method, count, seconds))
    device = str(next(iter(evaluation.loaded.model.parameters())).device)
    return Estimate(manifest.num_images, manifest.num_parts, evaluation.worker.size, device, tuple(methods))


def _run_once(evaluation: Evaluation, runner: PartRunner, method: str, indices: Sequence[int]) -> float:
    started = time.perf_counter()
    (group,) = iterate_groups(evaluation.dataset, evaluation.loaded.transform, [list(indices)])
    runner.run(method, evaluation.correctors[method], 0, group)
    return time.perf_counter() - started


def _estimate(runner: PartRunner, method: str, count: int, seconds: float) -> MethodEstimate:
    folder = runner.folder
    records = folder.records(method, ["forwards", "failure"])
    done = records["forwards"].dropna()
    size = sum(file.stat().st_size for file in folder.path.rglob("*.parquet"))
    for file in folder.path.rglob("*.parquet"):
        file.unlink()
    forwards = float(done.mean()) if len(done) else 0.0
    return MethodEstimate(method, count, count - len(done), seconds / count, forwards, size / count)
