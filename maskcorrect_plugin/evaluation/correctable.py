"""Correcting a group of images so that one that fails never stops the others."""

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from maskcorrect_plugin.datasets import is_worker_death
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LoadingError, MaskCorrectError, reason
from maskcorrect_plugin.inference import PassEngine, first_tensor, is_out_of_memory
from maskcorrect_plugin.results import CorrectionResult

MAPS_PER_GROUP = 160
"""Maps at input resolution that a group of images may hold at a time: 32 images of 5 candidates, 1 of 160."""
USUAL_VIEWS = 5
"""Views of each image, where a corrector does not say how many it asks about."""


class Correctable(Protocol):
    """What can be evaluated: `ProbabilityCorrector`, the controls, or anything of one's own with this method.

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


def correct_each(
    corrector: Correctable,
    inputs: Tensor,
    labels: Sequence[int | None] | None = None,
    ids: Sequence[Any] | None = None,
    keep: Collection[str] = (),
) -> list[Answer]:
    """The whole group at once; image by image if that fails.

    Args:
        corrector: What corrects.
        inputs: Tensor (n,C,H,W).
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
        result = _correct(corrector, inputs, labels, ids, keep)
    except MaskCorrectError as error:
        if len(inputs) == 1:
            if is_of_the_machine(error):
                raise
            return [Answer(failure=str(error))]
    except Exception:
        if len(inputs) == 1:
            raise
    else:
        _check_result(result, len(inputs))
        result = result.to("cpu")
        return [Answer(result, row) for row in range(len(inputs))]
    return _one_by_one(corrector, inputs, labels, ids, keep)


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
    inputs: Tensor,
    labels: Sequence[int | None] | None,
    ids: Sequence[Any] | None,
    keep: Collection[str],
) -> CorrectionResult:
    known = [label for label in labels or () if label is not None]
    truth = torch.tensor(known, dtype=torch.int64) if len(known) == len(inputs) else None
    options = {"keep": keep} if keep and "keep" in inspect.signature(corrector.correct).parameters else {}
    return corrector.correct(inputs, labels=truth, ids=ids, **options)


def _check_result(result: Any, count: int) -> None:
    if not isinstance(result, CorrectionResult):
        raise ArgumentTypeError(f"correct must give a CorrectionResult, got {type(result).__name__}")
    if len(result) != count:
        raise ArgumentError(f"correct must give one row per image ({count}), got {len(result)}")


def _one_by_one(
    corrector: Correctable,
    inputs: Tensor,
    labels: Sequence[int | None] | None,
    ids: Sequence[Any] | None,
    keep: Collection[str],
) -> list[Answer]:
    answers: list[Answer] = []
    unexpected: Exception | None = None
    for row in range(len(inputs)):
        one = slice(row, row + 1)
        try:
            answers += correct_each(
                corrector, inputs[one], None if labels is None else labels[one], None if ids is None else ids[one], keep
            )
        except Exception as error:
            if is_of_the_machine(error):
                raise
            unexpected = error
            answers.append(Answer(failure=reason(error)))
    if unexpected is not None and all(answer.failure for answer in answers):
        raise unexpected
    return answers
