"""The fast way to hand passes over: batch size and memory format, found on passes that are run anyway.

How many inputs a forward should take depends on the network, the machine and its caches; so does the memory format.
Both are tried on the first passes of a long run, whose results count like all others, and kept from then on.
"""

import logging
import math
from collections.abc import Generator
from dataclasses import dataclass, replace

logger = logging.getLogger("maskcorrect_plugin.inference")

ROUNDS = 2
"""Timed batches of each kind, alternating; the faster one counts. One more goes before, to warm up."""
MARGIN = 0.95
"""What is tried must take less than this share of the time of what it is to replace."""
DOUBLINGS = 2
"""How often the batch size may be doubled."""


@dataclass(frozen=True)
class Packing:
    """How inputs are handed over.

    Attributes:
        size: Inputs per forward.
        channels_last: Whether in channels_last memory format.
    """

    size: int
    channels_last: bool

    def __str__(self) -> str:
        return f"{self.size} inputs per forward, {'channels_last' if self.channels_last else 'contiguous'}"


Search = Generator[Packing, float, Packing]
"""Yields what is to be tried, is sent the seconds that one batch took, returns what was found."""


class Calibration:
    """A search in progress.

    Args:
        start: What is used where nothing is known yet.
        sizes: Whether the batch size is to be found.
        formats: Whether the memory format is to be found.

    Attributes:
        best: The best packing known.
        current: What `choose` said last.
    """

    def __init__(self, start: Packing, *, sizes: bool, formats: bool) -> None:
        self.best = self.current = start
        self._search = _search(start, sizes, formats)
        self._trial = next(self._search) if sizes or formats else None
        self.trying = False

    @property
    def unfinished(self) -> bool:
        """Whether there is something left to try."""
        return self._trial is not None

    def choose(self, left: int, tries: bool) -> Packing:
        """How to hand over the next batch.

        Args:
            left: Inputs that are left in this run; only full batches are tried.
            tries: Whether the search may go on.
        """
        self.trying = tries and self._trial is not None and self._trial.size <= left
        self.current = self._trial if self.trying and self._trial is not None else self.best
        return self.current

    def record(self, seconds: float) -> None:
        """Tells what the batch took that was chosen last."""
        if not self.trying:
            return
        try:
            self._trial = self._search.send(seconds)
        except StopIteration as found:
            self.best, self._trial = found.value, None
            logger.info("passes run with %s, the fastest of what was tried", self.best)

    def stop(self, size: int) -> None:
        """Ends the search: memory allows no more than `size` inputs."""
        self.trying, self._trial = False, None
        self.best = self.current = replace(self.best, size=size)


def _search(start: Packing, sizes: bool, formats: bool) -> Search:
    best = start
    if formats:
        best = yield from _faster(best, replace(best, channels_last=not best.channels_last))
    if sizes:
        best = yield from _climb(best)
    return best


def _climb(start: Packing) -> Search:
    """Doubles the size as long as that is faster; halves it once if doubling was not."""
    best = start
    for _ in range(DOUBLINGS):
        found = yield from _faster(best, replace(best, size=2 * best.size))
        if found == best:
            break
        best = found
    if best == start and start.size > 1:
        best = yield from _faster(start, replace(start, size=start.size // 2))
    return best


def _faster(known: Packing, other: Packing) -> Search:
    """The faster one for each input; `known` if there is not much between them."""
    seconds = {known: math.inf, other: math.inf}
    for number in range(1 + ROUNDS):
        for packing in (known, other):
            taken = yield packing
            if number > 0:
                seconds[packing] = min(seconds[packing], taken / packing.size)
    return other if seconds[other] < MARGIN * seconds[known] else known
