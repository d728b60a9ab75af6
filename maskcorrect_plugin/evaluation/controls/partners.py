"""Where `control:other_image` takes its other images from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


class Partners(Protocol):
    """A data set as the control sees it: names, and inputs that are only made when they are asked for."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def name(self, index: int) -> str:
        """The id of one image, the same that `correct` is given for it. Must not read the image."""
        ...

    def inputs(self, index: int) -> Tensor:
        """One image as the model takes it, (C,H,W).

        Raises:
            ImageError: it cannot be read; the next partner is taken.
        """
        ...


class ImageSource(Protocol):
    """What `DatasetPartners` asks of a data set of images."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def record(self, index: int) -> Any:
        """Something with the image's ``id``."""
        ...

    def load(self, index: int, transform: Callable[[Any], Tensor]) -> Tensor:
        """The image, transformed; ImageError where it cannot be read."""
        ...


@dataclass(frozen=True)
class DatasetPartners:
    """The images of a data set under the model's transform, as `Partners`.

    It must be the whole data set also where a worker corrects a part of it, or the partners would depend on the parts.

    Attributes:
        dataset: Images by index.
        transform: From an image to what the model takes, (C,H,W).
    """

    dataset: ImageSource
    transform: Callable[[Any], Tensor]

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """The id of one image."""
        return str(self.dataset.record(index).id)

    def inputs(self, index: int) -> Tensor:
        """One image as the model takes it, (C,H,W)."""
        return self.dataset.load(index, self.transform)
