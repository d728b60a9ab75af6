"""What every data set of an evaluation offers, whatever it was made of."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from PIL import Image
from torch import Tensor

from maskcorrect_plugin.pictures import Picture

Transform = Callable[[Image.Image], Tensor]
"""From an RGB image to what the model takes, (C,H,W)."""
Loaded = TypeVar("Loaded", Tensor, Picture)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What is known about an image before it is read.

    Attributes:
        id: Its name in the data set: unique, the same on every computer, valid Unicode.
        label: Its true class as an index into the model's outputs; None where it is not known.
    """

    id: str
    label: int | None


class ImageDataset(ABC):
    """A map-style data set of labelled images.

    Records are cheap and never read an image, so that a run can be planned, split and resumed without touching the
    data. An image that cannot be read raises when it is asked for, and only then.

    Attributes:
        kind: Where the images come from: ``"folder"``, ``"imagenet"``, ``"manifest"``, ``"hf"``, ``"demo"`` or
            ``"python"``.
        source: What was asked for, as its user wrote it.
        class_names: Name of each label index as the data knows it; where it has no images of a class, the model's name
            of that class. None where labels are bare indices, or where there are none.
        labels_by: How labels became indices, in words, for the record of a run; None without labels.
    """

    kind: ClassVar[str]
    source: str
    class_names: tuple[str, ...] | None = None
    labels_by: str | None = None
    _fingerprint: str | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    @abstractmethod
    def record(self, index: int) -> ImageRecord:
        """Name and label of one image.

        Args:
            index: Position, 0 to ``len(self) - 1``.
        """

    @abstractmethod
    def image(self, index: int) -> Image.Image:
        """One image as RGB.

        Raises:
            ImageError: it cannot be read; the message names the file and the reason.
        """

    def load(self, index: int, transform: Callable[[Image.Image], Loaded]) -> Loaded | Tensor:
        """One image as the model takes it, (C,H,W), or as a picture.

        Args:
            index: Position.
            transform: From an RGB image to a tensor, or to a `Picture`: the `picture` of a `Preprocessing`.

        Raises:
            ImageError: it cannot be read.
        """
        return transform(self.image(index))

    def byte_size(self, index: int) -> int | None:
        """Size of one image's file; None where it is not known without reading, or where there is no file."""
        return None

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the kind and of each image's id, label and file size, in order.

        The same data gives the same value wherever its folder lies. What the images show is not read: a file that
        was replaced by one of equal size goes unnoticed. Taken once; a data set is not expected to change under a run.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256(self.kind.encode())
            for index in range(len(self)):
                record = self.record(index)
                digest.update(json.dumps([record.id, record.label, self.byte_size(index)]).encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def describe(self) -> dict[str, Any]:
        """Plain values that say what the data is, for the record of a run.

        Returns:
            ``kind``, ``source``, ``count``, ``labelled`` (images with a label), ``classes`` (different labels),
            ``labels`` (how they became indices), ``fingerprint``, and what the kind adds.
        """
        labels = [label for index in range(len(self)) if (label := self.record(index).label) is not None]
        return {
            "kind": self.kind,
            "source": self.source,
            "count": len(self),
            "labelled": len(labels),
            "classes": len(set(labels)),
            "labels": self.labels_by,
            "fingerprint": self.fingerprint(),
        }
