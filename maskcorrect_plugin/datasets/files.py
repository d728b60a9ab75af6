"""Data sets whose images are files below one folder."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from maskcorrect_plugin.images import read_image

from .base import ImageDataset, ImageRecord


class FileDataset(ImageDataset):
    """Image files with labels.

    Args:
        source: What was asked for.
        root: The folder that `names` are relative to.
        names: One per image, with ``/`` between folders.
        labels: One per image.
    """

    def __init__(self, source: str, root: Path, names: Sequence[str], labels: Sequence[int | None]) -> None:
        self.source = source
        self.root = root
        self._names = names
        self._labels = labels

    def __len__(self) -> int:
        return len(self._names)

    def record(self, index: int) -> ImageRecord:
        r"""The id is the file's name relative to `root`; bytes of it that are not UTF-8 are written ``\xNN``."""
        return ImageRecord(printable_name(self._names[index]), self._labels[index])

    def image(self, index: int) -> Image.Image:
        """The file, upright, as RGB."""
        return read_image(self.path(index))

    def path(self, index: int) -> Path:
        """Where the file is."""
        return self.root / self._names[index]

    def byte_size(self, index: int) -> int | None:
        """From the file system; None if there is no such file."""
        try:
            return os.stat(f"{self.root}/{self._names[index]}").st_size  # noqa: PTH116 - asked for every image
        except (OSError, ValueError):
            return None


def printable_name(name: str) -> str:
    r"""A file's name as valid Unicode: parquet, JSON and terminals refuse the stray bytes that Python lets through.

    Example:
        >>> printable_name("caf\udce9.jpg")
        'caf\\xe9.jpg'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
