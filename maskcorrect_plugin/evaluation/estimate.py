"""What a run will take, measured on a few of its images: passes, time, disk."""

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskcorrect_plugin.datasets import iterate_groups
from maskcorrect_plugin.inference import first_tensor

from .job import Evaluation
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
        bytes_per_image: On disk, in all files of the run.
        bytes_per_part: What a part's files take with no image in them.
    """

    method: str
    images: int
    failed: int
    seconds_per_image: float
    forwards_per_image: float
    bytes_per_image: float
    bytes_per_part: float


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
        return sum(self.images * method.bytes_per_image + self.parts * method.bytes_per_part for method in self.methods)


def measure(evaluation: Evaluation, budget: float = BUDGET) -> Estimate:
    """Runs every method on a few images drawn from the data set, in ever larger groups, and keeps nothing.

    Args:
        evaluation: What is to be run; `Evaluation.probe` has been called.
        budget: Seconds for each method.
    """
    manifest = evaluation.manifest()
    order = random.Random(0).sample(range(manifest.num_images), min(manifest.num_images, manifest.images_per_part))
    with tempfile.TemporaryDirectory() as path:
        runner = PartRunner(RunFolder(Path(path), manifest), evaluation.dataset, evaluation.loaded, evaluation.options)
        methods = tuple(_measure_method(evaluation, runner, method, order, budget) for method in evaluation.correctors)
    tensor = first_tensor(evaluation.loaded.model)
    device = "cpu" if tensor is None else str(tensor.device)
    return Estimate(manifest.num_images, manifest.num_parts, evaluation.worker.size, device, methods)


def _measure_method(
    evaluation: Evaluation, runner: PartRunner, method: str, order: Sequence[int], budget: float
) -> MethodEstimate:
    _run_once(evaluation, runner, method, [])
    empty = _bytes_written(runner)
    _run_once(evaluation, runner, method, order[:1])  # what happens once only: imports, compilation
    count = 1
    while True:
        seconds = _run_once(evaluation, runner, method, order[:count])
        if count == len(order) or 3 * seconds > budget:
            break
        count = min(2 * count, len(order))
    records = runner.folder.records(method, ["forwards", "failure"])
    forwards = records["forwards"].dropna()
    return MethodEstimate(
        method=method,
        images=count,
        failed=count - len(forwards),
        seconds_per_image=seconds / count,
        forwards_per_image=float(forwards.mean()) if len(forwards) else 0.0,
        bytes_per_image=max(0, _bytes_written(runner) - empty) / count,
        bytes_per_part=empty,
    )


def _run_once(evaluation: Evaluation, runner: PartRunner, method: str, indices: Sequence[int]) -> float:
    """Seconds for some images as one part."""
    started = time.perf_counter()
    (group,) = iterate_groups(evaluation.dataset, evaluation.loaded.transform, [list(indices)])
    runner.run(method, evaluation.correctors[method], 0, group)
    return time.perf_counter() - started


def _bytes_written(runner: PartRunner) -> int:
    """Size of all files, which are removed."""
    files = list(runner.folder.path.rglob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    return size
