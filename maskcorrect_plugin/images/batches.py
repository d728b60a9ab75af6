"""Batches of images in which one that cannot be used never costs the others."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.errors import ImageError

from .reading import read_image


class Batch(NamedTuple):
    """What `load_batch` could read, and what it could not.

    Attributes:
        inputs: Tensor (n,C,H,W), one row per image that was read; (0,3,0,0) when there is none.
        kept: For each row, the index of its path.
        failures: Path and reason of each of the others, in the order given.
    """

    inputs: Tensor
    kept: list[int]
    failures: list[tuple[Path, str]]


class Stack(NamedTuple):
    """The images that could be stacked, and why the others could not.

    Attributes:
        inputs: Tensor (n,C,H,W); (0,3,0,0) when there is none.
        kept: For each row, its position in what was given.
        failures: Position -> reason of each of the others, in order.
    """

    inputs: Tensor
    kept: list[int]
    failures: dict[int, str]


def load_batch(paths: Iterable[str | os.PathLike[str]], transform: Callable[[Image.Image], Tensor]) -> Batch:
    """Reads and transforms image files; one bad file never stops the others.

    Args:
        paths: Image files.
        transform: From an RGB image to a floating-point tensor (C,H,W); see `stack_images` for those whose shapes
            differ.
    """
    files = [Path(path) for path in paths]
    stack = stack_images([try_image(partial(_read, file, transform)) for file in files])
    return Batch(stack.inputs, stack.kept, [(files[index], reason) for index, reason in stack.failures.items()])


def try_image(load: Callable[[], Tensor]) -> Tensor | str:
    """The image that a function loads, or the reason why there is none.

    Args:
        load: Reads an image and transforms it to a floating-point tensor (C,H,W). An `ImageError` says what is wrong
            with the image; any other exception is put down to the transform.
    """
    try:
        return _check_transformed(load())
    except ImageError as error:
        return error.reason
    except Exception as error:  # noqa: BLE001 - a caller's transform may raise anything; it is reported
        return f"the transform failed: {type(error).__name__}: {error}"


def stack_images(images: Sequence[Tensor | str]) -> Stack:
    """Stacks what can be stacked.

    Args:
        images: What `try_image` gave: tensors (C,H,W) and reasons. Where shapes or types of the tensors differ, the
            most frequent kind is kept (the first of those that are equally frequent) and the others are failures.
    """
    reasons = {index: image for index, image in enumerate(images) if isinstance(image, str)}
    tensors = {index: image for index, image in enumerate(images) if not isinstance(image, str)}
    reasons.update(_odd_ones(tensors))
    kept = [index for index in tensors if index not in reasons]
    inputs = torch.stack([tensors[index] for index in kept]) if kept else torch.empty(0, 3, 0, 0)
    return Stack(inputs, kept, {index: reasons[index] for index in sorted(reasons)})


def _read(file: Path, transform: Callable[[Image.Image], Tensor]) -> Tensor:
    return transform(read_image(file))


def _check_transformed(value: object) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim != 3 or not value.is_floating_point() or value.numel() == 0:
        given = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ImageError(f"the transform must give a floating-point tensor (C,H,W), got {given}")
    if not bool(torch.isfinite(value).all()):
        raise ImageError("the transform gave NaN or infinite values")
    return value


def _odd_ones(tensors: dict[int, Tensor]) -> dict[int, str]:
    """Those that cannot be stacked with the most frequent kind (`Counter` keeps the first among equals), and why."""
    kinds = {index: f"{tuple(tensor.shape)} {tensor.dtype}" for index, tensor in tensors.items()}
    usual = Counter(kinds.values()).most_common(1)[0][0] if kinds else ""
    return {index: f"the transform gave {kind}, others {usual}" for index, kind in kinds.items() if kind != usual}
