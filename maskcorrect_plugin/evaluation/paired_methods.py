"""Two methods on the same images: does the second answer rightly where the first does not, more often than chance?"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maskcorrect_plugin.errors import ArgumentError

from .answers import Answers
from .columns import answered, numbers
from .metrics import LikelihoodGain
from .statistics import PairedOutcome
from .subset import Subset

if TYPE_CHECKING:
    import pandas as pd

PAIRED_COLUMNS = ("id", "label", "classes_after", "label_prob_after")
"""What `compare_corrected` reads."""


@dataclass(frozen=True)
class MethodComparison:
    """The corrected answers of two methods, image by image.

    Attributes:
        outcome: The first method stands for *before*, the second for *after*: ``fixed`` counts images that only the
            second answers rightly, ``broken`` those that only the first does; ``mcnemar_p`` is the exact test.
        likelihood: How much likelier the second makes the true classes: it sees far smaller effects than answers do.
        changed: Images on which the two answers differ, labelled or not.
        images: Images that both could do, of the subset if one is given.
        left_out: Images of the run that one of them, or both, could not do.
    """

    outcome: PairedOutcome
    likelihood: LikelihoodGain
    changed: int
    images: int
    left_out: int

    @property
    def only_first(self) -> int:
        """Images that only the first method answers rightly."""
        return self.outcome.broken

    @property
    def only_second(self) -> int:
        """Images that only the second method answers rightly."""
        return self.outcome.fixed


def compare_corrected(first: "pd.DataFrame", second: "pd.DataFrame", subset: Subset | None = None) -> MethodComparison:
    """Compares the corrected answers of two methods, paired by the images' ids.

    Args:
        first: Records of one method; the order of rows does not matter.
        second: Records of another one on the same images.
        subset: Which images count, by the gap in `first`; None counts all.

    Raises:
        ValueError: the two do not hold the same images with the same labels; the message says what differs.
    """
    _check_same_images(first, second)
    one, other = (answered(records, PAIRED_COLUMNS).set_index("id") for records in (first, second))
    shared = one.index.intersection(other.index)
    left_out = len(first) - len(shared)
    if subset is not None:
        shared = shared.intersection(one.index[subset.contains(first)])
    one, other = one.loc[shared], other.loc[shared]
    answers = Answers.of(one.assign(classes_before=one["classes_after"], classes_after=other["classes_after"]))
    of_truth = (numbers(records["label_prob_after"])[answers.known] for records in (one, other))
    return MethodComparison(
        outcome=PairedOutcome.of(answers.before, answers.after, answers.labels, answers.known),
        likelihood=LikelihoodGain.of(*of_truth),
        changed=int((answers.before != answers.after).sum()),
        images=len(shared),
        left_out=left_out,
    )


def _check_same_images(first: "pd.DataFrame", second: "pd.DataFrame") -> None:
    labels = []
    for name, records in (("first", first), ("second", second)):
        answered(records, PAIRED_COLUMNS)
        repeated = records["id"][records["id"].duplicated()]
        if len(repeated):
            raise ArgumentError(f"{name} must hold each image once, but {_some(repeated)} occur again")
        labels.append(records.set_index("id")["label"].astype("Int64"))
    missing = labels[0].index.difference(labels[1].index)
    extra = labels[1].index.difference(labels[0].index)
    if len(missing) or len(extra):
        raise ArgumentError(
            "first and second must hold the same images, but "
            f"{len(missing)} of first are not in second ({_some(missing)}) and "
            f"{len(extra)} of second are not in first ({_some(extra)})"
        )
    one, other = (
        column.to_numpy(dtype=np.int64, na_value=-1) for column in (labels[0], labels[1].loc[labels[0].index])
    )
    if (one != other).any():
        differing = labels[0].index[one != other]
        raise ArgumentError(
            f"first and second must have the same labels, but {len(differing)} differ ({_some(differing)})"
        )


def _some(names: "pd.Index[str] | pd.Series[str]") -> str:
    shown = ", ".join(repr(str(name)) for name in names[:3])
    return shown + (", ..." if len(names) > 3 else "") if len(names) else "none"
