"""Views that follow no map: what a guided view has to beat at the same number of forwards."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.options import number, whole
from maskcorrect_plugin.pictures import Box, Picture
from maskcorrect_plugin.recipe_options import Option

from .base import ImageBatch, Region, RegionView, as_boxes
from .crop import to_original

MIN_AREA = 0.25
"""The smallest random crop, as a share of the picture's area; the largest is the whole picture."""
MAX_RATIO = 4 / 3
"""Of a random crop's aspect to the picture's, in either direction."""


@dataclass(frozen=True, eq=False)
class FlipView(RegionView):
    """The network's input mirrored left to right: the cheapest second look there is."""

    name: ClassVar[str] = "hflip"
    guided: ClassVar[bool] = False
    summary: ClassVar[str] = "the network's input mirrored left to right"

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The mirrored input."""
        return [[Region(mirrored=True)] for _ in range(len(images))]


@dataclass(frozen=True, eq=False)
class WholeView(RegionView):
    """The whole picture scaled to the network's input, without the crop that the model's transform makes."""

    name: ClassVar[str] = "whole"
    guided: ClassVar[bool] = False
    needs_original: ClassVar[bool] = True
    summary: ClassVar[str] = "the whole original picture scaled to the network's input, nothing cut off"

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """Everything there is."""
        return [[region_of(_everything(picture), picture)] for picture in images.pictures or ()]


@dataclass(frozen=True, eq=False)
class CenterView(RegionView):
    """The middle of the network's input, cut from the original: what `zoom` shows without a map."""

    name: ClassVar[str] = "center"
    guided: ClassVar[bool] = False
    needs_original: ClassVar[bool] = True
    summary: ClassVar[str] = "zooms in on the middle of the input, in the original picture"
    scale: float = number(
        Option("scale", 0.85, "sides of the box, as a share of the input's", "0.05 to 1"), 0.05, 1, include_high=True
    )

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The box where the input lies, shrunk about its centre."""
        height, width = spatial_size(images.inputs)
        across, down = width * (1 - self.scale) / 2, height * (1 - self.scale) / 2
        box = Box(across, down, width - across, height - down)
        pictures = images.pictures or ()
        return [[region_of(to_original(box, each.box, (height, width)), each)] for each in pictures]


@dataclass(frozen=True, eq=False)
class CornersView(RegionView):
    """Boxes of the size that the network's input has in the original, moved into its four corners."""

    name: ClassVar[str] = "corners"
    guided: ClassVar[bool] = False
    needs_original: ClassVar[bool] = True
    summary: ClassVar[str] = "four crops of the input's size from the corners of the original picture"

    @property
    def views_per_image(self) -> int:
        """One for each corner."""
        return 4

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The four corners."""
        return [[region_of(box, picture) for box in corner_boxes(picture)] for picture in images.pictures or ()]


@dataclass(frozen=True, eq=False)
class TenCropView(RegionView):
    """Four corners, the centre, and their mirror images (Krizhevsky et al., NeurIPS 2012), from the original.

    The centre is the network's input itself, whose answer is known.
    """

    name: ClassVar[str] = "ten_crop"
    guided: ClassVar[bool] = False
    needs_original: ClassVar[bool] = True
    summary: ClassVar[str] = "four corners and the centre of the original picture, and their mirror images"

    @property
    def views_per_image(self) -> int:
        """Five crops, and their mirror images."""
        return 10

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The corners, the input, and all of them mirrored."""
        rows = []
        for picture in images.pictures or ():
            five = [*(region_of(box, picture) for box in corner_boxes(picture)), Region()]
            rows.append([*five, *(region._replace(mirrored=True) for region in five)])
        return rows


@dataclass(frozen=True, eq=False)
class RandomCropsView(RegionView):
    """Crops of the original of random area and place, as training by ``RandomResizedCrop`` draws them.

    A crop's area is uniform in [0.25, 1] of the picture's, its place is uniform. Its aspect relative to the picture's
    is log-uniform in [3/4, 4/3]; where a large area leaves less room, the range is narrowed to what fits. The choice of
    an image goes by its id and the seed alone.
    """

    name: ClassVar[str] = "random_crops"
    guided: ClassVar[bool] = False
    needs_original: ClassVar[bool] = True
    needs_ids: ClassVar[bool] = True
    summary: ClassVar[str] = "crops of random area and place from the original picture"
    n: int = whole(Option("n", 5, "how many", "1 or more"), 1)
    seed: int = whole(Option("seed", 0, "where random numbers start", "0 or more"), 0)

    @property
    def views_per_image(self) -> int:
        """As many as asked for."""
        return self.n

    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """Boxes drawn by each image's id."""
        rows = []
        for picture, image_id in zip(images.pictures or (), images.ids or (), strict=True):
            generator = generator_of("random_crops", self.seed, image_id)
            boxes = random_boxes(self.n, spatial_size(picture.pixels), generator)
            rows.append([region_of(box, picture) for box in as_boxes(boxes)])
        return rows


def region_of(box: Box, picture: Picture) -> Region:
    """A box of the original; the network's input itself where it is its box."""
    return Region() if box == picture.box else Region(box, original=True)


def corner_boxes(picture: Picture) -> list[Box]:
    """The box of the network's input moved into the four corners, clipped where it is larger than the picture."""
    height, width = spatial_size(picture.pixels)
    across = min(picture.box.right - picture.box.left, float(width))
    down = min(picture.box.bottom - picture.box.top, float(height))
    starts = [(left, top) for top in (0.0, height - down) for left in (0.0, width - across)]
    return [Box(left, top, left + across, top + down) for left, top in starts]


def generator_of(name: str, seed: int, image_id: Any) -> torch.Generator:
    """Random numbers of one image, on the CPU: the same in any batch, on any device and worker.

    The seed is the first eight bytes, big-endian, of BLAKE2b over ``"{name}|{seed}|{image_id}"``.
    """
    key = f"{name}|{seed}|{image_id}".encode(errors="surrogatepass")
    return torch.Generator().manual_seed(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big"))


def random_boxes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random boxes in pixels.

    With area ``a`` and relative aspect ``r`` a box has ``sqrt(a / r)`` of the height and ``sqrt(a r)`` of the width,
    rounded, at least one pixel; it fits where ``a <= r <= 1 / a``.

    Args:
        count: How many.
        size: ``(H, W)`` of the picture.
        generator: On the CPU. Four numbers are drawn for each box: area, aspect, top, left.

    Returns:
        Tensor (count,4) int64 of ``(left, top, right, bottom)`` with exclusive ends.
    """
    drawn = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    area = MIN_AREA + (1 - MIN_AREA) * drawn[:, 0]
    bound = (-area.log()).clamp_max(math.log(MAX_RATIO))
    ratio = ((2 * drawn[:, 1] - 1) * bound).exp()
    shares = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=1)
    sides = torch.tensor(size, dtype=torch.float64)
    lengths = (shares * sides).round().clamp_min(1).minimum(sides)
    starts = (drawn[:, 2:] * (sides - lengths + 1)).floor()
    ends = starts + lengths
    return torch.stack([starts[:, 1], starts[:, 0], ends[:, 1], ends[:, 0]], dim=1).to(torch.int64)


def _everything(picture: Picture) -> Box:
    height, width = spatial_size(picture.pixels)
    return Box(0.0, 0.0, float(width), float(height))
