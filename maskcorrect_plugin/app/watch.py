"""Watching a model at work: how many inputs it has seen, and stopping it between two forwards."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class Stopped(Exception):
    """Somebody asked for the work to end."""


class Watch:
    """Counts what passes through a model while it is watched; `stop` ends the work at the next forward.

    Attributes:
        stage: What is being done now, in a few words.
        forwards: Inputs that the model was given, those of finding the layer included.
    """

    def __init__(self) -> None:
        self.stage = "Waiting"
        self.forwards = 0
        self._stop = threading.Event()
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the watch was made."""
        return time.monotonic() - self._started

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks the work to end; it does so before the next forward."""
        self._stop.set()

    def check(self) -> None:
        """Raises `Stopped` if `stop` was called."""
        if self.stopped:
            raise Stopped

    def begin(self, stage: str) -> None:
        """Says what is being done from now on, unless the work has been stopped."""
        self.check()
        self.stage = stage

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Watches the model for the time of the ``with`` block."""

        def count(_: nn.Module, args: tuple[Any, ...]) -> None:
            self.check()
            self.forwards += next((len(value) for value in args if isinstance(value, Tensor)), 1)

        handle = model.register_forward_pre_hook(count)
        try:
            yield
        finally:
            handle.remove()
