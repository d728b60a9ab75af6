"""Groups of images as batches, loaded ahead by worker processes; one bad image never costs the others."""

import pickle
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LoadingError
from maskcorrect_plugin.images import Stack, stack_images, try_image
from maskcorrect_plugin.pictures import Picture

from .base import ImageDataset, Transform
from .packing import PackedStack, pack

PATIENCE = 3.0
"""Seconds in which torch notices that a worker died."""


@dataclass(frozen=True)
class LoadedGroup:
    """One group of images.

    Attributes:
        indices: Positions of its images in the data set, as they were asked for.
        inputs: Tensor (n,C,H,W) of those that could be read, on the CPU; (0,3,0,0) when there is none.
        kept: For each row of `inputs`, its position in `indices`.
        failures: Position in `indices` -> reason, of each of the others, in order.
        pictures: The picture of each row of `inputs`; None where tensors were asked for.
    """

    indices: tuple[int, ...]
    inputs: Tensor
    kept: list[int]
    failures: dict[int, str]
    pictures: list[Picture] | None = None


class MakesPictures(Protocol):
    """What gives a network's input, or a picture with it: see `Preprocessing`."""

    def __call__(self, image: Image.Image) -> Tensor:
        """The input (C,H,W) of an RGB image."""

    def picture(self, image: Image.Image) -> Picture:
        """The input with the original behind it."""


class _Items(Dataset[Tensor | Picture | str]):
    """Images for a DataLoader, with a reason in the place of one that cannot be used."""

    def __init__(self, dataset: ImageDataset, transform: Transform | MakesPictures, pictures: bool) -> None:
        if pictures and not hasattr(transform, "picture"):
            raise ArgumentTypeError(
                f"transform must be a Preprocessing where pictures are asked for, got {type(transform).__name__}"
            )
        self.dataset = dataset
        self.load: Any = getattr(transform, "picture", None) if pictures else transform
        self.pictures = pictures

    def __getitem__(self, index: int) -> Tensor | Picture | str:
        image: Tensor | Picture | str = try_image(partial(self.dataset.load, index, self.load), self.pictures)
        return image

    def collate(self, images: Sequence[Tensor | Picture | str]) -> Stack | PackedStack:
        stack = stack_images(images, self.pictures)
        return pack(stack) if self.pictures else stack


def iterate_groups(
    dataset: ImageDataset,
    transform: Transform | MakesPictures,
    groups: Sequence[Sequence[int]],
    num_workers: int = 0,
    pictures: bool = False,
) -> Iterator[LoadedGroup]:
    """Loads groups of images, in order.

    The workers live for all groups, so pass all of them at once; each keeps two groups ready. They stop when the
    iterator ends, is closed or is thrown away. The random state of the caller is left alone.

    Args:
        dataset: Where the images come from.
        transform: From an RGB image to a floating-point tensor (C,H,W), or a `Preprocessing`. Where shapes or types
            differ within a group, those unlike the most frequent are failures.
        groups: Positions in the data set, one sequence per group; a group may be empty.
        num_workers: Processes that load; 0 loads in this one.
        pictures: Whether the originals are loaded with the tensors. An item that is a tensor is then a failure.

    Yields:
        One `LoadedGroup` per group.

    Raises:
        ValueError: a position outside the data set, or what workers need cannot be sent to them.
        TypeError: pictures are asked for, and `transform` cannot make them.
        LoadingError: (a RuntimeError) a worker was killed, most often for memory.
    """
    wanted = [tuple(group) for group in groups]
    check_int("num_workers", num_workers, 0)
    for group in wanted:
        for index in group:
            check_int("groups", index, 0, len(dataset) - 1)
    return _iterate(_Items(dataset, transform, pictures), wanted, num_workers)


def _iterate(items: _Items, groups: list[tuple[int, ...]], num_workers: int) -> Iterator[LoadedGroup]:
    loader: DataLoader[Any] = DataLoader(
        items,
        batch_sampler=[list(group) for group in groups],
        collate_fn=items.collate,
        num_workers=num_workers,
        # Without one of its own, a DataLoader draws the seed of its workers from the global generator.
        generator=torch.Generator().manual_seed(0),
    )
    with worker_deaths():
        stacks: Iterator[Stack | PackedStack] = _started(loader)
        for group in groups:
            with _broken_connections():
                stack = next(stacks)
            yield LoadedGroup(group, *(stack if isinstance(stack, Stack) else stack.unpack()))


@contextmanager
def _broken_connections() -> Iterator[None]:
    """A worker that dies while it hands over what it loaded breaks the connection, before torch reports its death."""
    try:
        yield
    except (EOFError, ConnectionError, FileNotFoundError) as error:
        time.sleep(PATIENCE)  # torch's report comes any moment now, from a signal handler: better here than elsewhere
        raise _death(f"the connection broke ({type(error).__name__}: {error}).") from error


def _started(loader: "DataLoader[Any]") -> Iterator[Any]:
    try:
        return iter(loader)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        # Only where workers are not forked: then they are sent a pickle of the data set and the transform.
        raise ArgumentError(
            f"num_workers must be 0 for a data set or a transform that cannot be pickled, got {loader.num_workers}: "
            f"{error}"
        ) from error


def is_worker_death(error: BaseException) -> bool:
    """Whether an error is torch's report that a process that loads images died."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker (pid")


@contextmanager
def worker_deaths() -> Iterator[None]:
    """Turns the death of a worker into a `LoadingError`.

    torch reports it from a signal handler, so it comes up wherever the main thread happens to be: put this around
    whatever is done while `iterate_groups` is open.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_worker_death(error):
            raise
        raise _death(" ".join(str(error).split())) from error


def _death(what: str) -> LoadingError:
    return LoadingError(
        f"a process that loads images died: {what} If it was killed for memory, use fewer workers or smaller groups; "
        "without workers (num_workers=0) an error shows where it happens"
    )
