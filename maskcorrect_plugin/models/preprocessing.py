"""From a Pillow image to what a network takes: resize, crop, scale, normalise. torchvision is imported at first use."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.pictures import INTERPOLATIONS, Box, Picture
from maskcorrect_plugin.printable import stable_text
from maskcorrect_plugin.rgb import to_rgb

from .geometry import CenterCrop, Chain, Geometry, Resize, known_geometry
from .probing import Channels as Channels
from .probing import Probed, find_normalization
from .probing import Transform as Transform

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)
SMALL = 64
"""Up to this size (CIFAR, Tiny ImageNet) nothing is cropped: the object fills the image."""


TRIED = ((400, 300), (300, 400))
"""Sizes of pictures, as (width, height), that a transform must be able to place its input in."""


@dataclass(frozen=True)
class Preprocessing:
    """What makes a network's input of a picture: a transform, and what has to be known of it to cut pictures anew.

    `Preprocessing.of` finds out what is not given.

    Attributes:
        transform: From a Pillow image to a normalised floating-point tensor (C,H,W) on the CPU.
        mean: Mean of the normalisation in it, per channel, in units of images in [0,1]; None where it cannot be told.
        std: Standard deviation, likewise.
        interpolation: What pictures are resampled by: a name of ``torchvision.transforms.InterpolationMode``.
        geometry: Where in a picture the input lies; None where that is not known.

    Example:
        >>> Preprocessing.of(ResizeCrop().prepare().transform).locate((512, 256))
        Box(left=144.0, top=16.0, right=368.0, bottom=240.0)
    """

    transform: Transform
    mean: Channels | None = None
    std: Channels | None = None
    interpolation: str = "bilinear"
    geometry: Geometry | None = None

    def __post_init__(self) -> None:
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)

    @classmethod
    def of(
        cls,
        transform: Transform,
        mean: Channels | None = None,
        std: Channels | None = None,
        interpolation: str | None = None,
        geometry: Geometry | None = None,
    ) -> "Preprocessing":
        """A transform, with what it turns out to do wherever that is not given.

        Mean and std are read off plain pictures that it is run on; they are None where there are none to tell. Resizes
        and centred crops of torchvision and timm are known; the geometry of any other transform is found by running
        it on pictures of coordinates, once for each size, when it is first asked for.

        Args:
            transform: From a Pillow image to a floating-point tensor (3,H,W).
            mean: Per channel, in units of images in [0,1].
            std: Likewise.
            interpolation: ``"bilinear"`` where it is neither given nor known.
            geometry: Where the input lies.
        """
        if mean is None or std is None:
            found = find_normalization(transform)
            mean, std = mean or found[0], std or found[1]
        known = known_geometry(transform)
        own = "bilinear" if known is None or known.interpolation is None else known.interpolation
        place = geometry or (Probed(transform) if known is None else known.geometry)
        return cls(transform, mean, std, interpolation or own, place)

    def __call__(self, image: Image.Image) -> Tensor:
        """The network's input (C,H,W), as the transform gives it."""
        return self.transform(image)

    def locate(self, size: tuple[int, int]) -> Box:
        """Where the input lies in a picture.

        Args:
            size: (width, height) of the picture, as Pillow gives it.

        Returns:
            The box in pixels of the picture; it reaches beyond it where the transform pads.

        Raises:
            ArgumentError: it cannot be told; the message says why.
        """
        if self.geometry is None:
            raise ArgumentError(
                "geometry of the preprocessing must be given to cut pictures, got None; Preprocessing.of(transform) "
                "finds it"
            )
        return self.geometry.locate(size)

    def picture(self, image: Image.Image) -> Picture:
        """The network's input with the original behind it, of a Pillow image of any mode: see `Picture.of`."""
        return Picture.of(image, self)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels normalised as the transform does it.

        Args:
            pixels: Tensor (b,3,H,W) uint8.

        Returns:
            Tensor of that shape, float32, on the same device.

        Raises:
            ArgumentError: mean and std are not known.
        """
        mean, std = self._normalization()
        scaled = pixels.to(torch.float32).div_(255)
        shape = (-1, 1, 1)
        return scaled.sub_(scaled.new_tensor(mean).view(shape)).div_(scaled.new_tensor(std).view(shape))

    def check_pictures(self) -> None:
        """Finds out, before any picture is read, whether pictures can be cut anew for the network.

        Raises:
            ArgumentError: where the input lies or how it is normalised cannot be told; the message says why.
        """
        for size in TRIED:
            self.locate(size)
        self._normalization()

    def describe(self) -> dict[str, Any]:
        """Plain values that say what is done, the same in every process, for the record of a run."""
        return {
            "transform": stable_text(self.transform),
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
            "geometry": None if self.geometry is None else stable_text(self.geometry),
        }

    def _normalization(self) -> tuple[Channels, Channels]:
        if self.mean is None or self.std is None or len(self.mean) != 3 or len(self.std) != 3:
            raise ArgumentError(
                f"mean and std of the preprocessing must be known to cut pictures, three numbers each, got mean="
                f"{self.mean} and std={self.std}: what the transform makes of a black, a grey and a white picture lies "
                "on no straight line for each channel, or it pads. Give them where they are known"
            )
        return self.mean, self.std


@dataclass(frozen=True)
class ResizeCrop:
    """RGB, resize, centre crop, scale to [0,1], normalise.

    Attributes:
        size: Side of the square that the network takes, in pixels.
        resize: Shorter side before the crop, in pixels; None resizes to the square itself, without a crop.
        mean: Per channel, in units of images in [0,1].
        std: Per channel, in the same units.
        interpolation: A name of ``torchvision.transforms.InterpolationMode``, antialiased.
    """

    size: int = 224
    resize: int | None = 256
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    interpolation: str = "bilinear"

    def changed(
        self, size: int | None = None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> "ResizeCrop":
        """The same with what is given put in its place.

        Args:
            size: Crop of that side after resizing the shorter side to ``round(size * 256 / 224)``; up to `SMALL` a
                plain resize to the square.
            mean: Three numbers in [0,1].
            std: Three numbers above 0.
        """
        changes: dict[str, Any] = {}
        if size is not None:
            side = check_int("size", size, 1)
            changes.update(size=side, resize=None if side <= SMALL else round(side * 256 / 224))
        if mean is not None:
            changes["mean"] = check_channels("mean", mean)
        if std is not None:
            changes["std"] = check_channels("std", std)
        return replace(self, **changes)

    def prepare(self) -> Preprocessing:
        """As a transform from a Pillow image of any mode to a float32 tensor (3,size,size), of which all is known."""
        from torchvision.transforms import v2

        mode = v2.InterpolationMode(self.interpolation)
        if self.resize is None:
            shape = [v2.Resize((self.size, self.size), interpolation=mode, antialias=True)]
            place = Chain((Resize((self.size, self.size)),))
        else:
            shape = [v2.Resize(self.resize, interpolation=mode, antialias=True), v2.CenterCrop(self.size)]
            place = Chain((Resize((self.resize,)), CenterCrop(self.size, self.size)))
        scale = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(self.mean), list(self.std))]
        transform = v2.Compose([v2.Lambda(to_rgb), *shape, *scale])
        return Preprocessing(transform, self.mean, self.std, self.interpolation, place)


def check_channels(name: str, values: Sequence[float]) -> Channels:
    """Three finite numbers: `mean` in [0,1], `std` above 0."""
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{name} must be three numbers, one for each of R, G and B, got {values!r}") from None
    allowed = "in [0,1]" if name == "mean" else "above 0"
    inside = all(0 <= number <= 1 if name == "mean" else number > 0 for number in numbers)
    if len(numbers) != 3 or not inside or not all(map(math.isfinite, numbers)):
        raise ArgumentError(
            f"{name} must be three numbers {allowed}, for images scaled to [0,1] (divide values for 0..255 by 255), "
            f"got {values!r}"
        )
    return numbers
