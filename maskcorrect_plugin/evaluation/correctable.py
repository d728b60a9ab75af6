"""Correcting a group of images by one or several methods, so that one that fails never stops the others."""

import inspect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import is_worker_death
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LoadingError, MaskCorrectError, reason
from maskcorrect_plugin.inference import PassEngine, first_tensor, is_out_of_memory
from maskcorrect_plugin.pictures import Picture
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.together import correct_together

Images = Tensor | Sequence[Picture]
"""Inputs (n,C,H,W), or n pictures, whose inputs they hold."""
MAPS_PER_GROUP = 160
"""Maps at input resolution that a group of images may hold at a time: 32 images of 5 candidates, 1 of 160."""
USUAL_VIEWS = 5
"""Views of each image, where a corrector does not say how many it asks about."""


class Correctable(Protocol):
    """What can be evaluated: `ProbabilityCorrector`, or anything of one's own with this method.

    It may take ``keep``, too (see `Corrector.correct`); what does not keeps nothing. Settings that it has as a mapping
    ``settings`` go into the description of a run.
    """

    def correct(
        self, inputs: Tensor, labels: Tensor | None = None, ids: Sequence[Any] | None = None
    ) -> CorrectionResult:
        """Corrects a batch (N,C,H,W)."""


@dataclass(frozen=True)
class Answer:
    """What became of one image: a row of a result, or a failure.

    Attributes:
        result: The result of its group, on the CPU; None if it failed.
        row: Which row is this image's.
        failure: Why it failed.
    """

    result: CorrectionResult | None = None
    row: int = 0
    failure: str | None = None


def correct_all(
    correctors: Mapping[str, Correctable],
    images: Images,
    labels: Sequence[int | None] | None = None,
    ids: Sequence[Any] | None = None,
    keep: Collection[str] = (),
) -> dict[str, list[Answer]]:
    """Several methods on the same images: those that share their work together, the others one by one.

    Where something fails, each method is tried by itself, as `correct_each` does.

    Args:
        correctors: By name.
        images: n images.
        labels: As for `correct_each`.
        ids: Likewise.
        keep: Likewise.

    Returns:
        For each method one answer for each image.

    Raises:
        Exception: as for `correct_each`.
    """
    together = {name: each for name, each in correctors.items() if isinstance(each, ProbabilityCorrector)}
    answers: dict[str, list[Answer]] = {}
    if len(together) > 1:
        try:
            results = correct_together(together, images, _truth(labels, len(images)), ids, keep=keep)
        except Exception as error:
            if is_of_the_machine(error):
                raise
        else:
            answers = {name: _answers(result) for name, result in results.items()}
    return {
        name: answers[name] if name in answers else correct_each(corrector, images, labels, ids, keep)
        for name, corrector in correctors.items()
    }


def correct_each(
    corrector: Correctable,
    images: Images,
    labels: Sequence[int | None] | None = None,
    ids: Sequence[Any] | None = None,
    keep: Collection[str] = (),
) -> list[Answer]:
    """The whole group at once; image by image if that fails.

    Args:
        corrector: What corrects.
        images: n images.
        labels: The truth of each image; handed on where all are known.
        ids: Names of the images.
        keep: What else the results keep.

    Returns:
        One answer for each image.

    Raises:
        TypeError, ValueError: what the corrector gives is not one `CorrectionResult` for the group.
        Exception: whatever the corrector raises, except this package's own errors, where it hits every image, or is
            the machine's (`is_of_the_machine`): then it is not the images.
    """
    try:
        result = _correct(corrector, images, labels, ids, keep)
    except MaskCorrectError as error:
        if len(images) == 1:
            if is_of_the_machine(error):
                raise
            return [Answer(failure=str(error))]
    except Exception:
        if len(images) == 1:
            raise
    else:
        _check_result(result, len(images))
        return _answers(result)
    return _one_by_one(corrector, images, labels, ids, keep)


def _answers(result: CorrectionResult) -> list[Answer]:
    result = result.to("cpu")
    return [Answer(result, row) for row in range(len(result))]


def group_size(corrector: Correctable, like: Tensor) -> int:
    """Images that are corrected together: one full batch, as long as their maps stay within `MAPS_PER_GROUP`.

    It depends on settings, size and device alone, never on timing, so that the same run packs the same batches.

    Args:
        corrector: What corrects.
        like: Tensor (...,H,W) of the images' size.
    """
    most = max(1, MAPS_PER_GROUP // max(1, getattr(corrector, "num_views", USUAL_VIEWS)))
    engine = getattr(corrector, "engine", None)
    if not isinstance(engine, PassEngine):
        return most
    tensor = first_tensor(engine.forward_func)
    device = like.device if tensor is None else tensor.device
    return min(most, engine.batch_size(torch.empty(0, *like.shape[-2:], device=device)))


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error can come at any image: memory that ran out, or the death of a process that loads images."""
    return is_out_of_memory(error) or isinstance(error, LoadingError) or is_worker_death(error)


def _correct(
    corrector: Correctable,
    images: Images,
    labels: Sequence[int | None] | None,
    ids: Sequence[Any] | None,
    keep: Collection[str],
) -> CorrectionResult:
    options = {"keep": keep} if keep and "keep" in inspect.signature(corrector.correct).parameters else {}
    given: Any = images
    if not isinstance(images, Tensor) and not isinstance(corrector, ProbabilityCorrector):
        given = torch.stack([picture.inputs for picture in images])
    return corrector.correct(given, labels=_truth(labels, len(images)), ids=ids, **options)


def _truth(labels: Sequence[int | None] | None, count: int) -> Tensor | None:
    """Labels for a corrector: only where all are known."""
    known = [label for label in labels or () if label is not None]
    return torch.tensor(known, dtype=torch.int64) if len(known) == count else None


def _check_result(result: Any, count: int) -> None:
    if not isinstance(result, CorrectionResult):
        raise ArgumentTypeError(f"correct must give a CorrectionResult, got {type(result).__name__}")
    if len(result) != count:
        raise ArgumentError(f"correct must give one row per image ({count}), got {len(result)}")


def _one_by_one(
    corrector: Correctable,
    images: Images,
    labels: Sequence[int | None] | None,
    ids: Sequence[Any] | None,
    keep: Collection[str],
) -> list[Answer]:
    answers: list[Answer] = []
    unexpected: Exception | None = None
    for row in range(len(images)):
        one = slice(row, row + 1)
        try:
            answers += correct_each(
                corrector, images[one], None if labels is None else labels[one], None if ids is None else ids[one], keep
            )
        except Exception as error:
            if is_of_the_machine(error):
                raise
            unexpected = error
            answers.append(Answer(failure=reason(error)))
    if unexpected is not None and all(answer.failure for answer in answers):
        raise unexpected
    return answers
