"""Correcting a group of images so that one that fails never stops the others."""

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from maskcorrect_plugin.errors import MaskCorrectError
from maskcorrect_plugin.results import CorrectionResult


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
        RuntimeError: an error of torch that hits every image: then it is not the images.
    """
    try:
        result = _correct(corrector, inputs, labels, ids, keep)
    except MaskCorrectError as error:
        if len(inputs) == 1:
            return [Answer(failure=str(error))]
    except RuntimeError:
        if len(inputs) == 1:
            raise
    else:
        return [Answer(result, row) for row in range(len(inputs))]
    return _one_by_one(corrector, inputs, labels, ids, keep)


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
    return corrector.correct(inputs, labels=truth, ids=ids, **options).to("cpu")


def _one_by_one(
    corrector: Correctable,
    inputs: Tensor,
    labels: Sequence[int | None] | None,
    ids: Sequence[Any] | None,
    keep: Collection[str],
) -> list[Answer]:
    answers: list[Answer] = []
    unexpected: RuntimeError | None = None
    for row in range(len(inputs)):
        one = slice(row, row + 1)
        try:
            answers += correct_each(
                corrector, inputs[one], None if labels is None else labels[one], None if ids is None else ids[one], keep
            )
        except RuntimeError as error:
            unexpected = error
            answers.append(Answer(failure=f"{type(error).__name__}: {error}"))
    if unexpected is not None and all(answer.failure for answer in answers):
        raise unexpected
    return answers
