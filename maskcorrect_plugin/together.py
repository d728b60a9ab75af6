"""Several corrections of the same images at once, and what may be given as images: tensors or pictures."""

import contextlib
import dataclasses
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from .attribution import Observation
from .checks import check_inputs, check_target
from .correction import BatchWork, correct_batch
from .errors import ArgumentError, ArgumentTypeError
from .inference import evaluation_mode
from .pictures import Picture
from .results import CorrectionResult, check_keep
from .rgb import to_rgb, upright
from .second_pass import Answers
from .views import ImageBatch

if TYPE_CHECKING:
    from .corrector import ProbabilityCorrector

PICTURES_AT_ONCE = 32
"""Pictures that are turned into inputs at a time, where a list of them is given."""


def correct_together(
    correctors: "Mapping[str, ProbabilityCorrector]",
    inputs: Tensor | Image.Image | Picture | Sequence[Image.Image | Picture],
    labels: Tensor | Sequence[int] | None = None,
    ids: Sequence[Any] | None = None,
    *,
    keep: Collection[str] = (),
) -> dict[str, CorrectionResult]:
    """Several corrections of the same images, which share the first forward, maps and equal views.

    Only correctors of `make_correctors`, or made with ``share=``, have an engine in common; others are run one after
    the other. Forwards and seconds of each result are what it takes by itself.

    Args:
        correctors: By name.
        inputs: As for `ProbabilityCorrector.correct`.
        labels: Likewise.
        ids: Likewise.
        keep: Likewise.

    Raises:
        ValueError, TypeError: as for `ProbabilityCorrector.correct`.
    """
    kept = check_keep(keep)
    groups: dict[tuple[int, int], dict[str, ProbabilityCorrector]] = {}
    for name, corrector in correctors.items():
        groups.setdefault((id(corrector.engine), id(corrector.preprocessing)), {})[name] = corrector
    results: dict[str, CorrectionResult] = {}
    for group in groups.values():
        parts = [_correct_images(group, images, kept) for images in _batches(group, inputs, labels, ids)]
        results.update({name: CorrectionResult.cat([part[name] for part in parts]) for name in group})
    return {name: results[name] for name in correctors}


def _correct_images(
    group: "Mapping[str, ProbabilityCorrector]", images: ImageBatch, keep: frozenset[str]
) -> dict[str, CorrectionResult]:
    """Correctors with one engine on one batch, in chunks that fit into memory."""
    members = list(group.values())
    first = members[0]
    for corrector in members:
        corrector.check(images)
    results: dict[str, list[CorrectionResult]] = {name: [] for name in group}

    def attempt(start: int, stop: int) -> tuple[Tensor, dict[int, Observation], float]:
        begun = time.perf_counter()
        some = images.inputs[start:stop]
        with observing(members, some) as seen:
            scores = first.engine.scores(some)
        return scores, seen, (time.perf_counter() - begun) / (stop - start)

    with evaluation_mode(first.model):
        for start, stop, (scores, seen, seconds) in first.engine.chunks(len(images), images.inputs, attempt):
            chunk = images.select(torch.arange(start, stop, device=images.inputs.device))
            chunk = dataclasses.replace(chunk, rows=())
            work = BatchWork(chunk, first.engine.checked_probs(scores), seen, seconds, Answers(shared=len(group) > 1))
            for name, corrector in group.items():
                results[name].append(correct_batch(corrector, work, keep))
    return {name: CorrectionResult.cat(parts) for name, parts in results.items()}


@contextlib.contextmanager
def observing(correctors: "Collection[ProbabilityCorrector]", inputs: Tensor) -> Any:
    """All methods watch the same forward; gives what each keeps of it, by the method's identity."""
    methods = {id(each.method): (each.method, each.engine) for each in correctors if each.method is not None}
    with contextlib.ExitStack() as stack:
        seen: dict[int, Observation] = {}
        for key, (method, engine) in methods.items():
            method.use_engine(engine)  # again: a method given as an object may serve several correctors
            seen[key] = stack.enter_context(method.observe(inputs))
        yield seen


def _batches(
    group: "Mapping[str, ProbabilityCorrector]", inputs: Any, labels: Any, ids: Sequence[Any] | None
) -> list[ImageBatch] | Any:
    """What was given as batches on the model's device: tensors at once, pictures some at a time."""
    members = list(group.values())
    if isinstance(inputs, Tensor):
        check_inputs(inputs)
        truth = _truth(labels, ids, len(inputs))
        return [_batch(members[0], inputs, None, truth, ids)]
    given = [inputs] if isinstance(inputs, Image.Image | Picture) else inputs
    _check_pictures(given)
    truth = _truth(labels, ids, len(given))
    return _picture_batches(members, given, truth, ids)


def _picture_batches(
    members: "list[ProbabilityCorrector]", given: Sequence[Any], truth: Tensor | None, ids: Sequence[Any] | None
) -> Any:
    first = members[0]
    if first.preprocessing is None:
        raise ArgumentError(
            "preprocessing must be given where inputs are pictures: load_model(...).preprocessing, or "
            "Preprocessing.of(transform); got None. Tensors (N,C,H,W) need none"
        )
    wanted = any(corrector.needs_pictures for corrector in members)
    if wanted:
        first.check_preprocessing()
    for start in range(0, len(given), PICTURES_AT_ONCE):
        some = slice(start, start + PICTURES_AT_ONCE)
        loaded = [each if isinstance(each, Picture) else _loaded(first, each, wanted) for each in given[some]]
        tensors = [each.inputs if isinstance(each, Picture) else each for each in loaded]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise ArgumentError(f"the preprocessing must give inputs of one shape, got {sorted(shapes)}")
        inputs = check_inputs(torch.stack(tensors))
        pictures = [each for each in loaded if isinstance(each, Picture)] if wanted else None
        yield _batch(
            first, inputs, pictures, None if truth is None else truth[some], None if ids is None else ids[some]
        )


def _loaded(corrector: "ProbabilityCorrector", image: Image.Image, wanted: bool) -> Picture | Tensor:
    """A picture with its original where a view wants it, else the input alone."""
    preprocessing = corrector.preprocessing
    made: Picture | Tensor = preprocessing.picture(image) if wanted else preprocessing(to_rgb(upright(image)))
    return made


def _batch(
    corrector: "ProbabilityCorrector",
    inputs: Tensor,
    pictures: Sequence[Picture] | None,
    truth: Tensor | None,
    ids: Sequence[Any] | None,
) -> ImageBatch:
    placed = corrector.engine.place(inputs)
    return ImageBatch(
        placed,
        None if pictures is None else tuple(pictures),
        corrector.preprocessing,
        None if ids is None else tuple(ids),
        None if truth is None else truth.to(placed.device),
    )


def _check_pictures(given: Any) -> None:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ArgumentTypeError(
            f"inputs must be a torch.Tensor (N,C,H,W) or a list of PIL images or Pictures, got {type(given).__name__}"
        )
    if not given:
        raise ArgumentError("inputs must hold at least one picture, got none")
    for index, each in enumerate(given):
        if not isinstance(each, Image.Image | Picture):
            raise ArgumentTypeError(
                f"inputs must be PIL images or Pictures, but inputs[{index}] is {type(each).__name__}"
            )


def _truth(labels: Any, ids: Sequence[Any] | None, count: int) -> Tensor | None:
    if ids is not None and len(ids) != count:
        raise ArgumentError(f"ids must hold one name per image ({count}), got {len(ids)}")
    return None if labels is None else check_target(labels, count, name="labels")
