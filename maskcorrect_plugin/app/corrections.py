"""From a photo and a filled-in form to what is displayed: no word of the page's markup, none of its server."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from maskcorrect_plugin.commands.drawing import draw_corrected
from maskcorrect_plugin.commands.outcomes import model_device
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.visualization import save_figure

from .form import Request
from .shelf import ModelShelf
from .true_class import true_class
from .watch import Watch

MAX_PIXELS = 50_000_000
"""Of a photo. Decoded, one of that size takes 150 MB."""
FIGURE_DPI = 160
"""Figures are 7.2 inches wide at most, which makes 1,152 pixels."""


@dataclass(frozen=True)
class Correction:
    """What one method did to the photo.

    Attributes:
        method: As it was asked for.
        result: Of the one photo, on the CPU.
        figure: Of it, a PNG file.
        seconds: Time of the correction alone, without reading, loading and drawing.
    """

    method: str
    result: CorrectionResult
    figure: bytes
    seconds: float


@dataclass(frozen=True)
class PhotoOutcome:
    """What became of one photo.

    Attributes:
        model: As it was asked for.
        class_names: One for each class.
        device: Where the model ran.
        corrections: One for each method.
        label: The true class, if it is known.
    """

    model: str
    class_names: tuple[str, ...]
    device: str
    corrections: tuple[Correction, ...]
    label: int | None = None


def correct_photo(photo: Path, request: Request, shelf: ModelShelf, watch: Watch) -> PhotoOutcome:
    """Corrects one photo with each method that was asked for.

    Args:
        photo: An image file.
        request: What the form asks for.
        shelf: Where models are borrowed.
        watch: Told what is being done; it can stop the work.

    Raises:
        ImageError: the photo cannot be read, or has more than `MAX_PIXELS`.
        MaskCorrectError: the model, its weights, the method or an option is wrong.
        Stopped: by the watch.
    """
    watch.begin("Reading the photo")
    image = read_image(photo, max_pixels=MAX_PIXELS)
    with shelf.borrow(request.options, watch.begin) as loaded:
        inputs = loaded.transform(image).unsqueeze(0)
        arguments = request.options.corrector_arguments(loaded)
        label = true_class(request.true_class, loaded.class_names)
        corrections = []
        for method in request.methods:
            watch.begin(f"Correcting by {method.text}")
            corrector = ProbabilityCorrector(loaded.model, method.name, **arguments, **method.options)
            corrections.append(_correct(corrector, loaded, inputs, method.text, label, watch))
        device = str(model_device(loaded.model))
        return PhotoOutcome(request.options.model, loaded.class_names, device, tuple(corrections), label)


def _correct(
    corrector: ProbabilityCorrector, loaded: LoadedModel, inputs: Tensor, method: str, label: int | None, watch: Watch
) -> Correction:
    with watch.on(loaded.model):
        started = time.perf_counter()
        result = corrector.correct(inputs, keep=("attributions", "masked_probs")).to("cpu")
        seconds = time.perf_counter() - started
    watch.begin(f"Drawing {method}")
    figure = draw_corrected(corrector, loaded, inputs[0], result, label=label)
    return Correction(method, result, _png(figure), seconds)


def _png(figure: Figure) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_figure(figure, Path(folder) / "figure.png", dpi=FIGURE_DPI).read_bytes()
