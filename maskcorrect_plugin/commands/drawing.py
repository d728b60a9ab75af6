"""The figure of one corrected image, from what a command has at hand."""

from typing import TYPE_CHECKING

from torch import Tensor

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.normalization import denormalize, known_or_spread
from maskcorrect_plugin.results import CorrectionResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_corrected(
    corrector: ProbabilityCorrector,
    loaded: LoadedModel,
    inputs: Tensor,
    result: CorrectionResult,
    row: int = 0,
    label: int | None = None,
) -> "Figure":
    """Draws one row of a result with what the network was shown again. matplotlib is imported here.

    Args:
        corrector: The one that gave the result.
        loaded: Its model, for class names and normalisation.
        inputs: What the model was given, (C,H,W).
        result: With ``attributions`` and ``masked_probs`` kept.
        row: Which image of the result.
        label: The true class, if it is known.
    """
    from maskcorrect_plugin.visualization import draw_correction, render_views

    mean, std = known_or_spread(inputs, loaded.mean, loaded.std)
    views = None
    if bool(result.corrected[row]):
        views = render_views(corrector, inputs, result, row, mean, std)
    picture = denormalize(inputs, mean, std)
    return draw_correction(picture, result, row, class_names=loaded.class_names, view_images=views, label=label)
