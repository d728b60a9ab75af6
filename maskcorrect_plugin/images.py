"""Image files: whatever can be read becomes RGB, whatever cannot is reported by name and reason."""

import logging
import os
import struct
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .errors import ImageError

logger = logging.getLogger("maskcorrect_plugin")

FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What is tried. Pillow reads more, some of it by starting other programs (EPS), some without any signature (TGA)."""
_USUAL = ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .webp .bmp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .avif"
SUFFIXES = frozenset(_USUAL.split())
"""What `find_images` takes for an image inside a folder."""

DAMAGED_EXIF = (SyntaxError, struct.error, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError)
"""What Pillow raises on damaged EXIF data."""
_OPENING = threading.Lock()


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


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """One image file as upright RGB, as `to_rgb` says. Of an animation or a document with pages, the first frame.

    Damaged EXIF data is logged and the image taken as upright.

    Args:
        path: A file in one of `FORMATS`, recognised by its content, whatever its name.

    Raises:
        ImageError: no such file, a folder, empty, not an image, truncated, or more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``. The message names the file and the reason.
    """
    file = Path(path)
    try:
        _check_file(file)
        with _open(file) as image:
            image.load()
            return to_rgb(_upright(image, file))
    except UnidentifiedImageError as error:
        raise ImageError(f"{file!s}: not an image in a format that is read here ({', '.join(_formats())})") from error
    except Exception as error:
        # Decoders of damaged files raise nearly anything, down to SyntaxError and MemoryError.
        raise ImageError(f"{file!s}: {error or type(error).__name__}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any Pillow image as RGB with 8 bits a channel.

    Transparency is composited over white. 16-bit images keep their full range (65535 becomes 255). Modes ``I`` and
    ``F`` do not say what their white is: the smallest usual one that no value exceeds is taken (``F``: 1, 255, 65535;
    ``I``: 255, 65535); with negative or larger values the image is stretched from its minimum to its maximum.

    Raises:
        ImageError: a floating-point image with NaN or infinite values.
        ValueError: a colour space that Pillow does not convert (LAB).
    """
    if image.mode.startswith("I;16"):
        image = _scale(image, (65535.0,))
    elif image.mode in ("I", "F"):
        image = _scale(image, (255.0, 65535.0) if image.mode == "I" else (1.0, 255.0, 65535.0))
    elif image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files and folders as a list of files, each once.

    A folder stands for all images in it and below it (by `SUFFIXES`, hidden files and folders left out), sorted by
    path. A file stands for itself whatever it is, also when it is missing: reading it reports that by name, and the
    others go on.

    Args:
        paths: One path, or several in the order wanted.

    Raises:
        ImageError: a folder holds no image.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, None] = {}
    for path in map(Path, given):
        files = _images_below(path) if path.is_dir() else [path]
        if not files:
            raise ImageError(f"{path!s}: there is no image in this folder or below it")
        found.update(dict.fromkeys(files))
    return list(found)


def load_batch(paths: Iterable[str | os.PathLike[str]], transform: Callable[[Image.Image], Tensor]) -> Batch:
    """Reads and transforms image files; one bad file never stops the others.

    Args:
        paths: Image files.
        transform: From an RGB image to a floating-point tensor (C,H,W). Where the shapes differ, the most frequent
            one is kept (the first of those that are equally frequent) and the others are failures.
    """
    files = [Path(path) for path in paths]
    tensors: dict[int, Tensor] = {}
    reasons: dict[int, str] = {}
    for index, file in enumerate(files):
        try:
            tensors[index] = _check_transformed(transform(read_image(file)))
        except ImageError as error:
            reasons[index] = str(error).removeprefix(f"{file!s}: ")
        except Exception as error:  # noqa: BLE001 - a caller's transform may raise anything; it is reported
            reasons[index] = f"the transform failed: {type(error).__name__}: {error}"
    odd = _odd_ones(tensors)
    reasons.update(odd)
    tensors = {index: tensor for index, tensor in tensors.items() if index not in odd}
    inputs = torch.stack(list(tensors.values())) if tensors else torch.empty(0, 3, 0, 0)
    return Batch(inputs, list(tensors), [(files[index], reasons[index]) for index in sorted(reasons)])


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


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise ImageError("a folder, not an image file")
    if not file.exists():
        raise ImageError("no such file")
    if not file.is_file():
        raise ImageError("not a regular file")
    if file.stat().st_size == 0:
        raise ImageError("the file is empty")


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _open(file: Path) -> Image.Image:
    # Between one and two times MAX_IMAGE_PIXELS Pillow only warns. The list of warning filters belongs to the whole
    # process: the lock keeps threads that read images from restoring it in the wrong order.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=_formats())


def _upright(image: Image.Image, file: Path) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except DAMAGED_EXIF as error:
        logger.warning("%s: damaged EXIF data (%s), taken as upright", file, error)
        return image


def _scale(image: Image.Image, whites: tuple[float, ...]) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("a floating-point image with NaN or infinite values")
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        values, white = values - low, (high - low) or 1.0
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))


def _images_below(folder: Path) -> list[Path]:
    def visible(file: Path) -> bool:
        return not any(part.startswith(".") for part in file.relative_to(folder).parts)

    return sorted(
        file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and visible(file) and file.is_file()
    )
