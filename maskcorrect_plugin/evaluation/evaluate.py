"""`evaluate`: what correction does to the predictions over a data set, written so that nothing is lost."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor, nn

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, as_image_dataset
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.models import LoadedModel, Preprocessing
from maskcorrect_plugin.models.class_names import default_class_names
from maskcorrect_plugin.models.geometry import Unknown

from .correctable import Correctable
from .examples import TRIED, example_input
from .job import Evaluation
from .runner import RecordOptions
from .worker import Worker

if TYPE_CHECKING:
    import pandas as pd

_NO_PICTURES = (
    "pictures are needed to cut them anew, and the data set gives tensors: loaded must be a LoadedModel with a "
    "preprocessing, and dataset must give images"
)


def evaluate(
    correctors: Correctable | Mapping[str, Correctable],
    dataset: Any,
    loaded: LoadedModel | nn.Module,
    output: str | Path | None = None,
    *,
    options: RecordOptions | None = None,
    worker: Worker | None = None,
    num_workers: int = 0,
    show_progress: bool | None = None,
) -> "dict[str, pd.DataFrame]":
    """Corrects a whole data set and gives the records of each method.

    The run is written part by part; where it is stopped or killed, the same call goes on from the last whole part.

    Args:
        correctors: What is evaluated: a `ProbabilityCorrector`, or anything with ``correct(inputs, labels, ids)``; or
            several by name. Those that were made with ``share=`` share what they can.
        dataset: An `ImageDataset`, what `load_dataset` takes, or a map-style data set of torch that gives (image,
            label).
        loaded: The model with its transform (see `load_model`), or the bare model where the data set gives tensors.
        output: Folder of the run; None keeps nothing on disk.
        options: What is kept.
        worker: Which share of the run this process does: ``Worker.of()`` asks torchrun's or a SLURM array's
            environment. None does all of it.
        num_workers: Processes that read images in the background.
        show_progress: Show a progress bar; None does so on a terminal.

    Returns:
        The records of each method, by name: see `records.columns`. Where other workers are not done yet, those that
        are there.

    Raises:
        ValueError, TypeError: wrong arguments, or what can never work with this model, before any image is corrected.
        RunError: (a ValueError) the folder is of another run, or cannot be written to.
    """
    named = correctors if isinstance(correctors, Mapping) else {_name_of(correctors): correctors}
    names = loaded.class_names if isinstance(loaded, LoadedModel) else None
    images = as_image_dataset(dataset, class_names=names)
    model = loaded if isinstance(loaded, LoadedModel) else _bare_model(loaded, images)
    evaluation = Evaluation(named, images, model, options or RecordOptions(), worker or Worker(), num_workers)
    progress = sys.stderr.isatty() if show_progress is None else show_progress
    evaluation.probe()
    if output is not None:
        return _run(evaluation, Path(output), progress)
    with tempfile.TemporaryDirectory() as folder:
        return _run(evaluation, Path(folder), progress, kept=False)


def _run(evaluation: Evaluation, output: Path, show_progress: bool, *, kept: bool = True) -> "dict[str, pd.DataFrame]":
    from tqdm import tqdm

    folder = evaluation.open(output, kept=kept)
    done, total = evaluation.progress(folder)
    with tqdm(total=total, initial=done, unit="image", disable=not show_progress, dynamic_ncols=True) as bar:
        evaluation.run(folder, bar)
    return {method: folder.records(method) for method in folder.methods if folder.done(method)}


def _name_of(corrector: Correctable) -> str:
    if isinstance(corrector, ProbabilityCorrector):
        return corrector.settings["method"] or corrector.recipe.name
    return str(getattr(corrector, "settings", {}).get("method", type(corrector).__name__))


def _bare_model(model: nn.Module, dataset: ImageDataset) -> LoadedModel:
    """A model without a transform, for data sets of tensors; one forward counts its classes."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"loaded must be a LoadedModel or a torch.nn.Module, got {type(model).__name__}")
    like = example_input(dataset, _no_transform).unsqueeze(0)
    engine = PassEngine(model)
    with evaluation_mode(model):
        count = engine.scores(engine.place(like)).shape[1]
    preprocessing = Preprocessing(_no_transform, geometry=Unknown(_NO_PICTURES))
    return LoadedModel(model, preprocessing, default_class_names(count), type(model).__name__, None)


def _no_transform(image: Image.Image) -> Tensor:
    raise ArgumentError(
        f"dataset must give tensors (C,H,W), which none of its first {TRIED} items is, or loaded must be a LoadedModel "
        "with a transform for its images"
    )
