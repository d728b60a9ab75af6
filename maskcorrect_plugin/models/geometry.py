"""Where a network's input lies in the picture: known for chains of resizes and centred crops."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.pictures import INTERPOLATIONS, Box
from maskcorrect_plugin.rgb import to_rgb

Size = tuple[int, int]
"""(width, height), as Pillow gives it."""


class Geometry(Protocol):
    """What a transform does to a picture as far as places go."""

    def locate(self, size: Size) -> Box:
        """Where the transform's result lies in a picture of that size.

        Raises:
            ArgumentError: it cannot be told; the message says why.
        """


class Step(Protocol):
    """One resize or crop."""

    def apply(self, size: Size) -> tuple[Size, Box]:
        """The size that becomes of a picture of that size, and where it lies in that picture."""


@dataclass(frozen=True)
class Unknown:
    """The geometry of a transform of which none can be told.

    Attributes:
        reason: Why, for the error.
    """

    reason: str

    def locate(self, size: Size) -> Box:
        """Always refused."""
        raise ArgumentError(self.reason)


@dataclass(frozen=True)
class Resize:
    """``torchvision.transforms.Resize``.

    Attributes:
        size: Shorter side, or (height, width); None where only the longer side is given.
        max_size: Longer side at most, in pixels.
    """

    size: tuple[int, ...] | None
    max_size: int | None = None

    def apply(self, size: Size) -> tuple[Size, Box]:
        """The whole picture, in its new size."""
        if self.size is not None and len(self.size) == 2:
            return (self.size[1], self.size[0]), Box(0, 0, *size)
        width, height = size
        short, long = min(size), max(size)
        if self.size is None:
            new_short, new_long = int((self.max_size or long) * short / long), self.max_size or long
        else:
            new_short, new_long = self.size[0], int(self.size[0] * long / short)
            if self.max_size is not None and new_long > self.max_size:
                new_short, new_long = int(self.max_size * new_short / new_long), self.max_size
        return ((new_short, new_long) if width <= height else (new_long, new_short)), Box(0, 0, width, height)


@dataclass(frozen=True)
class ResizeKeepRatio:
    """``timm.data.transforms.ResizeKeepRatio`` without its random options.

    Attributes:
        size: (height, width) aimed at.
        longest: 0 fits the shorter side to it, 1 the longer one.
    """

    size: tuple[int, int]
    longest: float = 0.0

    def apply(self, size: Size) -> tuple[Size, Box]:
        """The whole picture, in its new size."""
        ratios = size[1] / self.size[0], size[0] / self.size[1]
        ratio = max(ratios) * self.longest + min(ratios) * (1.0 - self.longest)
        return (round(size[0] / ratio), round(size[1] / ratio)), Box(0, 0, *size)


@dataclass(frozen=True)
class CenterCrop:
    """A centred crop that pads where the picture is smaller, as torchvision's.

    Attributes:
        height: In pixels.
        width: In pixels.
        rounded: A crop that cannot be centred on whole pixels goes to the even one (torchvision); otherwise to the
            left and the top (transformers).
    """

    height: int
    width: int
    rounded: bool = True

    def apply(self, size: Size) -> tuple[Size, Box]:
        """The crop, which reaches beyond the picture where it pads."""
        left, top = self._start(size[0], self.width), self._start(size[1], self.height)
        return (self.width, self.height), Box(left, top, left + self.width, top + self.height)

    def _start(self, extent: int, side: int) -> int:
        if side > extent:
            return -((side - extent) // 2)
        return round((extent - side) / 2) if self.rounded else (extent - side) // 2


@dataclass(frozen=True)
class Chain:
    """Resizes and crops, one after the other."""

    steps: tuple[Step, ...]

    def locate(self, size: Size) -> Box:
        """Where the result of the last step lies in a picture of that size."""
        box = Box(0.0, 0.0, *map(float, size))
        for step in self.steps:
            new, part = step.apply(size)
            across, down = (box.right - box.left) / size[0], (box.bottom - box.top) / size[1]
            part = part.scaled(across, down)
            box = Box(box.left + part.left, box.top + part.top, box.left + part.right, box.top + part.bottom)
            size = (max(1, new[0]), max(1, new[1]))
        return box


class Known(NamedTuple):
    """What can be read off a transform without running it.

    Attributes:
        geometry: Of the transform.
        interpolation: Of its first resize; None where it has none, or none that is known here.
    """

    geometry: Chain
    interpolation: str | None


_POINTWISE = {"PILToTensor", "ToTensor", "ToImage", "ToPureTensor", "ToDtype", "ConvertImageDtype", "Normalize", "RGB"}
_POINTWISE |= {"Identity", "MaybeToTensor", "MaybePILToTensor"}
_CONTAINERS = {"Compose", "Sequential"}
_BY_NUMBER = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Names by Pillow's numbers."""


def known_geometry(transform: Any) -> Known | None:
    """Reads resizes and crops off a transform of torchvision or timm; None where a step is not known here."""
    steps = _walk(transform)
    if steps is None:
        return None
    names = [name for _, name in steps if name is not None]
    return Known(Chain(tuple(step for step, _ in steps)), names[0] if names else None)


def interpolation_name(mode: Any) -> str | None:
    """The name of an interpolation that is a name, an `InterpolationMode` or Pillow's number; None for others."""
    value = mode if isinstance(mode, int) else getattr(mode, "value", mode)
    if isinstance(value, int):
        return _BY_NUMBER[value] if 0 <= value < len(_BY_NUMBER) else None
    return value if value in INTERPOLATIONS else None


def _walk(transform: Any) -> list[tuple[Step, str | None]] | None:
    if transform is to_rgb:
        return []
    name = _library_name(transform)
    if name in _CONTAINERS:
        return _walk_all(getattr(transform, "transforms", transform))
    if name == "Lambda":
        return [] if transform.lambd is to_rgb else None
    return [] if name in _POINTWISE else _steps(name, transform)


def _walk_all(transforms: Iterable[Any]) -> list[tuple[Step, str | None]] | None:
    steps: list[tuple[Step, str | None]] = []
    for transform in transforms:
        found = _walk(transform)
        if found is None:
            return None
        steps += found
    return steps


def _steps(name: str | None, transform: Any) -> list[tuple[Step, str | None]] | None:
    if name == "ImageClassification":
        how = interpolation_name(transform.interpolation)
        return [(Resize(tuple(transform.resize_size)), how), (_crop(transform.crop_size), None)]
    if name == "Resize":
        size = None if transform.size is None else _sides(transform.size)
        return [(Resize(size, transform.max_size), interpolation_name(transform.interpolation))]
    if name in ("CenterCrop", "CenterCropOrPad"):
        return [(_crop(transform.size), None)]
    if name == "ResizeKeepRatio" and not (transform.random_scale_prob or transform.random_aspect_prob):
        height, width = transform.size
        return [(ResizeKeepRatio((height, width), transform.longest), interpolation_name(transform.interpolation))]
    return None


def _sides(size: Any) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)


def _crop(size: Any) -> CenterCrop:
    sides = _sides(size)
    return CenterCrop(sides[0], sides[-1])


def _library_name(transform: Any) -> str | None:
    """Name of the class if it is one of torchvision, timm or ``nn.Sequential`` itself, and no class made of it."""
    cls = type(transform)
    homes = ("torchvision.transforms.", "timm.data.", "torch.nn.modules.container")
    return cls.__name__ if f"{cls.__module__}.".startswith(homes) else None
