"""Any Pillow image as upright RGB: what files, models and pictures agree on."""

import logging
import struct

import numpy as np
from PIL import ExifTags, Image, ImageOps

from .errors import ImageError

logger = logging.getLogger("maskcorrect_plugin")

DAMAGED_EXIF = (SyntaxError, struct.error, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, OSError)
"""What Pillow raises on damaged EXIF data."""


def upright(image: Image.Image, name: str = "an image") -> Image.Image:
    """The image as its EXIF data says that it is to be seen. Damaged EXIF data is logged and the image left as it is.

    Args:
        image: Any Pillow image.
        name: What the log calls it.

    Returns:
        An image without that EXIF entry; the same object where it is upright already.
    """
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except DAMAGED_EXIF as error:
        logger.warning("%s: damaged EXIF data (%s), taken as upright", name, error)
        return image


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


def _scale(image: Image.Image, whites: tuple[float, ...]) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("a floating-point image with NaN or infinite values")
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is None:
        values, white = values - low, (high - low) or 1.0
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8))
