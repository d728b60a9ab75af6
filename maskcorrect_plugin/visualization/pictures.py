"""The pixels of figures: displayable pictures, what the network saw, and maps laid over pictures."""

from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.pictures import Box
from maskcorrect_plugin.results import CorrectionResult

from .palette import COLORMAP, INK, MUTED, SMALL, add_axes, add_text

Pixels = npt.NDArray[np.float32]
"""A picture (H,W,3), or a map (H,W), with values in [0, 1]."""

MAX_SHOWN = 10
"""Candidates, or pictures of an unguided view, that a figure shows at most."""
TOLERANCE = 1e-3
"""How far values of a picture may lie outside [0, 1]."""
OPACITY = (0.35, 0.75)
"""Of a map over the picture, where the map is 0 and where it is 1."""
TALLEST = 1.3
"""Height of a panel against its width, at most; a taller image is drawn narrower."""
FLAT = "flat map:\nshown unchanged"
"""What stands in place of a map without information."""


def kept_maps(result: CorrectionResult, index: int) -> Tensor:
    """The maps (K,H,W) of one image.

    Raises:
        ValueError: the result did not keep them, or has no such image.
    """
    check_int("index", index, 0, len(result) - 1)
    if result.attributions is None:
        raise ArgumentError(
            "result must hold its attributions, got None; "
            "keep them with correct(inputs, keep=('attributions', 'view_probs'))"
        )
    return result.attributions[index]


def as_picture(image: Any, name: str = "image") -> Pixels:
    """Anything displayable as an array (H,W,3) in [0, 1].

    Args:
        image: A Pillow image, a uint8 array (H,W,3), or a floating-point tensor (3,H,W) or (1,H,W) in [0, 1].
        name: Of the argument, for the error message.
    """
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
            raise ArgumentError(f"{name} must be uint8 (H,W,3) as an array, got {image.dtype} {image.shape}")
        return np.asarray(image / 255, dtype=np.float32)
    if not isinstance(image, Tensor):
        raise ArgumentTypeError(f"{name} must be a Pillow image, an array or a tensor, got {type(image).__name__}")
    if not image.is_floating_point() or image.ndim != 3 or image.shape[0] not in (1, 3) or image.numel() == 0:
        raise ArgumentError(
            f"{name} must be floating point (3,H,W) as a tensor, got {image.dtype} {tuple(image.shape)}"
        )
    values = image.detach().float().cpu()
    low, high = float(values.min()), float(values.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise ArgumentError(
            f"{name} must lie in [0, 1] as a tensor, got values from {low:.3g} to {high:.3g}; "
            "denormalize(inputs, mean, std) gives such a picture of a model's input"
        )
    picture: Pixels = values.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return picture


def overlay(picture: Pixels, values: Pixels) -> Pixels:
    """A map in colour over the picture in grey: the higher the value, the more of its colour covers the picture.

    Args:
        picture: (H,W,3) in [0, 1].
        values: The map, (H,W) in [0, 1].

    Returns:
        Picture (H,W,3) in [0, 1].
    """
    # A little lighter than it is: dark pictures would otherwise be taken for low values.
    grey = 0.15 + 0.8 * (picture @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32))[..., None]
    color = matplotlib.colormaps[COLORMAP](values)[..., :3]
    opacity = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * values[..., None]
    return np.asarray((1 - opacity) * grey + opacity * color, dtype=np.float32)


def fitted_size(width: float, aspect: float) -> tuple[float, float]:
    """Width and height in inches of a picture in a column of that width; `aspect` is height / width."""
    return (width, width * aspect) if aspect <= TALLEST else (width * TALLEST / aspect, width * TALLEST)


def show_picture(figure: Figure, place: tuple[float, float, float, float], picture: Pixels) -> Axes:
    """A picture in a thin frame; `place` is left, top, width and height in inches."""
    axes = add_axes(figure, *place)
    axes.imshow(picture, aspect="auto")
    axes.set(xticks=[], yticks=[])
    return axes


def draw_box(axes: Axes, box: Box, color: str, line: str = "solid", width: float = 1.4) -> None:
    """The outline of a box on a picture, in pixels of it, with a dark edge so that it shows on any ground."""
    edge = [withStroke(linewidth=width + 1.2, foreground=INK)]
    place = (box.left - 0.5, box.top - 0.5)  # matplotlib's pixels begin half a pixel earlier
    size = (box.right - box.left, box.bottom - box.top)
    style: dict[str, Any] = {"fill": False, "edgecolor": color, "linestyle": line, "linewidth": width}
    axes.add_patch(Rectangle(place, *size, path_effects=edge, clip_on=True, **style))


def draw_map_scale(figure: Figure, right: float, top: float) -> None:
    """What the colours of the maps mean, from 0 to 1, in one line that ends at `right` (inches)."""
    scale = np.linspace(0, 1, 64, dtype=np.float32)[None]
    axes = add_axes(figure, right - 0.64, top + 0.035, 0.55, 0.06)
    axes.imshow(overlay(np.full((1, 64, 3), 0.5, np.float32), scale), aspect="auto")
    axes.set_axis_off()
    add_text(figure, right - 0.67, top, "map  0", SMALL, color=MUTED, ha="right")
    add_text(figure, right, top, "1", SMALL, color=MUTED, ha="right")
