"""Some images of a data set, drawn at random."""

import random
from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_int

from .base import ImageDataset, ImageRecord, Loaded


class SampledDataset(ImageDataset):
    """A random sample of a data set, in the data set's order.

    Args:
        dataset: Drawn from.
        count: Images to draw; all where there are not more.
        seed: The same seed draws the same images on every machine.
    """

    kind = "sample"

    def __init__(self, dataset: ImageDataset, count: int, seed: int = 0) -> None:
        count = min(check_int("count", count, 1), len(dataset))
        self.dataset = dataset
        self.seed = check_int("seed", seed, 0)
        self.indices = sorted(random.Random(seed).sample(range(len(dataset)), count))
        self.source, self.class_names, self.labels_by = dataset.source, dataset.class_names, dataset.labels_by

    def __len__(self) -> int:
        return len(self.indices)

    def record(self, index: int) -> ImageRecord:
        """Name and label of one image, as the whole data set has them."""
        return self.dataset.record(self.indices[index])

    def image(self, index: int) -> Image.Image:
        """One image as RGB."""
        return self.dataset.image(self.indices[index])

    def load(self, index: int, transform: Callable[[Image.Image], Loaded]) -> Loaded | Tensor:
        """One image as the model takes it, (C,H,W), or as a picture."""
        return self.dataset.load(self.indices[index], transform)

    def byte_size(self, index: int) -> int | None:
        """Size of one image's file."""
        return self.dataset.byte_size(self.indices[index])

    def describe(self) -> dict[str, Any]:
        """As of any data set, and what it was drawn from."""
        drawn_from = {"kind": self.dataset.kind, "count": len(self.dataset), "seed": self.seed}
        return {**super().describe(), "drawn_from": drawn_from}
