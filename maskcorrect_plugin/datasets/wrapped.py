"""A data set that is already there in Python: any map-style one of torch, or a list of pairs."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset, Subset, TensorDataset

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, ImageError, reason
from maskcorrect_plugin.images import to_rgb

from .base import ImageDataset, ImageRecord, Loaded


class WrappedDataset(ImageDataset):
    """Wraps a map-style data set whose items are ``(image, label)``, or images alone.

    An image is a Pillow image, to be transformed, or a tensor (C,H,W), which is the model's input as it stands. The
    ids are the positions. Labels are the model's class indices. They come from `labels`, or from what torch's and
    torchvision's own data sets know without reading an image; elsewhere an item is made for the sake of its label,
    once, which costs a second reading of the data.

    Args:
        dataset: Has ``__len__`` and ``__getitem__``: a data set of torch, a list, ...
        labels: One class index per item, None where it is not known.
        num_classes: Upper bound of labels, exclusive; unknown when None.

    Raises:
        TypeError: `dataset` is not map-style, its first item has another form, or a label is no integer.
        ValueError: empty, another number of labels, or a label out of range.
    """

    kind = "python"
    labels_by = "class indices"

    def __init__(self, dataset: Any, labels: Sequence[Any] | None = None, num_classes: int | None = None) -> None:
        _check_map_style(dataset)
        self.dataset = dataset
        self.source = type(dataset).__name__
        self._highest = None if num_classes is None else check_int("num_classes", num_classes, 1) - 1
        known = _known_labels(dataset) if labels is None else labels
        if known is not None and len(known) != len(dataset):
            raise ArgumentError(f"labels must hold one per item ({len(dataset)}), got {len(known)}")
        self._labels = {} if known is None else dict(enumerate(map(self._check_label, known)))
        names = getattr(dataset, "classes", None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            self.class_names = tuple(names)

    def __len__(self) -> int:
        return len(self.dataset)

    def record(self, index: int) -> ImageRecord:
        """The id is the position. An item that cannot be made has no label."""
        if index not in self._labels:
            try:
                self._item(index)
            except ImageError:
                self._labels[index] = None
        return ImageRecord(str(index), self._labels[index])

    def image(self, index: int) -> Image.Image:
        """The item's image as RGB.

        Raises:
            ImageError: the item cannot be made, or its image is a tensor.
        """
        image = self._item(index)
        try:
            if isinstance(image, Image.Image):
                return to_rgb(image)
        except Exception as error:
            raise ImageError(reason(error), f"item {index}") from error
        raise ImageError(f"a {type(image).__name__}, not a PIL image", f"item {index}")

    def load(self, index: int, transform: Callable[[Image.Image], Loaded]) -> Loaded | Tensor:
        """A tensor as it stands, an image transformed. A tensor has no picture behind it, whatever the transform."""
        image = self._item(index)
        return image if isinstance(image, Tensor) else transform(self.image(index))

    def _item(self, index: int) -> Any:
        """The image of an item; the label is remembered."""
        try:
            image, label = _split(self.dataset[index])
        except Exception as error:
            raise ImageError(f"the data set failed: {reason(error)}", f"item {index}") from error
        if index not in self._labels:
            self._labels[index] = self._check_label(label)
        return image

    def _check_label(self, label: Any) -> int | None:
        value = label.tolist() if isinstance(label, Tensor) else label
        return None if value is None else check_int("labels", value, 0, self._highest)


def _check_map_style(dataset: Any) -> None:
    name = type(dataset).__name__
    if isinstance(dataset, Tensor | str | dict | IterableDataset) or not (
        hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    ):
        hint = "; pass its .dataset, with the transforms that it has" if hasattr(dataset, "batch_sampler") else ""
        raise ArgumentTypeError(f"dataset must be map-style, with __len__ and __getitem__, got {name}{hint}")
    if len(dataset) == 0:
        raise ArgumentError(f"dataset must hold at least one item, got an empty {name}")
    try:
        first = dataset[0]
    except Exception:  # noqa: BLE001 - one bad item never stops the others; this one is reported when its turn comes
        return
    image, _ = _split(first)
    if not isinstance(image, Image.Image | Tensor):
        raise ArgumentTypeError(
            "dataset must have items (image, label), or images, with a PIL image or a tensor (C,H,W); item 0 is "
            f"{type(first).__name__} with {type(image).__name__}"
        )


def _split(item: Any) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or not item:
        return item, None
    return item[0], item[1] if len(item) > 1 else None


def _known_labels(dataset: Any) -> Sequence[Any] | None:
    """The labels of data sets that can tell them without reading an image."""
    if isinstance(dataset, Subset):
        labels = _known_labels(dataset.dataset)
        return None if labels is None else [labels[index] for index in dataset.indices]
    if isinstance(dataset, TensorDataset):
        return dataset.tensors[1].tolist() if len(dataset.tensors) > 1 else None
    # Elsewhere attributes of these names may be anything.
    of_torchvision = any(base.__module__.startswith("torchvision.datasets") for base in type(dataset).__mro__)
    if not of_torchvision or getattr(dataset, "target_transform", None) is not None:
        return None
    labels = getattr(dataset, "targets", None)
    return getattr(dataset, "labels", None) if labels is None else labels
