"""Columns of tables: which holds the images and which the labels, and what a cell of labels means."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maskcorrect_plugin.errors import ArgumentError

from .classes import ModelClasses
from .labels import Wording, match_labels

Cell = str | int | None
"""A cell as text, or the integer of a column of integers; None where there is nothing."""

IMAGE_COLUMNS = ("path", "file", "filename", "file_name", "image")
LABEL_COLUMNS = ("class_index", "label", "target", "class", "class_name")
"""Names by which columns are found, whatever their case; of several the first counts."""

_INTEGER = re.compile(r"-?\d+(\.0*)?")
"""Also ``3.0``, which is what pandas makes of integers in a column with gaps."""


def find_column(argument: str, wanted: str | None, names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column that was asked for, else the first of the usual ones, whatever its case, else None.

    Raises:
        ValueError: what was asked for is not there.

    Example:
        >>> find_column("label_column", None, ["file", "Class_Name", "label"], LABEL_COLUMNS)
        'label'
    """
    if wanted is not None:
        if wanted not in names:
            raise ArgumentError(f"{argument} must be one of {', '.join(map(repr, names))}; got {wanted!r}")
        return wanted
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


@dataclass(frozen=True)
class Labels:
    """The labels of a data set.

    Attributes:
        labels: One class index per image, None where there is none.
        rule: How they became indices; None if there are none at all.
        class_names: Name of each index, None where the data has none.
    """

    labels: list[int | None]
    rule: str | None = None
    class_names: tuple[str, ...] | None = None


def label_cells(cells: Sequence[Cell], column: str, place: Callable[[int], str], classes: ModelClasses) -> Labels:
    """The labels of a column: class indices if all are integers, else class names, matched as `match_labels` says.

    Args:
        cells: One per image; None is an image without a label.
        column: Name of the column.
        place: Where a row is, for messages.
        classes: The model's.

    Raises:
        ValueError: a label that is unknown, or integers that may be indices or names; the row is named.
    """
    first: dict[str, int] = {}
    for row, cell in enumerate(cells):
        if cell is not None:
            first.setdefault(str(cell), row)
    if not first:
        return Labels([None] * len(cells))
    names, rule = None, "class indices"
    if all(map(_INTEGER.fullmatch, first)):
        indices = {cell: _index(cell, place(row), classes) for cell, row in first.items()}
        _check_numerals(column, indices, classes)
    else:
        wording = Wording("label", show=lambda name: f"{name!r} ({place(first[name])})")
        matched = match_labels(sorted(first), classes, wording)
        indices, rule, names = matched.indices, matched.rule, matched.class_names
    return Labels([None if cell is None else indices[str(cell)] for cell in cells], rule, names)


def _index(cell: str, place: str, classes: ModelClasses) -> int:
    index = int(cell.partition(".")[0])
    if index < 0 or (classes.count is not None and index >= classes.count):
        raise ArgumentError(f"source: {place} has the label {cell}; allowed are {classes}, or nothing")
    return index


def _check_numerals(column: str, indices: Mapping[str, int], classes: ModelClasses) -> None:
    """Where the model's names are numbers too, an integer may mean either."""
    names = classes.names or ()
    odd = [cell for cell, index in indices.items() if cell in names and names[index] != cell]
    if odd and column.lower() != LABEL_COLUMNS[0]:
        raise ArgumentError(
            f"label_column: {odd[0]} in the column {column!r} may be a class index or one of the model's class names, "
            f"which are numbers, too; allowed are indices in a column called {LABEL_COLUMNS[0]!r}"
        )
