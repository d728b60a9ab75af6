"""What an image was shown as, again: rendered by the corrector's own views and by what the passes use."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.normalization import denormalize, known_or_spread
from maskcorrect_plugin.pictures import Box, Picture
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.second_pass import shown_pictures
from maskcorrect_plugin.views import MERGED, ImageBatch, Shown, View

from .pictures import MAX_SHOWN, kept_maps

if TYPE_CHECKING:
    from maskcorrect_plugin.corrector import ProbabilityCorrector


@dataclass(frozen=True)
class RenderedView:
    """What one view showed of an image.

    Attributes:
        images: (v,3,H,W) in [0, 1]: its pictures, the first `MAX_SHOWN`.
        boxes: For each of them where it was cut out of the original; None where it was not.
    """

    images: Tensor
    boxes: tuple[Box | None, ...]


@dataclass(frozen=True)
class RenderedViews:
    """What an image was shown as, first and again.

    Attributes:
        input: (3,H,W) in [0, 1]: what the network saw at first.
        views: One for each view of the result, in the order of `CorrectionResult.columns`.
        original: (3,h,w) uint8, where a view was cut out of it.
        place: Where the input lies in the original.
    """

    input: Tensor
    views: tuple[RenderedView, ...]
    original: Tensor | None = None
    place: Box | None = None


def render_views(
    corrector: "ProbabilityCorrector",
    image: Any,
    result: CorrectionResult,
    index: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    *,
    image_id: Any = None,
) -> RenderedViews:
    """What the network was shown again, made by the corrector's own views: the truth, not an approximation.

    Args:
        corrector: The one that gave the result.
        image: The image that belongs to `index`: the row of the model's inputs, (C,H,W) or (1,C,H,W); a Pillow image or
            a `Picture`, which views of the original need.
        result: With its attributions kept, if a view follows maps.
        index: Which image of the result.
        mean: Of the normalisation; by default the preprocessing's. Where it is not known, the darkest value is shown
            black and the brightest white.
        std: Likewise.
        image_id: The name that the image was given to the corrector with, for views that draw at random.
    """
    batch = _batch(corrector, image, result, index, image_id)
    shown = [_shown(corrector, view, batch, result, index) for view, _ in corrector.views]
    pictures = shown_pictures(batch, shown)
    known = corrector.preprocessing
    if known is not None:
        mean, std = (known.mean, known.std) if mean is None and std is None else (mean, std)
    mean, std = known_or_spread(batch.inputs[0], mean, std)
    views = tuple(
        RenderedView(denormalize(own[0], mean, std), _boxes(each)) for own, each in zip(pictures, shown, strict=True)
    )
    cut = any(box is not None for view in views for box in view.boxes)
    original = batch.picture(0) if cut else None
    return RenderedViews(
        denormalize(batch.inputs[0], mean, std),
        views,
        None if original is None else original.pixels,
        None if original is None else original.box,
    )


def guiding_maps(result: CorrectionResult, index: int, spec_map: str, weights: str) -> Tensor:
    """The maps that a view follows, (1,v,H,W), from those of the candidates.

    Args:
        result: With its attributions kept.
        index: Which image.
        spec_map: The view's `map`: of each candidate, or merged.
        weights: The recipe's `candidate_weights`.
    """
    maps = kept_maps(result, index)[None]
    if spec_map != MERGED:
        return maps
    row = slice(index, index + 1)
    return functional.merged_map(maps, functional.candidate_weights(result.probs[row], result.candidates[row], weights))


def _batch(
    corrector: "ProbabilityCorrector", image: Any, result: CorrectionResult, index: int, image_id: Any
) -> ImageBatch:
    """The image as the corrector sees it."""
    if isinstance(image, Image.Image):
        if corrector.preprocessing is None:
            raise ArgumentError(
                "image must be a tensor where the corrector has no preprocessing, got a Pillow image; pass "
                "preprocessing= (load_model(...).preprocessing) to the corrector"
            )
        image = corrector.preprocessing.picture(image)
    inputs = image.inputs if isinstance(image, Picture) else image
    if not isinstance(inputs, Tensor):
        raise ArgumentTypeError(f"image must be a tensor, a Pillow image or a Picture, got {type(image).__name__}")
    row = inputs if inputs.ndim == 4 else inputs.unsqueeze(0)
    size = None if result.attributions is None else tuple(kept_maps(result, index).shape[-2:])
    if row.ndim != 4 or row.shape[0] != 1 or size not in (None, tuple(row.shape[-2:])):
        wanted = "C,H,W" if size is None else f"C,{size[0]},{size[1]}"
        raise ArgumentError(
            f"image must be one image ({wanted}), as large as the result's maps, got shape {tuple(inputs.shape)}"
        )
    return ImageBatch(
        corrector.engine.place(row),
        (image,) if isinstance(image, Picture) else None,
        corrector.preprocessing,
        None if image_id is None else (image_id,),
    )


def _shown(
    corrector: "ProbabilityCorrector", view: View, batch: ImageBatch, result: CorrectionResult, index: int
) -> Shown:
    """What a view shows of the image, the first `MAX_SHOWN` pictures."""
    view.check(batch)
    maps = None
    if view.guided:
        maps = guiding_maps(result, index, view.map, corrector.recipe.candidate_weights)[:, :MAX_SHOWN]
        maps = maps.to(batch.inputs.device)
    shown = view.show(batch, maps, view.prepare(batch))
    return replace(shown, count=min(shown.count, MAX_SHOWN))


def _boxes(shown: Shown) -> tuple[Box | None, ...]:
    if shown.regions is None:
        return (None,) * shown.count
    return tuple(region.box if region.original else None for region in shown.regions[0][: shown.count])
