"""From image files to outcomes: groups of images are corrected together, and one bad image never stops the others."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.evaluation.correctable import correct_each, group_size
from maskcorrect_plugin.images import load_batch
from maskcorrect_plugin.inference import first_tensor

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
    """

    path: Path
    failure: str | None = None
    result: CorrectionResult | None = None
    row: int = 0
    inputs: Tensor | None = None


def model_device(model: nn.Module) -> torch.device:
    """Where the model is; the CPU if it has no parameters."""
    tensor = first_tensor(model)
    return torch.device("cpu") if tensor is None else tensor.device


def correct_files(
    corrector: ProbabilityCorrector,
    transform: Callable[[Image.Image], Tensor],
    paths: Sequence[Path],
    keep: Collection[str] = (),
) -> Iterator[list[ImageOutcome]]:
    """Corrects image files group by group; memory does not grow with their number.

    Before the first group, `corrector.probe` runs once, so that what is wrong with the model, the layer or the method
    is raised instead of being reported for each image.

    Args:
        corrector: What corrects.
        transform: From an RGB image to what the model takes, (C,H,W).
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
        batch = load_batch(files, transform)
        if batch.kept and not checked:
            corrector.probe(batch.inputs)
            checked = True
        outcomes = {path: ImageOutcome(path, failure=reason) for path, reason in batch.failures}
        if batch.kept:
            readable = [files[index] for index in batch.kept]
            answers = correct_each(corrector, batch.inputs, keep=keep)
            for row, (path, answer) in enumerate(zip(readable, answers, strict=True)):
                if answer.result is None:
                    outcomes[path] = ImageOutcome(path, failure=answer.failure)
                else:
                    result = answer.result
                    outcomes[path] = ImageOutcome(path, None, result, answer.row, batch.inputs[row])
        yield [outcomes[path] for path in files]
