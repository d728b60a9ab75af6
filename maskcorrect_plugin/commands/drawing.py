"""The figure of one corrected image, from what a command has at hand."""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.pictures import Picture
from maskcorrect_plugin.results import CorrectionResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_corrected(
    corrector: ProbabilityCorrector,
    loaded: LoadedModel,
    image: Tensor | Picture,
    result: CorrectionResult,
    row: int = 0,
    label: int | None = None,
    image_id: Any = None,
) -> "Figure":
    """Draws one row of a result with what the network was shown again. matplotlib is imported here.

    Args:
        corrector: The one that gave the result.
        loaded: Its model, for class names and normalisation.
        image: What the model was given, (C,H,W), or the `Picture`, which views of the original need.
        result: With ``view_probs`` kept, and ``attributions`` where a view follows maps.
        row: Which image of the result.
        label: The true class, if it is known.
        image_id: The name that the image was given to the corrector with.
    """
    from maskcorrect_plugin.normalization import denormalize, known_or_spread
    from maskcorrect_plugin.visualization import draw_correction, render_views

    if bool(result.corrected[row]):
        views = render_views(corrector, image, result, row, loaded.mean, loaded.std, image_id=image_id)
        picture = views.input
    else:
        views, inputs = None, image.inputs if isinstance(image, Picture) else image
        picture = denormalize(inputs, *known_or_spread(inputs, loaded.mean, loaded.std))
    return draw_correction(picture, result, row, class_names=loaded.class_names, view_images=views, label=label)
