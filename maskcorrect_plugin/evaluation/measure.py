"""Measuring what a run will take on a few of its images."""

import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import iterate_groups
from maskcorrect_plugin.errors import ModelOutputError
from maskcorrect_plugin.functional import probability_gap
from maskcorrect_plugin.inference import evaluation_mode, first_tensor

from .estimate import Estimate, MethodEstimate
from .examples import needs_pictures
from .job import Evaluation
from .run_folder import RunFolder
from .runner import PartRunner
from .worker import Worker

BUDGET = 10.0
"""Seconds of measuring for each method, after which no larger group is tried."""
LOOKED_AT = 128
"""Images, at most, that are asked about once to learn how many of them `max_gap` passes."""


def measure(evaluation: Evaluation, budget: float = BUDGET) -> Estimate:
    """Runs every method on a few images drawn from the data set, in ever larger groups, and keeps nothing.

    Args:
        evaluation: What is to be run; `Evaluation.probe` has been called.
        budget: Seconds for each method.
    """
    manifest = evaluation.manifest()
    most = max(manifest.images_per_part, LOOKED_AT)
    order = random.Random(0).sample(range(manifest.num_images), min(manifest.num_images, most))
    with tempfile.TemporaryDirectory() as path:
        runner = PartRunner(RunFolder(Path(path), manifest), evaluation.dataset, evaluation.loaded, evaluation.options)
        methods = tuple(_measure_method(evaluation, runner, method, order, budget) for method in evaluation.correctors)
    tensor = first_tensor(evaluation.loaded.model)
    device = "cpu" if tensor is None else str(tensor.device)
    workers = evaluation.worker.size
    busiest = Worker(0, workers)  # the first has most parts
    share = sum(len(manifest.part(index)) for index in range(manifest.num_parts) if busiest.owns(index))
    return Estimate(manifest.num_images, manifest.num_parts, workers, share, device, methods)


def _measure_method(
    evaluation: Evaluation, runner: PartRunner, method: str, order: Sequence[int], budget: float
) -> MethodEstimate:
    corrector = evaluation.correctors[method]
    max_gap = corrector.recipe.max_gap if isinstance(corrector, ProbabilityCorrector) else None
    kinds = [list(order)]
    if isinstance(corrector, ProbabilityCorrector) and max_gap is not None:
        kinds = _by_gap(evaluation, corrector, max_gap, order, budget)
    total = sum(map(len, kinds))
    _run_once(evaluation, runner, method, [])
    empty = _bytes_written(runner)
    costs = [_measure_images(evaluation, runner, method, kind, empty, budget) for kind in kinds if kind]
    shares = [len(kind) / total for kind in kinds if kind]
    seconds, forwards, size = np.average([cost.per_image for cost in costs], axis=0, weights=shares).tolist()
    return MethodEstimate(
        method=method,
        images=sum(cost.images for cost in costs),
        failed=sum(cost.failed for cost in costs),
        seconds_per_image=seconds,
        forwards_per_image=forwards,
        bytes_per_image=size,
        bytes_per_part=empty,
        corrected=len(kinds[0]) / total,
        looked_at=0 if max_gap is None else total,
    )


@dataclass(frozen=True)
class _Cost:
    """Of images of one kind: seconds, forwards and bytes per image."""

    images: int
    failed: int
    per_image: NDArray[np.float64]


def _measure_images(
    evaluation: Evaluation, runner: PartRunner, method: str, indices: Sequence[int], empty: int, budget: float
) -> _Cost:
    """Measures ever larger groups, up to a part, as long as the next one is within the budget."""
    _run_once(evaluation, runner, method, indices[:1])  # what happens once only: imports, compilation
    most, count = min(len(indices), runner.options.images_per_part), 1
    while True:
        seconds = _run_once(evaluation, runner, method, indices[:count])
        if count == most or 3 * seconds > budget:
            break
        count = min(2 * count, most)
    forwards = runner.folder.records(method, ["forwards"])["forwards"].dropna()
    size = max(0, _bytes_written(runner) - empty)
    mean = float(forwards.mean()) if len(forwards) else 0.0
    return _Cost(count, count - len(forwards), np.array([seconds / count, mean, size / count]))


def _by_gap(
    evaluation: Evaluation, corrector: ProbabilityCorrector, max_gap: float, order: Sequence[int], budget: float
) -> list[list[int]]:
    """Some images in two kinds: those that the corrector corrects, and those that it passes. Costs a forward each."""
    started = time.perf_counter()
    below: list[int] = []
    above: list[int] = []
    size = evaluation.options.images_per_part
    groups = [order[start : start + size] for start in range(0, min(LOOKED_AT, len(order)), size)]
    for group in iterate_groups(evaluation.dataset, evaluation.loaded.transform, groups):
        for position, image in zip(group.kept, group.inputs, strict=True):
            with suppress(ModelOutputError), evaluation_mode(corrector.model):
                scores = corrector.engine.scores(corrector.engine.place(image.unsqueeze(0)))
                gap = float(probability_gap(corrector.engine.checked_probs(scores)))
                (below if gap < max_gap else above).append(group.indices[position])
        if time.perf_counter() - started > budget:
            break
    return [below, above] if below or above else [[], list(order)]


def _run_once(evaluation: Evaluation, runner: PartRunner, method: str, indices: Sequence[int]) -> float:
    """Seconds for some images as one part."""
    started = time.perf_counter()
    corrector = evaluation.correctors[method]
    (group,) = iterate_groups(
        evaluation.dataset, evaluation.loaded.preprocessing, [list(indices)], pictures=needs_pictures([corrector])
    )
    runner.run({method: corrector}, 0, group)
    return time.perf_counter() - started


def _bytes_written(runner: PartRunner) -> int:
    """Size of all files, which are removed."""
    files = list(runner.folder.path.rglob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    return size
