"""Single images of a data set, to find out what works before or beside the long work."""

from collections.abc import Collection, Iterable
from functools import partial

from PIL import Image
from torch import Tensor

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, iterate_groups
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.images import try_image
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.models.preprocessing import Transform
from maskcorrect_plugin.pictures import Picture

from .correctable import Correctable, correct_each, is_of_the_machine

TRIED = 8
"""Images that are tried for one that works."""


def example_input(dataset: ImageDataset, transform: Transform) -> Tensor:
    """One image as the model takes it, (C,H,W): the first that can be read, or a blank one."""
    for index in range(min(TRIED, len(dataset))):
        image = _image(dataset, index, transform)
        if image is not None:
            return image
    return transform(Image.new("RGB", (256, 256), (128, 128, 128)))


def check_pictures(dataset: ImageDataset, loaded: LoadedModel) -> None:
    """Refuses a data set of tensors where views are cut from the original pictures.

    Raises:
        ValueError: of the first images that can be read all are tensors.
    """
    tried = (
        try_image(partial(dataset.load, index, loaded.preprocessing.picture))
        for index in range(min(TRIED, len(dataset)))
    )
    found = [image for image in tried if not isinstance(image, str)]
    if found and not any(isinstance(image, Picture) for image in found):
        raise ArgumentError(
            f"dataset must give pictures where views are cut from the originals, but {dataset.source!r} gives tensors; "
            "use one that gives PIL images, with a LoadedModel that has their preprocessing, or views of the network's "
            "input, such as 'crop', 'mask' or 'hflip'"
        )


def works_elsewhere(
    corrector: Correctable, dataset: ImageDataset, loaded: LoadedModel, indices: Collection[int]
) -> bool:
    """Whether a corrector that fails on some images can correct another one: then it is the images.

    Args:
        corrector: What corrects.
        dataset: The data set.
        loaded: The model.
        indices: Positions of the images that it fails on.

    Raises:
        Exception: what comes at any image, such as memory that runs out.
    """
    others = (index for index in range(len(dataset)) if index not in indices)
    return any(_works(corrector, dataset, index, loaded) for index, _ in zip(others, range(TRIED), strict=False))


def _works(corrector: Correctable, dataset: ImageDataset, index: int, loaded: LoadedModel) -> bool:
    with_pictures = needs_pictures([corrector])
    (group,) = iterate_groups(dataset, loaded.preprocessing, [[index]], pictures=with_pictures)
    if not group.kept:
        return False
    entry = dataset.record(index)
    images = group.inputs if group.pictures is None else group.pictures
    try:
        (answer,) = correct_each(corrector, images, [entry.label], [entry.id])
    except Exception as error:
        if is_of_the_machine(error):
            raise
        return False
    return answer.result is not None


def needs_pictures(correctors: Iterable[Correctable]) -> bool:
    """Whether one of them shows views that are cut from the original pictures."""
    return any(isinstance(each, ProbabilityCorrector) and each.needs_pictures for each in correctors)


def _image(dataset: ImageDataset, index: int, transform: Transform) -> Tensor | None:
    image = try_image(lambda: dataset.load(index, transform))
    return image if isinstance(image, Tensor) else None
