"""Guided zooming: crop to the box of a map, in the network's input or in the original picture.

The strongest simple rivals of the mask (WS-DAN, arXiv 1901.09891; Guided Zoom, BMVC 2019). A crop of the network's
input shows nothing new; a crop of the original has the detail that was lost when it was reduced to the input.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.options import number
from maskcorrect_plugin.pictures import MIN_SIDE, Box, Picture, enlarge
from maskcorrect_plugin.recipe_options import VIEW, Option

from .base import CANDIDATES, ImageBatch, Region, RegionView, as_boxes, map_option


@dataclass(frozen=True, eq=False)
class CropView(RegionView):
    """Crop the network's input to the box of the map above the threshold, with a margin, and resize it to the input."""

    name: ClassVar[str] = "crop"
    summary: ClassVar[str] = "zooms in on the map's box in the network's input"
    threshold: float = number(VIEW["threshold"], 0, 1)
    margin: float = number(VIEW["margin"], 0, 1, include_high=True)
    map: str = map_option(CANDIDATES)

    def boxes(self, maps: Tensor) -> Tensor:
        """Boxes of maps: see `map_boxes`."""
        return map_boxes(maps, self.threshold, self.margin)

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The boxes of the maps, in the input."""
        return [[Region(box) for box in row] for row in _boxes_of_each(self, images, maps)]


@dataclass(frozen=True, eq=False)
class ZoomView(RegionView):
    """Cut the box of the map out of the original picture and resample it once to the size of the network's input.

    The box is that of `CropView`, taken to the original by where the input lies in it, and clipped to the picture.
    """

    name: ClassVar[str] = "zoom"
    needs_original: ClassVar[bool] = True
    summary: ClassVar[str] = "zooms in on the map's box in the original picture"
    threshold: float = number(VIEW["threshold"], 0, 1)
    margin: float = number(VIEW["margin"], 0, 1, include_high=True)
    min_side: float = number(
        Option(
            "min_side", MIN_SIDE, "sides of the box at least, as a share of the picture's shorter side", "0.25 to 1"
        ),
        MIN_SIDE,
        1,
        include_high=True,
    )
    map: str = map_option(CANDIDATES)

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The boxes of the maps, in the original."""
        size = functional.spatial_size(images.inputs)
        boxes = _boxes_of_each(self, images, maps)
        return [
            [Region() if box is None else self._region(box, images.picture(row), size) for box in chosen]
            for row, chosen in enumerate(boxes)
        ]

    def _region(self, box: Box, picture: Picture, size: tuple[int, int]) -> Region:
        height, width = functional.spatial_size(picture.pixels)
        left, top, right, bottom = to_original(box, picture.box, size)
        inside = torch.tensor(
            [[max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]], dtype=torch.float64
        )
        return Region(as_boxes(enlarge(inside, (height, width), self.min_side))[0], original=True)


def to_original(box: Box, place: Box, size: tuple[int, int]) -> Box:
    """A box of the network's input in coordinates of the original.

    Args:
        box: In pixels of the input.
        place: Where the input lies in the original.
        size: ``(H, W)`` of the input.
    """
    across, down = (place.right - place.left) / size[1], (place.bottom - place.top) / size[0]
    return Box(
        place.left + box.left * across,
        place.top + box.top * down,
        place.left + box.right * across,
        place.top + box.bottom * down,
    )


def _boxes_of_each(view: CropView | ZoomView, images: ImageBatch, maps: Tensor | None) -> list[list[Box | None]]:
    """The box of each map of each image; None where it is the whole input."""
    if maps is None:
        raise ArgumentError(f"maps must be given for view {view.name!r}, got None")
    height, width = functional.spatial_size(images.inputs)
    found = as_boxes(map_boxes(maps.flatten(0, 1), view.threshold, view.margin))
    everything = Box(0.0, 0.0, float(width), float(height))
    boxes = [None if box == everything else box for box in found]
    count = maps.shape[1]
    return [boxes[start : start + count] for start in range(0, len(boxes), count)]


def map_boxes(maps: Tensor, threshold: float, margin: float) -> Tensor:
    """Boxes of maps above a threshold, in pixels; the whole image where the map is flat.

    The box spans the first to the last row and column with a value above the threshold. On each side
    ``round(margin * length)`` pixels are added, as far as the image reaches.

    Args:
        maps: Tensor (B,H,W) in [0, 1].
        threshold: In [0, 1).
        margin: A fraction of the box, in [0, 1].

    Returns:
        Tensor (B,4) of whole numbers in the maps' dtype: ``(left, top, right, bottom)`` with exclusive ends.
    """
    inside = functional.threshold_masks(maps, threshold) > 0
    columns = _span(inside.any(dim=-2), maps.dtype, margin)
    rows = _span(inside.any(dim=-1), maps.dtype, margin)
    return torch.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], dim=-1)


def _span(occupied: Tensor, dtype: torch.dtype, margin: float) -> Tensor:
    """First and last occupied position with the margin, (B,L) -> (B,2)."""
    length = occupied.shape[-1]
    weight = occupied.to(dtype)
    first = weight.argmax(dim=-1)
    last = length - weight.flip(-1).argmax(dim=-1)
    pad = ((last - first).to(dtype) * margin).round()
    span = torch.stack([(first - pad).clamp_min(0), (last + pad).clamp_max(length)], dim=-1)
    everything = torch.tensor([0, length], dtype=dtype, device=occupied.device)
    return torch.where(occupied.any(dim=-1, keepdim=True), span, everything)


def crop_and_resize(inputs: Tensor, boxes: Tensor) -> Tensor:
    """A box of each image, resized bilinearly to the image's size.

    What slicing and ``F.interpolate(..., align_corners=False)`` give, for a different box of each image in one go.

    Args:
        inputs: Tensor (B,C,H,W).
        boxes: ``(left, top, right, bottom)`` in pixels, with exclusive ends: whole numbers (B,4) in the inputs' dtype.

    Returns:
        Tensor (B,C,H,W).
    """
    height, width = inputs.shape[-2:]
    rows = _positions(boxes[:, 1], boxes[:, 3], height)
    columns = _positions(boxes[:, 0], boxes[:, 2], width)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)],
        dim=-1,
    )
    return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _positions(start: Tensor, stop: Tensor, length: int) -> Tensor:
    """Where to sample along an axis, in grid_sample's [-1, 1]: never outside the centres of the box's pixels."""
    steps = (torch.arange(length, device=start.device, dtype=start.dtype) + 0.5) / length
    pixels = start[:, None] + steps * (stop - start)[:, None]
    pixels = torch.maximum(torch.minimum(pixels, stop[:, None] - 0.5), start[:, None] + 0.5)
    return 2 * pixels / length - 1
