"""From what a user names, or has, to a data set."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError

from .base import ImageDataset
from .classes import ModelClasses
from .demo import DemoDataset
from .folder import FolderDataset
from .imagenet import ImageNetDataset
from .manifest import ManifestDataset
from .tables import READERS
from .wrapped import WrappedDataset

FORMS = f"a folder, a manifest ({', '.join(READERS)}), 'hf:org/name', 'hf:./folder', 'demo' or 'demo:N' (N scenes)"
OPTIONS = {
    "folder": ("split",),
    "imagenet": ("split",),
    "manifest": ("image_column", "label_column", "root"),
    "hf": ("split", "image_column", "label_column"),
    "demo": ("split",),
}
"""Kind -> the options that mean something to it; any other is refused."""


def load_dataset(
    source: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> ImageDataset:
    """Opens a data set; no image is read.

    Args:
        source: A folder of class folders or of images, a folder in ImageNet's layout (``val/n01440764/...``), a
            manifest (``.csv``, ``.tsv``, ``.txt``, ``.parquet``), ``"hf:org/name"``, ``"hf:org/name:configuration"`` or
            ``"hf:./folder"`` (extra ``hf``), ``"demo"`` or ``"demo:N"`` (N generated scenes).
        class_names: The model's classes, in the order of its outputs; labels become indices into them as
            `match_labels` says. Without them the data's own order counts.
        num_classes: Number of the model's outputs, where their names are not known.
        split: Part of the data set: a folder inside `source`, ``"val"`` (default) or ``"train"`` of ImageNet's layout,
            a split of a Hugging Face data set, ``"test"`` (default), ``"validation"`` or ``"train"`` of the demo.
        image_column: Column of the images in a manifest or a Hugging Face data set, found by name or type by default.
        label_column: Column of the labels, likewise.
        root: Folder that a manifest's paths are relative to; its own by default.

    Raises:
        ValueError: no such data, an option that it does not have, or labels that fit no rule.
        ImportError: an optional library is not installed; the message says how to install it.

    Example:
        >>> dataset = load_dataset("demo:20")
        >>> len(dataset), dataset.record(3), dataset.class_names[3]
        (20, ImageRecord(id='test/3', label=3), 'mooned perch')
    """
    if not isinstance(source, str | os.PathLike):
        raise ArgumentTypeError(f"source must be {FORMS}; got {type(source).__name__}")
    classes = ModelClasses.of(class_names, num_classes)
    given = {"split": split, "image_column": image_column, "label_column": label_column, "root": root}
    options = {name: value for name, value in given.items() if value is not None}
    text = os.fspath(source)
    kind = _kind(text, split, named=isinstance(source, str))
    for name in options:
        if name not in OPTIONS[kind]:
            allowed = ", ".join(OPTIONS[kind])
            raise ArgumentError(f"{name} is no option for {text!r} (kind {kind!r}), which has {allowed}")
    dataset: ImageDataset = _class_of(kind)(text, classes, **options)
    return dataset


def as_image_dataset(
    data: Any, *, class_names: Sequence[str] | None = None, num_classes: int | None = None
) -> ImageDataset:
    """What an evaluation takes: a data set of this package, something to load one from, or any map-style data set.

    Args:
        data: An `ImageDataset`, which is given back; what `load_dataset` takes; or what `WrappedDataset` takes, whose
            labels are the model's indices already.
        class_names: The model's classes.
        num_classes: Number of the model's outputs.

    Raises:
        TypeError: none of these.
    """
    if isinstance(data, ImageDataset):
        return data
    if isinstance(data, str | os.PathLike):
        return load_dataset(data, class_names=class_names, num_classes=num_classes)
    return WrappedDataset(data, num_classes=ModelClasses.of(class_names, num_classes).count)


def _kind(source: str, split: str | None, named: bool) -> str:
    """The kind of data set that a source stands for; only a string can be a name, a path object is a path."""
    if named and source.startswith("hf:"):
        return "hf"
    if named and source.partition(":")[0] == "demo":
        return "demo"
    path = Path(source).expanduser()
    if path.is_dir():
        return "imagenet" if ImageNetDataset.recognises(path, split) else "folder"
    if path.is_file() and path.suffix.lower() in READERS:
        return "manifest"
    what = "is a file of another kind" if path.exists() else "does not exist"
    raise ArgumentError(f"source must be {FORMS}; {source!r} {what}")


def _class_of(kind: str) -> Any:
    if kind == "hf":
        from .huggingface import HuggingFaceDataset  # imports an optional library

        return HuggingFaceDataset
    homes = {"folder": FolderDataset, "imagenet": ImageNetDataset, "manifest": ManifestDataset, "demo": DemoDataset}
    return homes[kind]
