"""The images whose answer changed, as plain values for the page's gallery."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from maskcorrect_plugin.evaluation.answers import Answers
from maskcorrect_plugin.evaluation.columns import UNKNOWN, answered, flags, numbers
from maskcorrect_plugin.evaluation.records.thumbnails import MOST_MAPS

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("fixed", "broken", "changed")
MOST_CLASSES = MOST_MAPS
"""Candidates that are listed, besides the new answer and the true class."""
COLUMNS = (
    *("index", "id", "label", "changed", "classes_before", "probs_before", "classes_after", "probs_after"),
    *("label_prob_before", "label_prob_after", "gap15"),
)


@dataclass(frozen=True)
class ClassChange:
    """A class of one image.

    Attributes:
        index: The class.
        before: Its probability before correction.
        after: The same after. Where the records do not hold a probability, it lies below the smallest one that they
            do, and that one's negative stands for it.
    """

    index: int
    before: float
    after: float


@dataclass(frozen=True)
class ChangedImage:
    """One image whose answer is another one after correction.

    Attributes:
        index: Position in the data set.
        id: The data set's name of it.
        kind: ``"fixed"``, ``"broken"``, or ``"changed"``: wrong before and after, or without a label.
        label: The true class; None where it is not known.
        gap: p1 - p5 before correction.
        moved: By how much the probability of the true class rose; of the new answer, where there is no label.
        old: The answer before.
        new: The answer after.
        classes: The candidates in their order, then the new answer and the true class where they are none of them.
    """

    index: int
    id: str
    kind: str
    label: int | None
    gap: float
    moved: float
    old: int
    new: int
    classes: Sequence[ClassChange]


def changed_images(records: "pd.DataFrame") -> list[ChangedImage]:
    """All of them, those first whose true class moved most.

    Args:
        records: One row per image, with `COLUMNS`.
    """
    done = answered(records, COLUMNS)
    done = done.loc[flags(done["changed"])]
    answers = Answers.of(done)
    kinds = np.where(answers.fixed, "fixed", np.where(answers.broken, "broken", "changed"))
    truths = zip(*(numbers(done[f"label_prob_{side}"]) for side in ("before", "after")), strict=True)
    columns = ("index", "id", "gap15", "classes_before", "probs_before", "classes_after", "probs_after")
    rows = zip(*(done[name] for name in columns), kinds, answers.labels, truths, strict=True)
    return sorted((_image(*row) for row in rows), key=lambda image: (-abs(image.moved), image.index))


def _image(
    index: int,
    name: str,
    gap: float,
    classes_before: Any,
    probs_before: Any,
    classes_after: Any,
    probs_after: Any,
    kind: str,
    label: int,
    truth: tuple[float, float],
) -> ChangedImage:
    old, new = int(classes_before[0]), int(classes_after[0])
    known = label != UNKNOWN
    sides = [_by_class(classes_before, probs_before), _by_class(classes_after, probs_after)]
    if known:
        for side, prob in zip(sides, truth, strict=True):
            side[int(label)] = prob
    listed = dict.fromkeys([*map(int, classes_before[:MOST_CLASSES]), new, *([int(label)] if known else [])])
    least = [-float(probs_before[-1]), -float(probs_after[-1])]
    classes = [
        ClassChange(each, *(side.get(each, low) for side, low in zip(sides, least, strict=True))) for each in listed
    ]
    subject = next(each for each in classes if each.index == (label if known else new))
    return ChangedImage(
        index=int(index),
        id=str(name),
        kind=str(kind),
        label=int(label) if known else None,
        gap=float(gap),
        moved=abs(subject.after) - abs(subject.before),
        old=old,
        new=new,
        classes=classes,
    )


def _by_class(classes: Any, probs: Any) -> dict[int, float]:
    return {int(index): float(prob) for index, prob in zip(classes, probs, strict=True)}


def most_telling(images: Sequence[ChangedImage], limit: int) -> list[ChangedImage]:
    """At most that many images, as many of each kind as there are, those first whose true class moved most."""
    kinds = ([image for image in images if image.kind == kind] for kind in KINDS)
    in_turn = chain.from_iterable(zip_longest(*kinds))
    return [image for image in in_turn if image is not None][:limit]


def fair_shares(available: Sequence[int], limit: int) -> list[int]:
    """How a limit is divided: to each the same, and what one does not need to the others.

    Example:
        >>> fair_shares([10, 100, 100], 90)
        [10, 40, 40]
    """
    shares = [0] * len(available)
    smallest_first = sorted(range(len(available)), key=available.__getitem__)
    for done, position in enumerate(smallest_first):
        shares[position] = min(available[position], (limit - sum(shares)) // (len(available) - done))
    return shares
