"""Which images count as difficult: those whose first answer lies less than a bound above a later one."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_int, check_number
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.functional import GAP_RANK

from .columns import answered, lengths_of, matrix_of, numbers

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Gap:
    """The gap ``p1 - pR`` between the most probable class and the one at rank R, before correction.

    With fewer than R classes the last one takes its place, as in `functional.probability_gap`.

    Attributes:
        definition: ``"p1-p2"``, ``"p1-p5"`` (the paper's), or ``"p1-pR"`` for any rank R that the records store.

    Example:
        >>> Gap("p1-p2").rank, str(Gap("p1-p2"))
        (2, 'p1 - p2')
    """

    definition: str = f"p1-p{GAP_RANK}"
    _stored: ClassVar[dict[int, str]] = {2: "gap12", GAP_RANK: "gap15"}

    def __post_init__(self) -> None:
        found = re.fullmatch(r"p1-p(\d+)", self.definition) if isinstance(self.definition, str) else None
        if not found:
            raise ArgumentError(
                f"definition must be 'p1-p2', 'p1-p5' or 'p1-pR' for another rank R, got {self.definition!r}"
            )
        check_int("the rank in definition", int(found[1]), 2)

    def __str__(self) -> str:
        return self.definition.replace("-", " - ")

    @property
    def rank(self) -> int:
        """R."""
        return int(self.definition.removeprefix("p1-p"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the records that it is read from."""
        return (self._stored.get(self.rank, "probs_before"),)

    def of(self, records: "pd.DataFrame") -> NDArray[np.float32]:
        """The gap of each image that could be done, (N,) in [0, 1].

        Raises:
            ValueError: the records store fewer than R of the model's classes.
        """
        column = answered(records, self.columns)[self.columns[0]]
        if self.rank in self._stored:
            return numbers(column).astype(np.float32).clip(0, 1)
        lengths = lengths_of(column)
        # A run stores all classes, or at least GAP_RANK of them.
        if ((lengths < self.rank) & (lengths >= GAP_RANK)).any():
            raise ArgumentError(
                f"definition must have a rank that the records store, up to {lengths.min()}; got {self.definition!r}"
            )
        if not len(lengths):
            return np.empty(0, np.float32)
        probs = matrix_of(column, np.nan).astype(np.float32)
        last = np.minimum(self.rank, lengths) - 1
        return np.asarray(probs[:, 0] - probs[np.arange(len(probs)), last]).clip(0, 1)


@dataclass(frozen=True)
class Subset:
    """The images whose gap is strictly below a bound. Without arguments, those that the paper evaluates on.

    Attributes:
        definition: Of the gap: see `Gap`.
        bound: In [0, 1]. Compared in the records' float32, so that the subset is what ``max_gap`` would correct.

    Example:
        >>> str(Subset()), str(Subset("p1-p2", 0.3))
        ('p1 - p5 < 0.5', 'p1 - p2 < 0.3')
    """

    definition: str = f"p1-p{GAP_RANK}"
    bound: float = 0.5

    def __post_init__(self) -> None:
        Gap(self.definition)
        check_number("bound", self.bound, 0, 1, include_high=True)

    def __str__(self) -> str:
        return f"{self.gap} < {self.bound:g}"

    @classmethod
    def parse(cls, text: str) -> "Subset":
        """Reads ``"p1-p5<0.5"``, with blanks wherever they please.

        Example:
            >>> Subset.parse("p1 - p2 < 0.3")
            Subset(definition='p1-p2', bound=0.3)

        Raises:
            ValueError: of another form.
        """
        definition, less, bound = "".join(text.split()).partition("<")
        try:
            return cls(definition, float(bound))
        except ValueError as error:
            if isinstance(error, ArgumentError) and less:
                raise
            raise ArgumentError(f"subset must be a gap and its bound, such as 'p1-p5<0.5'; got {text!r}") from None

    @property
    def gap(self) -> Gap:
        """What is compared with the bound."""
        return Gap(self.definition)

    def contains(self, records: "pd.DataFrame") -> NDArray[np.bool_]:
        """Which of the images that could be done belong to it, (N,)."""
        return self.gap.of(records) < np.float32(self.bound)


PAPER_SUBSET = Subset()
"""p1 - p5 < 0.5: the paper's difficult images."""
