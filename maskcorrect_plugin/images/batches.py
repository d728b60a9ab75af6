"""Batches of images in which one that cannot be used never costs the others."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import is_finite
from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.pictures import Picture

from .reading import read_image

Loaded = TypeVar("Loaded", Tensor, Picture)


class Batch(NamedTuple):
    """What `load_batch` could read, and what it could not.

    Attributes:
        inputs: Tensor (n,C,H,W), one row per image that was read; (0,3,0,0) when there is none.
        kept: For each row, the index of its path.
        failures: Path and reason of each of the others, in the order given.
        pictures: The picture of each row of `inputs`; None where tensors were loaded.
    """

    inputs: Tensor
    kept: list[int]
    failures: list[tuple[Path, str]]
    pictures: list[Picture] | None = None


class Stack(NamedTuple):
    """The images that could be stacked, and why the others could not.

    Attributes:
        inputs: Tensor (n,C,H,W); (0,3,0,0) when there is none.
        kept: For each row, its position in what was given.
        failures: Position -> reason of each of the others, in order.
        pictures: The picture of each row of `inputs`, its own inputs being that row; None where tensors were given.
    """

    inputs: Tensor
    kept: list[int]
    failures: dict[int, str]
    pictures: list[Picture] | None = None


def load_batch(
    paths: Iterable[str | os.PathLike[str]], transform: Callable[[Image.Image], Loaded], pictures: bool = False
) -> Batch:
    """Reads and transforms image files; one bad file never stops the others.

    Args:
        paths: Image files.
        transform: From an RGB image to a floating-point tensor (C,H,W); see `stack_images` for those whose shapes
            differ. With `pictures` from an RGB image to a `Picture`: the `picture` of a `Preprocessing`.
        pictures: Whether the originals are kept beside the tensors.
    """
    files = [Path(path) for path in paths]
    stack = stack_images([try_image(partial(_read, file, transform), pictures) for file in files], pictures)
    failures = [(files[index], reason) for index, reason in stack.failures.items()]
    return Batch(stack.inputs, stack.kept, failures, stack.pictures)


def try_image(load: Callable[[], Loaded | Tensor], pictures: bool = False) -> Loaded | Tensor | str:
    """The image that a function loads, or the reason why there is none.

    Args:
        load: Reads an image and transforms it to a floating-point tensor (C,H,W), or to a `Picture` with such a
            tensor. An `ImageError` says what is wrong with the image; any other exception is put down to the transform.
        pictures: Whether it must be a `Picture`.
    """
    try:
        value = load()
        if pictures and not isinstance(value, Picture):
            raise ImageError("a tensor has no picture behind it, and the original pictures are needed")
        _check_transformed(value.inputs if isinstance(value, Picture) else value)
        return value
    except ImageError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - a caller's transform may raise anything; it is reported
        return f"the transform failed: {type(error).__name__}: {error}"


def stack_images(images: Sequence[Tensor | Picture | str], pictures: bool = False) -> Stack:
    """Stacks what can be stacked.

    Args:
        images: What `try_image` gave: tensors (C,H,W) or pictures, and reasons. Where shapes or types of the tensors
            differ, the most frequent kind is kept (the first of those that are equally frequent) and the others are
            failures.
        pictures: Whether there are pictures, not tensors. They need not be equally large.
    """
    reasons = {index: image for index, image in enumerate(images) if isinstance(image, str)}
    found = {index: image for index, image in enumerate(images) if not isinstance(image, str)}
    tensors = {index: image.inputs if isinstance(image, Picture) else image for index, image in found.items()}
    reasons.update(_odd_ones(tensors))
    kept = [index for index in tensors if index not in reasons]
    inputs = torch.stack([tensors[index] for index in kept]) if kept else torch.empty(0, 3, 0, 0)
    originals = [image for index in kept if isinstance(image := found[index], Picture)]
    # The inputs are in memory once: a picture sees its row.
    shared = [replace(original, inputs=row) for original, row in zip(originals, inputs, strict=False)]
    return Stack(inputs, kept, {index: reasons[index] for index in sorted(reasons)}, shared if pictures else None)


def _read(file: Path, transform: Callable[[Image.Image], Loaded]) -> Loaded:
    return transform(read_image(file))


def _check_transformed(value: object) -> None:
    if not isinstance(value, Tensor) or value.ndim != 3 or not value.is_floating_point() or value.numel() == 0:
        given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ImageError(f"the transform must give a floating-point tensor (C,H,W), got {given}")
    if not is_finite(value):
        raise ImageError("the transform gave NaN or infinite values")


def _odd_ones(tensors: dict[int, Tensor]) -> dict[int, str]:
    """Those that cannot be stacked with the most frequent kind (`Counter` keeps the first among equals), and why."""
    kinds = {index: f"{tuple(tensor.shape)} {tensor.dtype}" for index, tensor in tensors.items()}
    usual = Counter(kinds.values()).most_common(1)[0][0] if kinds else ""
    return {index: f"the transform gave {kind}, others {usual}" for index, kind in kinds.items() if kind != usual}
