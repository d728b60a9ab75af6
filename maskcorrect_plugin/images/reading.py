"""Reading one image: whatever can be read becomes RGB, whatever cannot is reported by name and reason."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.rgb import to_rgb, upright

FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What is tried. Pillow reads more, some of it by starting other programs (EPS), some without any signature (TGA)."""

_OPENING = threading.Lock()


def read_image(path: str | os.PathLike[str], *, max_pixels: int | None = None) -> Image.Image:
    """One image file as upright RGB, as `to_rgb` says. Of an animation or a document with pages, the first frame.

    Damaged EXIF data is logged and the image taken as upright.

    Args:
        path: A file in one of `FORMATS`, recognised by its content, whatever its name.
        max_pixels: How many it may have; looked at before anything is decoded.

    Raises:
        ImageError: no such file, a folder, empty, not an image, truncated, or more pixels than `max_pixels` or
            twice ``PIL.Image.MAX_IMAGE_PIXELS`` (179 million), where Pillow refuses. The message names the file and the
            reason.
    """
    file = Path(path)
    with _named(str(file)):
        _check_file(file)
        return _decode(file, str(file), max_pixels)


def decode_image(data: bytes, name: str) -> Image.Image:
    """An image file that is in memory, as `read_image` gives it.

    Args:
        data: The file's content.
        name: What messages call it.

    Raises:
        ImageError: as for `read_image`.
    """
    with _named(name):
        if not data:
            raise ImageError("the file is empty")
        return _decode(io.BytesIO(data), name)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Every error becomes an `ImageError` that names the image."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ImageError(f"not an image in a format that is read here ({', '.join(_formats())})", name) from error
    except Exception as error:
        # Decoders of damaged files raise nearly anything, down to SyntaxError and MemoryError.
        raise ImageError(str(error) or type(error).__name__, name) from error


def _decode(file: Path | BinaryIO, name: str, max_pixels: int | None = None) -> Image.Image:
    with _open(file) as image:
        pixels = image.width * image.height
        if max_pixels is not None and pixels > max_pixels:
            raise ImageError(
                f"{image.width} x {image.height} pixels, {pixels:,} in all; at most {max_pixels:,} are read here"
            )
        image.load()
        return to_rgb(upright(image, name))


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


def _open(file: Path | BinaryIO) -> Image.Image:
    # Between one and two times MAX_IMAGE_PIXELS Pillow only warns: photographs of 100 million pixels are no bombs. The
    # list of warning filters belongs to the whole process: the lock keeps threads that read images from restoring it in
    # the wrong order.
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file, formats=_formats())
