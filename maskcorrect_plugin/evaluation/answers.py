"""The answers before and after correction, and the truth, of the images that could be done."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .columns import UNKNOWN, first_of, labels_of

if TYPE_CHECKING:
    import pandas as pd

ANSWER_COLUMNS = ("label", "classes_before", "classes_after")
"""What `Answers.of` reads."""


@dataclass(frozen=True)
class Answers:
    """One entry per image in each array. An answer is the most probable class.

    Attributes:
        before: Answers before correction, (N,) int64.
        after: Answers after correction, (N,) int64.
        labels: True classes, (N,) int64, `columns.UNKNOWN` where they are not known.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, done: "pd.DataFrame") -> "Answers":
        """Reads them from records without failures (`columns.answered`)."""
        before, after = (first_of(done[name], np.int64) for name in ("classes_before", "classes_after"))
        return cls(before, after, labels_of(done))

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where the true class is known, (N,)."""
        return np.not_equal(self.labels, UNKNOWN)

    @property
    def right_before(self) -> NDArray[np.bool_]:
        """Where the answer before correction is the true class, (N,)."""
        return np.equal(self.before, self.labels)

    @property
    def right_after(self) -> NDArray[np.bool_]:
        """Where the answer after correction is the true class, (N,)."""
        return np.equal(self.after, self.labels)

    @property
    def fixed(self) -> NDArray[np.bool_]:
        """Wrong before, right after, (N,)."""
        return ~self.right_before & self.right_after

    @property
    def broken(self) -> NDArray[np.bool_]:
        """Right before, wrong after, (N,)."""
        return self.right_before & ~self.right_after
