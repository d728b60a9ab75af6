"""Ending on SIGTERM as on Ctrl-C: with a message, and without leaving anything half-done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to end, as shells count."""


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises SystemExit. Schedulers send it before they kill, torchrun to the others when one fails."""
    if threading.current_thread() is not threading.main_thread():  # only there can signals be caught
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
