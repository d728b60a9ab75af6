"""What a transform of unknown making does, found by running it on pictures that are known."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.errors import ArgumentError, reason
from maskcorrect_plugin.pictures import Box

from .geometry import Size

Transform = Callable[[Image.Image], Tensor]
"""From a Pillow image to a normalised floating-point tensor (3,H,W)."""
Channels = tuple[float, ...]
"""One number for each colour channel, in units of images in [0,1]."""

LEVELS = (0, 51, 255)
"""Black, a grey of 0.2 and white."""
EXACT = 1e-4
"""Two values are equal up to this share of the distance between black and white."""
SHORTEST, MOST = 64, 4_000_000
"""Shorter side and number of pixels that a picture of coordinates may have: smaller and larger ones are found by what
is done to pictures of the same proportions."""
WIDEST = 16_000_000
"""Pixels of such a picture at most: where a strip would need more, its place is not looked for."""
INNER = 0.9
"""Share of the result along each axis that the place is fitted on: at its border a filter has less to see."""
REPEATS = 8
"""Runs of a transform that show whether it is random, the first time; twice from then on."""


def find_normalization(transform: Transform) -> tuple[Channels | None, Channels | None]:
    """The mean and std that a transform turns out to apply.

    They are read off what it makes of a black, a grey and a white image: ``(0 - mean) / std`` and ``(1 - mean) /
    std``. They are None where the three do not lie on one line for each channel, or where the transform pads.
    """
    black, grey, white = (transform(Image.new("RGB", (256, 256), (value,) * 3)).flatten(1).double() for value in LEVELS)
    span = white - black
    tolerance = EXACT * float(span.abs().max())
    constant = all(float((plane - plane[:, :1]).abs().max()) <= tolerance for plane in (black, grey, white))
    if not constant or float(span.min()) <= 0 or float((black + 0.2 * span - grey).abs().max()) > tolerance:
        return None, None
    std = 1 / span[:, 0]
    mean = -black[:, 0] * std
    return tuple(round(x, 6) for x in mean.tolist()), tuple(float(f"{x:.6g}") for x in std.tolist())


@dataclass(frozen=True)
class Probed:
    """The geometry of a transform of unknown making, found for each size of picture when it is first asked for.

    The transform is run on a picture whose red says how far to the right, and whose green how far down a pixel is.

    Attributes:
        transform: The transform.
    """

    transform: Transform
    _found: dict[Size, Box | str] = field(default_factory=dict, repr=False, compare=False)

    def locate(self, size: Size) -> Box:
        """Where the result lies in a picture of that size.

        Raises:
            ArgumentError: the transform is random, turns, mirrors, distorts, pads or mixes colours.
        """
        if size not in self._found:
            try:
                self._found[size] = self._find(size)
            except ArgumentError as error:
                self._found[size] = str(error)
        found = self._found[size]
        if isinstance(found, str):
            raise ArgumentError(found)
        return found

    def _find(self, size: Size) -> Box:
        repeats = 2 if self._found else REPEATS
        first, second = _sizes_to_try(size)
        box = _share(self.transform, first, repeats)
        if second is not None:
            other = _share(self.transform, second, 2)
            if max(abs(a - b) for a, b in zip(box, other, strict=True)) > 0.02:
                raise _refusal(f"treats pictures like one of {size[0]} x {size[1]} pixels differently by their size")
        return box.scaled(*size)


def _sizes_to_try(size: Size) -> tuple[Size, Size | None]:
    """The size itself, or two sizes of its proportions where it is too small or too large to be tried."""
    scale = 1.0
    if min(size) < SHORTEST:
        scale = float(math.ceil(SHORTEST / min(size)))
        pair = (scale, 2 * scale)
    elif size[0] * size[1] > MOST:
        scale = math.sqrt(MOST / (size[0] * size[1]))
        pair = (scale, scale / 2)
    else:
        return size, None
    first, second = ((round(size[0] * by), round(size[1] * by)) for by in pair)
    if min(*first, *second) < SHORTEST // 2 or max(first[0] * first[1], second[0] * second[1]) > WIDEST:
        raise _refusal(f"cannot be tried on a picture as narrow as {size[0]} x {size[1]} pixels")
    return first, second


def _refusal(what: str) -> ArgumentError:
    return ArgumentError(f"it cannot be found where in a picture the model's input lies: the transform {what}")


def _share(transform: Transform, size: Size, repeats: int) -> Box:
    """The box as shares of width and height."""
    black, grey, white = (_run(transform, Image.new("RGB", size, (value,) * 3)) for value in LEVELS)
    if not black.shape == grey.shape == white.shape:
        raise _refusal("gives tensors of different sizes for pictures of one size")
    span = white - black
    unit = float(span.abs().max())
    _check_plain(black, grey, span, unit)
    picture = _coordinates(size)
    answers = [_run(transform, picture) for _ in range(repeats)]
    if any(a.shape != black.shape or float((a - answers[0]).abs().max()) > EXACT * unit for a in answers):
        raise _refusal("is random: it makes different tensors of one picture")
    red, green, blue = (answers[0] - black) / span
    if float(blue.abs().max()) > 0.02:
        raise _refusal("mixes or swaps the colours")
    left, right = _fit(red, size[0], "horizontally")
    top, bottom = _fit(green.T, size[1], "vertically")
    return Box(left, top, right, bottom)


def _run(transform: Transform, image: Image.Image) -> Tensor:
    try:
        answer = transform(image.copy())
    except Exception as error:
        raise _refusal(f"raised {reason(error)} on a picture of {image.width} x {image.height} pixels") from error
    if not isinstance(answer, Tensor) or answer.ndim != 3 or answer.shape[0] != 3 or min(answer.shape) < 2:
        given = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise _refusal(f"must give tensors (3,H,W) with sides of 2 or more, got {given}")
    return answer.detach().cpu().double()


def _check_plain(black: Tensor, grey: Tensor, span: Tensor, unit: float) -> None:
    """Each value must be a straight, rising line of what a plain picture holds."""
    if unit == 0:
        raise _refusal("makes the same of every picture")
    if float(span.abs().min()) <= EXACT * unit:
        raise _refusal("pads: some of what it gives does not depend on the picture")
    if float(span.min()) < 0:
        raise _refusal("makes dark of bright")
    if float((black + 0.2 * span - grey).abs().max()) > EXACT * unit:
        raise _refusal("does not normalise by mean and standard deviation: grey lies on no line with black and white")


def _coordinates(size: Size) -> Image.Image:
    """Red and green go from 0 to 255 over width and height; a fixed noise keeps their fractions where they average."""
    width, height = size
    noise = np.random.default_rng(0)
    pixels = np.zeros((height, width, 3), np.uint8)
    across = (np.arange(width, dtype=np.float32) + 0.5) * (255 / width)
    down = (np.arange(height, dtype=np.float32) + 0.5) * (255 / height)
    pixels[..., 0] = across[None, :] + noise.random((height, width), np.float32)
    pixels[..., 1] = down[:, None] + noise.random((height, width), np.float32)
    return Image.fromarray(pixels)


def _fit(code: Tensor, extent: int, how: str) -> tuple[float, float]:
    """Start and end of one axis, as shares of the picture.

    Args:
        code: Tensor (n,m): the share of the picture that each value comes from; the axis is the second one.
        extent: Pixels of the picture along the axis.
        how: Name of the axis, for errors.
    """
    n, m = code.shape
    along, other = (torch.arange(m).double() + 0.5) / m, (torch.arange(n).double() + 0.5) / n
    rows, columns = (
        ((other - 0.5).abs() <= INNER / 2).nonzero().flatten(),
        ((along - 0.5).abs() <= INNER / 2).nonzero().flatten(),
    )
    rows, columns = (torch.arange(n) if len(rows) < 2 else rows), (torch.arange(m) if len(columns) < 2 else columns)
    inner = code[rows][:, columns]
    design = torch.stack(
        [
            along[columns].expand_as(inner).flatten(),
            other[rows, None].expand_as(inner).flatten(),
            torch.ones(inner.numel(), dtype=torch.float64),
        ],
        dim=1,
    )
    slope, across, start = torch.linalg.lstsq(design, inner.reshape(-1, 1)).solution.flatten().tolist()
    if abs(across) > 0.01 + 1 / extent:
        raise _refusal("rotates or shears the picture")
    if slope < 0:
        raise _refusal(f"mirrors the picture {how}")
    if slope < 1e-3:
        raise _refusal(f"does not show the picture's places {how}")
    residual = code - (slope * along + across * other[:, None] + start)
    if float(residual[rows][:, columns].square().mean().sqrt()) > 0.01 + 0.5 / extent:
        raise _refusal(f"distorts the picture {how}")
    if float(residual.mean(0).abs().max()) > 0.01 + 1 / min(extent, m):
        raise _refusal(f"pads the picture with its own edge, or distorts it {how}")
    return start, start + slope
