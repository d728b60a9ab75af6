"""ImageNet as torchvision lays it out: ``val/n01440764/ILSVRC2012_val_00000293.JPEG``."""

from pathlib import Path

from .classes import ModelClasses
from .folder import FolderDataset, list_folder
from .synsets import is_wordnet_id

DEFAULT_SPLIT = "val"


class ImageNetDataset(FolderDataset):
    """The folder of one split, with class folders named by WordNet ids; ``meta.bin`` is not needed.

    Args:
        source: The folder that holds ``val`` or ``train``, or both.
        classes: The model's.
        split: ``"val"`` or ``"train"``.
    """

    kind = "imagenet"

    def __init__(self, source: str, classes: ModelClasses, split: str | None = None) -> None:
        super().__init__(source, classes, split or DEFAULT_SPLIT)

    @staticmethod
    def recognises(folder: Path, split: str | None = None) -> bool:
        """Whether a folder has that layout: a split whose folders are all named by WordNet ids."""
        top = folder / (split or DEFAULT_SPLIT)
        folders = list_folder(top)[0] if top.is_dir() else []
        return bool(folders) and all(map(is_wordnet_id, folders))
