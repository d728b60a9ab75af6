"""A table of images: one row each, with its path and its label."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError

from .classes import ModelClasses
from .files import FileDataset, printable_name
from .labels import LabelMap, Wording, match_labels
from .tables import Cell, Table, read_table

IMAGE_COLUMNS = ("path", "file", "filename", "file_name", "image")
LABEL_COLUMNS = ("class_index", "label", "target", "class", "class_name")
"""Names by which columns are found, whatever their case; of several the first counts."""
_INTEGER = re.compile(r"-?\d+(\.0*)?")
"""Also ``3.0``, which is what pandas makes of integers in a column with gaps."""
_PROBED = 100


class ManifestDataset(FileDataset):
    """The rows of a CSV or parquet file.

    Labels that are all integers are class indices; others are class names, matched as `match_labels` says. An empty
    cell is an image without a label. Images are read only when they are asked for.

    Args:
        source: The file; see `tables.READERS`.
        classes: The model's.
        image_column: Column of the paths; found by `IMAGE_COLUMNS` when None.
        label_column: Column of the labels; found by `LABEL_COLUMNS` when None, in which case there may be none.
        root: Folder that the paths are relative to; the manifest's own by default.

    Raises:
        ValueError: a column that is missing, a path that is missing or there twice, or a label that is unknown; the
            line is named. Also if none of the first files exist: then the root is another one.
    """

    kind = "manifest"

    def __init__(
        self,
        source: str,
        classes: ModelClasses,
        image_column: str | None = None,
        label_column: str | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        file = Path(source).expanduser()
        folder = file.parent if root is None else Path(root).expanduser()
        self.columns: dict[str, str | None] = {"image": image_column, "label": label_column}
        table = read_table(file, self._choose)
        names = _paths(table, self.columns["image"] or "", folder)
        label = self.columns["label"]
        labels = [None] * len(names) if label is None else self._labels_of(table, label, classes)
        super().__init__(source, folder, names, labels)
        self._check_root()

    def _choose(self, names: Sequence[str]) -> list[str]:
        image = find_column("image_column", self.columns["image"], names, IMAGE_COLUMNS)
        if image is None:
            raise ArgumentError(
                f"image_column: none of the columns is called {', '.join(IMAGE_COLUMNS)}; the file has "
                f"{', '.join(map(repr, names))}"
            )
        label = find_column("label_column", self.columns["label"], names, LABEL_COLUMNS)
        self.columns = {"image": image, "label": label}
        return [image] if label is None else [image, label]

    def _labels_of(self, table: Table, column: str, classes: ModelClasses) -> list[int | None]:
        cells = table.columns[column]
        first: dict[Cell, int] = {}
        for row, cell in enumerate(cells):
            first.setdefault(cell, row)
        found = {cell: row for cell, row in first.items() if cell is not None}
        if not found:
            return [None] * len(cells)
        if all(_INTEGER.fullmatch(str(cell)) for cell in found):
            self.labels_by = "class indices"
            indices = {cell: _index(cell, f"{table.place(row)}", classes) for cell, row in found.items()}
            _check_numerals(column, indices, classes)
        else:
            matched = _match(table, found, classes)
            self.class_names, self.labels_by = matched.class_names, matched.rule
            indices = {cell: matched.indices[str(cell)] for cell in found}
        return [None if cell is None else indices[cell] for cell in cells]

    def _check_root(self) -> None:
        probed = range(min(len(self), _PROBED))
        if not any(self.path(index).exists() for index in probed):
            raise ArgumentError(
                f"root: of the first {len(probed)} images in {self.source!r} none exists below {str(self.root)!r}, for "
                f"example {self.record(0).id!r}; allowed is the folder that the paths are relative to"
            )

    def describe(self) -> dict[str, Any]:
        """Adds ``columns``: those of the images and the labels."""
        return {**super().describe(), "columns": dict(self.columns)}


def find_column(argument: str, wanted: str | None, names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The column that was asked for, else the first of the usual ones, whatever its case, else None.

    Raises:
        ValueError: what was asked for is not there.
    """
    if wanted is not None:
        if wanted not in names:
            raise ArgumentError(f"{argument} must be one of {', '.join(map(repr, names))}; got {wanted!r}")
        return wanted
    lower = {name.lower(): name for name in reversed(names)}
    return next((lower[name] for name in usual if name in lower), None)


def _paths(table: Table, column: str, root: Path) -> list[str]:
    """Each row's path, normalised and relative to the root where it lies below it.

    An absolute path elsewhere stays as it is.
    """
    names: dict[str, int] = {}
    top = root.absolute()
    for row, cell in enumerate(table.columns[column]):
        if cell is None:
            raise ArgumentError(f"source: {table.place(row)} has no path in the column {column!r}")
        name = _relative(str(cell), top)
        if (before := names.setdefault(name, row)) != row:
            raise ArgumentError(
                f"source: {table.place(row)} names {printable_name(name)!r} again, after {table.place(before)}; "
                "allowed is each image once"
            )
    if not names:
        raise ArgumentError("source: the manifest has no rows")
    return list(names)


def _relative(path: str, root: Path) -> str:
    name = os.path.normpath(path)
    if os.path.isabs(name) and Path(name).is_relative_to(root):  # noqa: PTH117 - asked for every row
        name = str(Path(name).relative_to(root))
    return name.replace(os.sep, "/")


def _index(cell: Cell, place: str, classes: ModelClasses) -> int:
    index = int(float(str(cell)))
    if index < 0 or (classes.count is not None and index >= classes.count):
        raise ArgumentError(f"source: {place} has the label {cell!r}; allowed are {classes}, or an empty cell")
    return index


def _check_numerals(column: str, indices: Mapping[str | int, int], classes: ModelClasses) -> None:
    """Where the model's names are numbers too, an integer may mean either."""
    if column.lower() == LABEL_COLUMNS[0] or classes.names is None:
        return
    odd = [name for name, index in indices.items() if str(name) in classes.names and classes.names[index] != str(name)]
    if odd:
        raise ArgumentError(
            f"label_column: {odd[0]!r} in the column {column!r} may be a class index or one of the model's class "
            f"names, which are numbers, too; allowed are indices in a column called {LABEL_COLUMNS[0]!r}"
        )


def _match(table: Table, found: Mapping[str | int, int], classes: ModelClasses) -> LabelMap:
    names = sorted(map(str, found))
    places = {str(cell): table.place(row) for cell, row in found.items()}
    return match_labels(names, classes, Wording("label", show=lambda name: f"{name!r} ({places[name]})"))
