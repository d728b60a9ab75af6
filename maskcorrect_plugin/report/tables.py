"""Tables of the page: cells with a text that is read and a value that is sorted by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .formats import count, number


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: At its head.
        numeric: Set flush right, and sorted from the largest down first.
        hint: What the title means, for those who point at it; empty for nothing.
    """

    title: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What is read.
        value: What is sorted by; the text without one. NaN sorts last.
        tag: A word or two in a frame behind the text, such as ``"control"``.
        kind: Colour of the text: ``"fixed"``, ``"broken"``, or none.
    """

    text: str
    value: float | None = None
    tag: str = ""
    kind: str = ""

    @property
    def sort(self) -> str:
        """The value for a page's sorting, empty for one that sorts last."""
        if self.value is None:
            return self.text
        return "" if math.isnan(self.value) else f"{self.value:.9g}"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: The first holds the names of the rows.
        rows: Cells, one for each column.
        note: Below it.
        sortable: The reader may sort it.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    sortable: bool = True


def counted(value: float, kind: str = "") -> Cell:
    """A whole number; coloured unless it is 0."""
    return Cell(count(value), float(value), kind=kind if value else "")


def gained(value: int) -> Cell:
    """A whole number with its sign; gains and losses are coloured."""
    return Cell(
        number(value, "+,.0f") if value else "0",
        float(value),
        kind="fixed" if value > 0 else "broken" if value < 0 else "",
    )
