"""From image files to outcomes: groups of images are corrected together, and one bad image never stops the others."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.evaluation.correctable import correct_each, group_size
from maskcorrect_plugin.images import Batch, load_batch
from maskcorrect_plugin.inference import first_tensor
from maskcorrect_plugin.models import Preprocessing
from maskcorrect_plugin.pictures import Picture
from maskcorrect_plugin.results import CorrectionResult

USUAL_SIZE = (224, 224)
"""Pixels of an image, before any is read: what a batch holds depends on it."""


@dataclass(frozen=True)
class ImageOutcome:
    """What became of one image file: either a failure, or its row in the result of its group.

    Attributes:
        path: The file.
        failure: Why it failed; None if it was corrected.
        result: The result of the group, on the CPU; None if it failed.
        row: Which row of `result` is this image's.
        inputs: What the model was given, (C,H,W), on the CPU.
        picture: The original behind it, where a view is cut from it.
    """

    path: Path
    failure: str | None = None
    result: CorrectionResult | None = None
    row: int = 0
    inputs: Tensor | None = None
    picture: Picture | None = None


def model_device(model: nn.Module) -> torch.device:
    """Where the model is; the CPU if it has no parameters."""
    tensor = first_tensor(model)
    return torch.device("cpu") if tensor is None else tensor.device


def correct_files(
    corrector: ProbabilityCorrector,
    preprocessing: Preprocessing,
    paths: Sequence[Path],
    keep: Collection[str] = (),
) -> Iterator[list[ImageOutcome]]:
    """Corrects image files group by group; memory does not grow with their number.

    Before the first group, `corrector.probe` runs once, so that what is wrong with the model, the layer or the method
    is raised instead of being reported for each image.

    Args:
        corrector: What corrects.
        preprocessing: From pictures to what the model takes.
        paths: Image files; unreadable ones become failures.
        keep: What else the results keep: see `ProbabilityCorrector.correct`.

    Yields:
        The outcomes of one group, in the order of `paths`.

    Raises:
        MaskCorrectError: from `corrector.probe`, before any image is corrected.
        RuntimeError: an error of torch that hits every image of a group: then it is not the images.
    """
    size = group_size(corrector, torch.empty(0, *USUAL_SIZE))
    checked = False
    for start in range(0, len(paths), size):
        files = paths[start : start + size]
        batch = _load(files, preprocessing, corrector.needs_pictures)
        if batch.kept and not checked:
            corrector.probe(batch.inputs)
            checked = True
        outcomes = {path: ImageOutcome(path, failure=reason) for path, reason in batch.failures}
        if batch.kept:
            readable = [files[index] for index in batch.kept]
            images = batch.inputs if batch.pictures is None else batch.pictures
            answers = correct_each(corrector, images, ids=[str(path) for path in readable], keep=keep)
            for row, (path, answer) in enumerate(zip(readable, answers, strict=True)):
                if answer.result is None:
                    outcomes[path] = ImageOutcome(path, failure=answer.failure)
                else:
                    result = answer.result
                    picture = None if batch.pictures is None else batch.pictures[row]
                    outcomes[path] = ImageOutcome(path, None, result, answer.row, batch.inputs[row], picture)
        yield [outcomes[path] for path in files]


def _load(files: Sequence[Path], preprocessing: Preprocessing, pictures: bool) -> Batch:
    return load_batch(files, preprocessing.picture, pictures=True) if pictures else load_batch(files, preprocessing)
