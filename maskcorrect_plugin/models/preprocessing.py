"""From a Pillow image to what a network takes: resize, crop, scale, normalise. torchvision is imported at first use."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.images import to_rgb

Transform = Callable[[Image.Image], Tensor]
"""From a Pillow image to a normalised floating-point tensor (3,H,W)."""
Channels = tuple[float, ...]
"""One number for each colour channel, in units of images in [0,1]."""

IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)
SMALL = 64
"""Up to this size (CIFAR, Tiny ImageNet) nothing is cropped: the object fills the image."""


class Prepared(NamedTuple):
    """A transform and the normalisation in it; mean and std are None where it is not one that can be told."""

    transform: Transform
    mean: Channels | None
    std: Channels | None


@dataclass(frozen=True)
class Preprocessing:
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
    ) -> "Preprocessing":
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

    def prepare(self) -> Prepared:
        """As a transform from a Pillow image of any mode to a float32 tensor (3,size,size)."""
        import torch
        from torchvision.transforms import v2

        mode = v2.InterpolationMode(self.interpolation)
        if self.resize is None:
            shape = [v2.Resize((self.size, self.size), interpolation=mode, antialias=True)]
        else:
            shape = [v2.Resize(self.resize, interpolation=mode, antialias=True), v2.CenterCrop(self.size)]
        scale = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(self.mean), list(self.std))]
        return Prepared(v2.Compose([v2.Lambda(to_rgb), *shape, *scale]), self.mean, self.std)


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


def with_normalization(transform: Transform) -> Prepared:
    """A transform of unknown making, and the mean and std that it turns out to apply.

    They are read off what it makes of a black, a grey and a white image: ``(0 - mean) / std`` and ``(1 - mean) /
    std``. They are None where the three do not lie on one line for each channel, or where the transform pads.
    """
    black, grey, white = (
        transform(Image.new("RGB", (256, 256), (value,) * 3)).flatten(1).double() for value in (0, 51, 255)
    )
    span = white - black
    tolerance = 1e-4 * float(span.abs().max())
    constant = all(float((plane - plane[:, :1]).abs().max()) <= tolerance for plane in (black, grey, white))
    if not constant or float(span.min()) <= 0 or float((black + 0.2 * span - grey).abs().max()) > tolerance:
        return Prepared(transform, None, None)
    std = 1 / span[:, 0]
    mean = -black[:, 0] * std
    return Prepared(
        transform, tuple(round(x, 6) for x in mean.tolist()), tuple(float(f"{x:.6g}") for x in std.tolist())
    )
