"""One piece of work in the background, that can be waited for, looked at and stopped."""

import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Generic, TypeVar

from .watch import Watch

T = TypeVar("T")

_NOTES: ContextVar[list[str] | None] = ContextVar("notes", default=None)
"""Where warnings of the work in this thread are collected."""


class Job(Generic[T]):
    """Runs work in a thread of its own, at once.

    Args:
        work: Is given the watch that it reports to.

    Attributes:
        watch: Says how far the work is.
        notes: What was warned about meanwhile, if warnings are handed to `note`.
    """

    def __init__(self, work: Callable[[Watch], T]) -> None:
        self.watch = Watch()
        self.notes: list[str] = []
        self._work = work
        self._result: T | None = None
        self._error: Exception | None = None
        # A daemon: a download that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="maskcorrect-job", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Waits for at most that long; True if the work has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Asks the work to end, which it does at the next forward."""
        self.watch.stop()

    def result(self) -> T:
        """What the work gave, once it has ended; raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set wherever there is no error

    def _run(self) -> None:
        _NOTES.set(self.notes)
        try:
            self._result = self._work(self.watch)
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            self._error = error


def note(text: str, otherwise: Callable[[str], object]) -> None:
    """Adds a warning to the notes of the job in whose thread this is called; elsewhere hands it to `otherwise`."""
    notes = _NOTES.get()
    if notes is None:
        otherwise(text)
    elif text not in notes:
        notes.append(text)
