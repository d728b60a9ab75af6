"""``"hf:org/name"`` and ``"hf:./folder"``: data sets of Hugging Face's ``datasets``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from maskcorrect_plugin.errors import ArgumentError, missing_library, reason
from maskcorrect_plugin.images import decode_image, read_image

from .base import ImageDataset, ImageRecord
from .classes import ModelClasses
from .columns import IMAGE_COLUMNS, LABEL_COLUMNS, Labels, find_column, label_cells
from .labels import Wording, match_labels

try:
    import datasets as library
    from datasets import ClassLabel, Value
except ImportError as error:
    raise missing_library("datasets", "hf", purpose="Hugging Face data sets") from error

_SAVED = ("state.json", "dataset_dict.json")
"""What `save_to_disk` leaves in a folder: the first for one split, the second for several."""
_SLICE = 100


class HuggingFaceDataset(ImageDataset):
    """One split of a data set of the hub, of a folder that ``save_to_disk`` wrote, or of a folder of images or parquet.

    Images are decoded here and not by the library, so that they come out as those of any other kind.

    Args:
        source: ``"hf:org/name"``, ``"hf:org/name:configuration"`` or ``"hf:./folder"``.
        classes: The model's.
        split: Name of the split, or a slice such as ``"validation[:100]"``; not needed where there is only one.
        image_column: A column of type ``Image``; the only one by default, else that of a usual name.
        label_column: A column of type ``ClassLabel`` (or integers, or class names); likewise.

    Raises:
        ValueError: it cannot be read or downloaded, or a split or column has to be chosen.
    """

    kind = "hf"

    def __init__(
        self,
        source: str,
        classes: ModelClasses,
        split: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
    ) -> None:
        self.source = source
        self._rows, self.split = _open(source, split)
        if not len(self._rows):
            raise ArgumentError(f"source: {source!r} has no rows in the split {self.split!r}")
        self._image = self._image_column(image_column)
        self._label = self._label_column(label_column)
        self._rows = self._rows.cast_column(self._image, library.Image(decode=False))
        labels = Labels([None] * len(self._rows)) if self._label is None else self._read_labels(self._label, classes)
        self._labels, self.labels_by, self.class_names = labels.labels, labels.rule, labels.class_names
        self._sizes: list[int | None] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def record(self, index: int) -> ImageRecord:
        """The id is the number of the row."""
        return ImageRecord(str(index), self._labels[index])

    def image(self, index: int) -> Image.Image:
        """The image of one row, from the data set or from the file that it names."""
        cell = self._rows[index][self._image] or {}
        name = f"row {index} of {self.source}"
        if cell.get("bytes") is not None:
            return decode_image(cell["bytes"], name)
        return read_image(cell.get("path") or name)

    def byte_size(self, index: int) -> int | None:
        """Size of the encoded image, from the data set's own index or from the file system."""
        if self._sizes is None:
            self._sizes = self._read_sizes()
        return self._sizes[index]

    def describe(self) -> dict[str, Any]:
        """Adds ``split`` and ``columns``."""
        columns = {"image": self._image, "label": self._label}
        return {**super().describe(), "split": self.split, "columns": columns}

    def _image_column(self, wanted: str | None) -> str:
        images = [name for name, feature in self._rows.features.items() if isinstance(feature, library.Image)]
        if not images:
            raise ArgumentError(f"source: no column of {self.source!r} holds images; there are {_shown(self._rows)}")
        return _choose("image_column", wanted, images, IMAGE_COLUMNS)

    def _label_column(self, wanted: str | None) -> str | None:
        features = self._rows.features
        declared = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
        if declared and wanted is None:
            return _choose("label_column", None, declared, LABEL_COLUMNS)
        plain = [name for name, feature in features.items() if isinstance(feature, Value)]
        return find_column("label_column", wanted, [*declared, *plain], LABEL_COLUMNS)

    def _read_labels(self, column: str, classes: ModelClasses) -> Labels:
        values = self._rows.select_columns([column])[:][column]
        feature = self._rows.features[column]
        if not isinstance(feature, ClassLabel):
            cells = [value if value is None or isinstance(value, int) else str(value) for value in values]
            return label_cells(cells, column, lambda row: f"row {row}", classes)
        matched = match_labels(feature.names, classes, Wording("class", order="declared"))
        indices = [matched.indices[name] for name in feature.names]
        # Splits whose labels are withheld have -1 in their place.
        labels = [None if value is None or value < 0 else indices[value] for value in values]
        return Labels(labels, matched.rule, matched.class_names)

    def _read_sizes(self) -> list[int | None]:
        import pyarrow.compute as pc

        sizes: list[int | None] = []
        for table in self._rows.select_columns([self._image]).with_format("arrow").iter(_SLICE):
            column = table.column(self._image)
            lengths = pc.binary_length(pc.struct_field(column, "bytes")).to_pylist()
            paths = pc.struct_field(column, "path").to_pylist()
            sizes += [_file_size(path) if size is None else size for size, path in zip(lengths, paths, strict=True)]
        return sizes


def _file_size(path: str | None) -> int | None:
    return Path(path).stat().st_size if path and Path(path).is_file() else None


def _shown(rows: Any) -> str:
    return ", ".join(f"{name!r} ({type(feature).__name__})" for name, feature in rows.features.items())


def _choose(argument: str, wanted: str | None, names: Sequence[str], usual: Sequence[str]) -> str:
    """The column asked for, the only one, or the one of a usual name."""
    found = names[0] if wanted is None and len(names) == 1 else find_column(argument, wanted, names, usual)
    if found is None:
        raise ArgumentError(f"{argument} must be chosen from {', '.join(map(repr, names))}")
    return found


def _open(source: str, split: str | None) -> tuple[Any, str | None]:
    """The rows of one split, and its name."""
    name = source.removeprefix("hf:")
    folder = Path(name).expanduser()
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ArgumentError(f"source: 'hf:FOLDER' needs an existing folder, got {source!r}")
    try:
        if any((folder / file).is_file() for file in _SAVED):
            return _open_saved(folder, split)
        path, _, config = (str(folder), "", "") if folder.is_dir() else name.partition(":")
        if split is None:
            split = _only("split", library.get_dataset_split_names(path, config or None))
        return library.load_dataset(path, config or None, split=split), split
    except ArgumentError:
        raise
    except Exception as error:
        # The library and each of its transports have their own errors for a host that does not answer.
        raise ArgumentError(
            f"source: {source!r} is not on this computer and could not be downloaded, or could not be read: "
            f"{reason(error)}. Without a network, 'hf:./FOLDER' reads what save_to_disk wrote, or a folder of images "
            "or parquet files"
        ) from error


def _open_saved(folder: Path, split: str | None) -> tuple[Any, str | None]:
    saved = library.load_from_disk(str(folder))
    if isinstance(saved, library.DatasetDict):
        if split is None:
            split = _only("split", list(saved))
        if split not in saved:
            raise ArgumentError(f"split must be one of {', '.join(map(repr, saved))}; got {split!r}")
        return saved[split], split
    own = None if saved.split is None else str(saved.split)
    if split not in (None, own):
        raise ArgumentError(f"split: the data set in {str(folder)!r} is one split ({own!r}), got {split!r}")
    return saved, own


def _only(argument: str, names: Sequence[str]) -> str:
    if len(names) != 1:
        raise ArgumentError(f"{argument} must be chosen from {', '.join(map(repr, names))}")
    return names[0]
