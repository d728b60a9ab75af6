"""The pixels of figures: displayable pictures, what the network saw, and maps laid over pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.normalization import denormalize

from .palette import COLORMAP, MUTED, SMALL, add_axes, add_text

if TYPE_CHECKING:
    from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.results import CorrectionResult

Pixels = npt.NDArray[np.float32]
"""A picture (H,W,3), or a map (H,W), with values in [0, 1]."""

MAX_SHOWN = 10
"""Candidates that a figure shows at most."""
TOLERANCE = 1e-3
"""How far values of a picture may lie outside [0, 1]."""
OPACITY = (0.35, 0.75)
"""Of a map over the picture, where the map is 0 and where it is 1."""
TALLEST = 1.3
"""Height of a panel against its width, at most; a taller image is drawn narrower."""
FLAT = "flat map:\nmask neutral"
"""What stands in place of a map without information."""


def render_views(
    corrector: "ProbabilityCorrector",
    inputs: Tensor,
    result: "CorrectionResult",
    index: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Tensor:
    """What the network was shown again, made by the corrector's own view: the truth, not an approximation.

    Args:
        corrector: The one that gave the result.
        inputs: The row of the model's inputs that belongs to `index`: tensor (C,H,W) or (1,C,H,W).
        result: With its attributions kept.
        index: Which image of the result.
        mean: Of the normalisation, as in `denormalize`.
        std: Likewise.

    Returns:
        Tensor (k,C,H,W) in [0, 1], one view for each of the first ``k = min(K, MAX_SHOWN)`` candidates, on the
        model's device.
    """
    maps = kept_maps(result, index)[:MAX_SHOWN]
    row = inputs if inputs.ndim == 4 else inputs.unsqueeze(0)
    if row.ndim != 4 or row.shape[0] != 1 or row.shape[-2:] != maps.shape[-2:]:
        raise ArgumentError(
            f"inputs must be one image (C,{maps.shape[-2]},{maps.shape[-1]}), as large as the result's maps, "
            f"got shape {tuple(inputs.shape)}"
        )
    row = corrector.engine.place(row)
    prepared = corrector.view.prepare(row)
    count = len(maps)
    if prepared is not None:
        prepared = prepared.expand(count, *prepared.shape[1:])
    views = corrector.view.render(row.expand(count, -1, -1, -1), maps.to(row.device), prepared)
    return denormalize(views, mean, std)


def kept_maps(result: "CorrectionResult", index: int) -> Tensor:
    """The maps (K,H,W) of one image.

    Raises:
        ValueError: the result did not keep them, or has no such image.
    """
    check_int("index", index, 0, len(result) - 1)
    if result.attributions is None:
        raise ArgumentError(
            "result must hold its attributions, got None; "
            "keep them with correct(inputs, keep=('attributions', 'masked_probs'))"
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


def draw_map_scale(figure: Figure, right: float, top: float) -> None:
    """What the colours of the maps mean, from 0 to 1, in one line that ends at `right` (inches)."""
    scale = np.linspace(0, 1, 64, dtype=np.float32)[None]
    axes = add_axes(figure, right - 0.64, top + 0.035, 0.55, 0.06)
    axes.imshow(overlay(np.full((1, 64, 3), 0.5, np.float32), scale), aspect="auto")
    axes.set_axis_off()
    add_text(figure, right - 0.67, top, "map  0", SMALL, color=MUTED, ha="right")
    add_text(figure, right, top, "1", SMALL, color=MUTED, ha="right")
