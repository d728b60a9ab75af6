"""A folder of class folders (torchvision's ``ImageFolder``), or of images without classes."""

import os
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.images import SUFFIXES, images_below

from .classes import ModelClasses, some
from .files import FileDataset
from .labels import Wording, match_labels

SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "eval"})
"""Folders of these names are parts of a data set, not classes."""


class FolderDataset(FileDataset):
    """Images in class folders and below them, or images in a folder without class folders, which have no labels.

    Links to files and folders are followed, hidden ones are left out. Class folders without images count as classes.

    Args:
        source: The folder.
        classes: The model's.
        split: Name of the folder inside `source` that is meant.

    Raises:
        ValueError: no such folder, no images, images beside class folders, or labels that fit no rule.
    """

    kind = "folder"

    def __init__(self, source: str, classes: ModelClasses, split: str | None = None) -> None:
        root = Path(source).expanduser()
        prefix = () if split is None else (split,)
        top = root.joinpath(*prefix)
        if not top.is_dir():
            raise ArgumentError(f"split: there is no folder {split!r} in {source!r}, which has {_folders_of(root)}")
        self.split = split
        folders, files = list_folder(top)
        names = [name for folder in folders for name in _in_class(top, folder)]
        if names and files:
            raise ArgumentError(
                f"source: {str(top)!r} has {len(files)} images beside its class folders: {some(files)}; allowed are "
                "images in class folders, or images and no folders of images"
            )
        if not names and not files:
            raise ArgumentError(f"source: there is no image in {str(top)!r} or below it")
        labels: list[int | None] = [None] * len(files)
        if names:
            if split is None:
                _check_no_splits(source, folders, classes)
            matched = match_labels(folders, classes, Wording())
            self.class_names, self.labels_by = matched.class_names, matched.rule
            labels = [matched.indices[name.partition("/")[0]] for name in names]
        super().__init__(source, root, ["/".join((*prefix, name)) for name in names or files], labels)

    def describe(self) -> dict[str, Any]:
        """Adds ``split``."""
        return {**super().describe(), "split": self.split}


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the images right inside a folder, each sorted, hidden ones left out."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif Path(entry.name).suffix.lower() in SUFFIXES:
                files.append(entry.name)
    return sorted(folders), sorted(files)


def _check_no_splits(source: str, folders: list[str], classes: ModelClasses) -> None:
    if all(name.lower() in SPLIT_NAMES for name in folders) and not set(folders) <= set(classes.names or ()):
        raise ArgumentError(
            f"split: {source!r} holds parts of a data set, not classes; choose one of {some(folders, count=9)}"
        )


def _in_class(top: Path, folder: str) -> list[str]:
    return [f"{folder}/{name}" for name in images_below(top / folder, follow_links=True, onerror=_refuse)]


def _refuse(error: OSError) -> None:
    """A class that cannot be listed would be missing from every table."""
    raise ArgumentError(f"source: the folder {error.filename!r} cannot be listed: {error.strerror}") from error


def _folders_of(root: Path) -> str:
    return some(list_folder(root)[0], count=9) or "no folders"
