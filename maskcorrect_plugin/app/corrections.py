"""From a photo and a filled-in form to what is displayed: no word of the page's markup, none of its server."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from maskcorrect_plugin.commands.drawing import draw_corrected
from maskcorrect_plugin.commands.outcomes import model_device
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.pictures import Picture
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.visualization import save_figure

from .form import Choice, Request
from .shelf import ModelShelf
from .true_class import true_class
from .watch import Watch

MAX_PIXELS = 50_000_000
"""Of a photo. Decoded, one of that size takes 150 MB."""
FIGURE_DPI = 160
"""Figures are 7.2 inches wide at most, which makes 1,152 pixels."""
PHOTO = "photo"
"""The name of every photo: what draws at random makes the same choice again."""
KEPT = ("attributions", "view_probs")
"""What the figure needs."""


@dataclass(frozen=True)
class Correction:
    """What one recipe did to the photo.

    Attributes:
        name: What the page calls the recipe.
        result: Of the one photo, on the CPU.
        figure: Of it, a PNG file.
        seconds: Time of the correction alone, without reading, loading and drawing.
    """

    name: str
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
        corrections: One for each recipe.
        label: The true class, if it is known.
    """

    model: str
    class_names: tuple[str, ...]
    device: str
    corrections: tuple[Correction, ...]
    label: int | None = None


def correct_photo(photo: Path, request: Request, shelf: ModelShelf, watch: Watch) -> PhotoOutcome:
    """Corrects one photo by each recipe that was asked for.

    Args:
        photo: An image file.
        request: What the form asks for.
        shelf: Where models are borrowed.
        watch: Told what is being done; it can stop the work.

    Raises:
        ImageError: the photo cannot be read, or has more than `MAX_PIXELS`.
        MaskCorrectError: the model, its weights, the recipe or an option is wrong.
        Stopped: by the watch.
    """
    watch.begin("Reading the photo")
    image = read_image(photo, max_pixels=MAX_PIXELS)
    with shelf.borrow(request.model, watch.begin) as loaded:
        label = true_class(request.true_class, loaded.class_names)
        corrections = tuple(_correct(choice, request.output, loaded, image, label, watch) for choice in request.choices)
        return PhotoOutcome(
            request.model.model, loaded.class_names, str(model_device(loaded.model)), corrections, label
        )


def _correct(
    choice: Choice, output: str, loaded: LoadedModel, image: Image.Image, label: int | None, watch: Watch
) -> Correction:
    watch.begin(f"Correcting by {choice.name}")
    corrector = ProbabilityCorrector(
        loaded.model, recipe=choice.recipe, preprocessing=loaded.preprocessing, output=output
    )
    # A transform of unknown making can always be run, but not always be located in the picture.
    shown = loaded.preprocessing.picture(image) if corrector.needs_pictures else loaded.transform(image)
    given = [shown] if isinstance(shown, Picture) else shown.unsqueeze(0)
    labels = None if label is None else [label]
    with watch.on(loaded.model):
        started = time.perf_counter()
        result = corrector.correct(given, labels, [PHOTO], keep=KEPT).to("cpu")
        seconds = time.perf_counter() - started
    watch.begin(f"Drawing {choice.name}")
    figure = draw_corrected(corrector, loaded, shown, result, label=label, image_id=PHOTO)
    return Correction(choice.name, result, _png(figure), seconds)


def _png(figure: Figure) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_figure(figure, Path(folder) / "figure.png", dpi=FIGURE_DPI).read_bytes()
