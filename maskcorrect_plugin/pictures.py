"""The original picture behind a network's input, and boxes cut out of it.

Coordinates are continuous: (0, 0) is the outer corner of the first pixel, (width, height) that of the last one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .checks import check_choice, check_int, check_number
from .errors import ArgumentError, ArgumentTypeError
from .rgb import to_rgb, upright

MIN_SIDE = 0.25
"""Smallest side of a box as a share of the picture's shorter side."""

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "nearest-exact": Image.Resampling.NEAREST,  # as torchvision does with Pillow images
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
INTERPOLATIONS = tuple(_RESAMPLING)
"""What pictures are resampled by: the values of ``torchvision.transforms.InterpolationMode``."""


class Box(NamedTuple):
    """A rectangle in continuous pixel coordinates."""

    left: float
    top: float
    right: float
    bottom: float

    def scaled(self, across: float, down: float) -> "Box":
        """The same rectangle of a picture that was resized by these factors."""
        return Box(self.left * across, self.top * down, self.right * across, self.bottom * down)


class Prepares(Protocol):
    """What makes a network's input of a picture and knows where in the picture it lies: see `Preprocessing`."""

    @property
    def transform(self) -> Callable[[Image.Image], Tensor]:
        """From an RGB image to the network's input (C,H,W)."""

    def locate(self, size: tuple[int, int]) -> Box:
        """Where the input lies in a picture of that (width, height)."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The original picture and where the network's input lies in it.

    Attributes:
        inputs: Tensor (C,H,W), floating point: exactly what the model's own transform makes of the picture.
        pixels: Tensor (3,h,w) uint8: the original as RGB, reduced where it has more pixels than any box needs.
        box: Where `inputs` lies, in coordinates of `pixels`. It reaches beyond their edges where the transform pads.
        size: (height, width) of the picture as it came, upright.
    """

    inputs: Tensor
    pixels: Tensor
    box: Box
    size: tuple[int, int]

    @classmethod
    def of(cls, image: Image.Image, preprocessing: Prepares, min_side: float = MIN_SIDE) -> "Picture":
        """A Pillow image with what a model takes of it.

        EXIF orientation is applied first. The pixels are reduced, antialiased and in their proportions, where the
        shorter side is above ``ceil(max(H, W) / min_side)``: 896 for an input of 224, so that a picture of 4:3 keeps
        3.2 MB. While it is made, the whole original is in memory besides (Pillow takes 4 bytes a pixel: 432 MB for
        12,000 x 9,000), once more where it is not upright RGB.

        Args:
            image: Of any mode.
            preprocessing: A `Preprocessing`, or what has its `transform` and `locate`.
            min_side: Smallest side of a box that will be cut, as a share of the shorter side, in (0,1]. Of smaller
                boxes the pixels that are left are enlarged.

        Raises:
            ValueError: it cannot be told where the input lies, or `min_side` is not allowed.
            TypeError: the transform gives no tensor (C,H,W). What it raises comes as it is.
        """
        _check_min_side(min_side)
        rgb = upright(image)
        if rgb.mode != "RGB" or rgb.has_transparency_data:
            rgb = to_rgb(rgb)
        inputs = preprocessing.transform(rgb)
        if not isinstance(inputs, Tensor) or inputs.ndim != 3:
            given = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
            raise ArgumentTypeError(f"transform must give a floating-point tensor (C,H,W), got {given}")
        box = preprocessing.locate(rgb.size)
        kept = _reduced(rgb, math.ceil(max(inputs.shape[-2:]) / min_side))
        box = box.scaled(kept.width / rgb.width, kept.height / rgb.height)
        # (h,w,3) in memory, as Pillow wants it back; seen as (3,h,w).
        pixels = torch.from_numpy(np.array(kept)).permute(2, 0, 1)
        return cls(inputs, pixels, box, (rgb.height, rgb.width))


def cut(picture: Picture, boxes: Sequence[Box], size: tuple[int, int], interpolation: str) -> Tensor:
    """Boxes of a picture, each resampled once to the size wanted, antialiased.

    It is what resizing the picture and cropping it gives, without the rounding of the crop to whole pixels. Any number
    of threads may call this at once.

    Args:
        picture: The picture.
        boxes: In coordinates of its `pixels`. What lies outside is clipped; what is then narrower than one pixel
            is widened to one pixel inside the picture.
        size: (height, width) of each cut.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        Tensor (b,3,height,width) uint8, one cut for each box.

    Raises:
        ValueError: a box that is not finite or ends before it begins, or a size or interpolation that is not allowed.
    """
    check_choice("interpolation", interpolation, INTERPOLATIONS)
    height, width = (check_int("size", side, 1) for side in size)
    inside = [_clipped(box, picture.pixels.shape[-2:]) for box in boxes]
    cuts = torch.empty(len(inside), 3, height, width, dtype=torch.uint8)
    if inside:
        image = Image.fromarray(picture.pixels.permute(1, 2, 0).contiguous().numpy())
        for row, box in zip(cuts, inside, strict=True):
            resampled = image.resize((width, height), _RESAMPLING[interpolation], box=box)
            row.copy_(torch.from_numpy(np.array(resampled)).permute(2, 0, 1))
    return cuts


def enlarge(boxes: Tensor, size: tuple[int, int], min_side: float = MIN_SIDE) -> Tensor:
    """Boxes of which no side is too small, inside the picture.

    Args:
        boxes: Tensor (n,4) float64: left, top, right, bottom, inside the picture.
        size: (height, width) of the picture.
        min_side: Smallest side allowed, as a share of the picture's shorter side, in (0,1].

    Returns:
        Tensor (n,4). A side that is too small becomes the smallest one allowed, about the same centre, and is shifted
        where it would leave the picture. Other sides stay as they are.

    Example:
        >>> enlarge(torch.tensor([[0.0, 40.0, 10.0, 60.0]], dtype=torch.float64), (100, 200), 0.25).tolist()
        [[0.0, 37.5, 25.0, 62.5]]
    """
    _check_min_side(min_side)
    height, width = size
    extent = boxes.new_tensor([width, height])
    side = min_side * min(height, width)
    low, high = boxes[:, :2], boxes[:, 2:]
    small = high - low < side
    start = ((low + high - side) / 2).clamp(min=0).minimum(extent - side)
    return torch.cat([torch.where(small, start, low), torch.where(small, start + side, high)], dim=1)


def _check_min_side(min_side: float) -> None:
    if check_number("min_side", min_side, 0, 1, include_high=True) == 0:
        raise ArgumentError(f"min_side must be above 0 and at most 1, got {min_side!r}")


def _reduced(image: Image.Image, shorter: int) -> Image.Image:
    """The image with a shorter side of at most that many pixels; the same object where it has no more."""
    scale = shorter / min(image.size)
    if scale >= 1:
        return image
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=1.5)


def _clipped(box: Box, size: Sequence[int]) -> Box:
    """The part of a box inside a picture of that (height, width), at least one pixel wide and high."""
    left, top, right, bottom = map(float, box)
    if not all(map(math.isfinite, box)) or right < left or bottom < top:
        raise ArgumentError(f"boxes must be finite, with left <= right and top <= bottom, got {tuple(box)}")
    height, width = size
    left, right = _clipped_range(left, right, width)
    top, bottom = _clipped_range(top, bottom, height)
    return Box(left, top, right, bottom)


def _clipped_range(low: float, high: float, extent: int) -> tuple[float, float]:
    low, high = min(max(low, 0.0), extent), min(max(high, 0.0), extent)
    if high - low >= 1:
        return low, high
    start = min(max((low + high) / 2 - 0.5, 0.0), extent - 1.0)
    return start, start + 1
