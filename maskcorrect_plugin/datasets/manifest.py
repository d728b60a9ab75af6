"""A table of images: one row each, with its path and its label."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError

from .classes import ModelClasses
from .columns import IMAGE_COLUMNS, LABEL_COLUMNS, Labels, find_column, label_cells
from .files import FileDataset, printable_name
from .tables import Table, read_table

_PROBED = 100

logger = logging.getLogger("maskcorrect_plugin")


class ManifestDataset(FileDataset):
    """The rows of a CSV or parquet file.

    Args:
        source: The file; see `tables.READERS`.
        classes: The model's.
        image_column: Column of the paths; found by `IMAGE_COLUMNS` when None.
        label_column: Column of the labels, see `label_cells`; found by `LABEL_COLUMNS` when None, where there may be
            none.
        root: Folder that the paths are relative to; the manifest's own by default.

    Raises:
        ValueError: a column that is missing, a path that is missing or there twice, or a label that is unknown; the
            line is named. Also if none of the first files exists: then the root is another one.
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
        self._image, self._label = image_column or "", label_column
        table = read_table(file, self._choose)
        names = _paths(table, self._image, folder)
        labels = Labels([None] * len(names))
        if self._label is not None:
            labels = label_cells(table.columns[self._label], self._label, table.place, classes)
        self.class_names, self.labels_by = labels.class_names, labels.rule
        super().__init__(source, folder, names, labels.labels)
        self._check_root()

    def _choose(self, names: Sequence[str]) -> list[str]:
        image = find_column("image_column", self._image or None, names, IMAGE_COLUMNS)
        if image is None:
            raise ArgumentError(
                f"image_column: none of the columns is called {', '.join(IMAGE_COLUMNS)}; there are "
                f"{', '.join(map(repr, names))}"
            )
        self._image = image
        self._label = find_column("label_column", self._label, names, LABEL_COLUMNS)
        if self._label is None and len(names) > 1:
            logger.warning(
                "no column is called %s, so no image has a label; label_column can name the one that holds them, of %s",
                ", ".join(LABEL_COLUMNS),
                ", ".join(repr(name) for name in names if name != image),
            )
        return [image] if self._label is None else [image, self._label]

    def _check_root(self) -> None:
        probed = range(min(len(self), _PROBED))
        if not any(self.path(index).exists() for index in probed):
            raise ArgumentError(
                f"root: of the first {len(probed)} images of {self.source!r} none exists below {str(self.root)!r}, for "
                f"example {self.record(0).id!r}; allowed is the folder that the paths are relative to"
            )

    def describe(self) -> dict[str, Any]:
        """Adds ``columns``: those of the images and the labels."""
        return {**super().describe(), "columns": {"image": self._image, "label": self._label}}


def _paths(table: Table, column: str, root: Path) -> list[str]:
    """Each row's path, normalised, and relative to the root where it lies below it; elsewhere it stays absolute."""
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
        raise ArgumentError("source: the manifest has a header and no rows")
    return list(names)


def _relative(path: str, root: Path) -> str:
    name = os.path.normpath(path)
    if os.path.isabs(name) and Path(name).is_relative_to(root):  # noqa: PTH117 - asked for every row
        name = str(Path(name).relative_to(root))
    return name.replace(os.sep, "/")
