"""Models that stay loaded, so that the second photo does not wait for the model again."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.models import LoadedModel, load_model

CAPACITY = 2
"""Models that are kept; the one that was not used for longest goes."""
POLL = 0.2
"""Seconds after which somebody who waits looks whether he still has to."""


class ModelKey(NamedTuple):
    """What tells one loaded model from another.

    Attributes:
        model: Its spec.
        weights: See `load_model`.
        classes: A file of class names; empty for those of the weights.
    """

    model: str
    weights: str
    classes: str


@dataclass
class _Place:
    """Where one model stands; the lock is held while it is loaded or used."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    loaded: LoadedModel | None = None


class ModelShelf:
    """Loads each model once and lends it to one borrower at a time.

    Args:
        only: The one model that may be borrowed; None allows all.
        capacity: Models that are kept, 1 or more.
        device: Where they run; None is CUDA if there is one, else the CPU.
    """

    def __init__(self, only: ModelKey | None = None, capacity: int = CAPACITY, device: str | None = None) -> None:
        self.only = only
        self.capacity = capacity
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._places: OrderedDict[tuple[object, ...], _Place] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, key: ModelKey, begin: Callable[[str], object] = str) -> Iterator[LoadedModel]:
        """A model for the time of the ``with`` block; another borrower of it waits.

        A file of weights or of class names that has changed is read again.

        Args:
            key: Names the model.
            begin: Told in a few words what is being done; what it raises ends the loan.

        Raises:
            ArgumentError: another model than the one that is allowed.
            MaskCorrectError: whatever loading it raises; the next borrower tries again.
        """
        if self.only is not None and key != self.only:
            raise ArgumentError(
                f"model must be {self.only.model!r} as this page was started with it, got {key.model!r} with weights "
                f"{key.weights!r}: a page that other computers can reach offers no other model"
            )
        place = self._place((*key, _stamp(key.weights), _stamp(key.classes)))
        begin("Waiting for the model")
        while not place.lock.acquire(timeout=POLL):
            begin("Waiting for the model")
        try:
            if place.loaded is None:
                begin("Loading the model")
                place.loaded = self._load(key)
            yield place.loaded
        finally:
            place.lock.release()

    def _load(self, key: ModelKey) -> LoadedModel:
        return load_model(key.model, key.weights, class_names=key.classes or None, device=self.device)

    def _place(self, key: tuple[object, ...]) -> _Place:
        with self._lock:
            place = self._places.setdefault(key, _Place())
            self._places.move_to_end(key)
            while len(self._places) > self.capacity:
                self._places.popitem(last=False)
            return place


def _stamp(path: str) -> tuple[int, int] | None:
    """Time of change and size of a file; None where there is no such file."""
    try:
        status = Path(path).expanduser().stat()
    except (OSError, ValueError, RuntimeError):
        return None
    return status.st_mtime_ns, status.st_size
