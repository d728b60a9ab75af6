"""The 2 x 2 table of answers before and after correction, and whether it is more than chance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.errors import ArgumentError

from .answers import ANSWER_COLUMNS, Answers
from .columns import answered

if TYPE_CHECKING:
    import pandas as pd

    from .subset import Subset


@dataclass(frozen=True)
class PairedOutcome:
    """Answers before and after correction on the same images, compared with the truth.

    Attributes:
        both_right: Right before and after.
        fixed: Wrong before, right after.
        broken: Right before, wrong after.
        both_wrong: Wrong before and after.

    Example:
        The paper's own table: 4,017 -> 4,091 of 12,491.

        >>> paper = PairedOutcome(both_right=3553, fixed=538, broken=464, both_wrong=7936)
        >>> paper.right_before, paper.right_after, round(paper.mcnemar_p, 4)
        (4017, 4091, 0.0211)
    """

    both_right: int
    fixed: int
    broken: int
    both_wrong: int

    @classmethod
    def of(cls, before: Any, after: Any, labels: Any, subset: Any = None) -> "PairedOutcome":
        """Counts the table.

        Args:
            before: Answers before correction, (N,) int64: a tensor or an array, as are all of these.
            after: Answers after correction, (N,) int64.
            labels: The truth, (N,) int64.
            subset: Which images count, (N,) bool; None counts all.
        """
        if not before.shape == after.shape == labels.shape:
            raise ArgumentError(
                "before, after and labels must have the same shape, got "
                f"{tuple(before.shape)}, {tuple(after.shape)} and {tuple(labels.shape)}"
            )
        if subset is not None:
            before, after, labels = before[subset], after[subset], labels[subset]
        was, now = before == labels, after == labels
        return cls(int((was & now).sum()), int((~was & now).sum()), int((was & ~now).sum()), int((~was & ~now).sum()))

    @classmethod
    def from_records(cls, records: "pd.DataFrame", subset: "Subset | None" = None) -> "PairedOutcome":
        """Counts the table over the images of a run that could be done and have a label.

        Args:
            records: One row per image.
            subset: Which images count; None counts all.
        """
        answers = Answers.of(answered(records, ANSWER_COLUMNS))
        counted = answers.known if subset is None else answers.known & subset.contains(records)
        return cls.of(answers.before, answers.after, answers.labels, counted)

    @property
    def total(self) -> int:
        """Number of images."""
        return self.both_right + self.fixed + self.broken + self.both_wrong

    @property
    def right_before(self) -> int:
        """Right answers before correction."""
        return self.both_right + self.broken

    @property
    def right_after(self) -> int:
        """Right answers after correction."""
        return self.both_right + self.fixed

    @property
    def gain(self) -> int:
        """Right answers gained: fixed less broken. Negative where correction does harm."""
        return self.fixed - self.broken

    @property
    def accuracy_before(self) -> float:
        """Share of right answers before correction, in [0, 1]; NaN without images."""
        return self._share(self.right_before)

    @property
    def accuracy_after(self) -> float:
        """Share of right answers after correction, in [0, 1]; NaN without images."""
        return self._share(self.right_after)

    @property
    def difference(self) -> float:
        """Accuracy after less accuracy before, in [-1, 1]; NaN without images."""
        return self._share(self.gain)

    @property
    def mcnemar_p(self) -> float:
        """Two-sided p-value of the exact McNemar test: could fixed and broken differ so much by chance?"""
        if self.fixed + self.broken == 0:
            return 1.0
        from statsmodels.stats.contingency_tables import mcnemar  # slow to import

        table = [[self.both_right, self.broken], [self.fixed, self.both_wrong]]
        return float(mcnemar(table, exact=True).pvalue)

    def _share(self, count: int) -> float:
        return count / self.total if self.total else float("nan")
