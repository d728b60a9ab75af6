"""Image files: whatever can be read becomes RGB, whatever cannot is reported by name and reason."""

from maskcorrect_plugin.rgb import to_rgb

from .batches import Batch, Stack, load_batch, stack_images, try_image
from .finding import SUFFIXES, find_images, images_below
from .reading import FORMATS, decode_image, read_image

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Batch",
    "Stack",
    "decode_image",
    "find_images",
    "images_below",
    "load_batch",
    "read_image",
    "stack_images",
    "to_rgb",
    "try_image",
]
