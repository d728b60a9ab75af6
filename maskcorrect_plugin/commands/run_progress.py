"""Progress of a run, with the time left: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.runner import Progress

from .estimate_text import duration
from .terminal import echo

EVERY = 60.0
"""Seconds between two lines of a log."""


class ProgressLines:
    """A line at most every `EVERY` seconds.

    Args:
        say: Prints a line.
        done: What is done when it begins.
        total: What there is to do.
        unit: What is counted.
        name: Begins each line: whose progress it is.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        done: int,
        total: int,
        unit: str,
        name: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.say = say
        self.done, self.total, self.unit, self.name = done, total, unit, name
        self.clock = clock
        self._begun = self._said = clock()
        self._done_before = done

    def update(self, n: int) -> None:
        """So many more are done."""
        self.done += n
        now = self.clock()
        if now - self._said < EVERY:
            return
        self._said = now
        rate = (self.done - self._done_before) / (now - self._begun)
        left = f", about {duration((self.total - self.done) / rate)} left" if rate > 0 else ""
        share = 100 * self.done / self.total
        self.say(f"{self.name}{self.done:,} of {self.total:,} {self.unit}s ({share:.1f} %), {rate:.3g} a second{left}")


@contextmanager
def run_progress(evaluation: Evaluation, folder: RunFolder, *, quiet: bool) -> Iterator[Progress | None]:
    """What a run tells its progress.

    Of several workers in one terminal only the first shows a bar, of its own share; in a log, lines begin with the
    worker's name.
    """
    from tqdm import tqdm

    worker = evaluation.worker
    done, total = evaluation.progress(folder)
    unit = "image" if len(evaluation.correctors) == 1 else "correction"
    if quiet or (sys.stderr.isatty() and not worker.speaks):
        yield None
    elif sys.stderr.isatty():
        name = str(worker) if worker.size > 1 else None
        with tqdm(
            total=total, initial=done, unit=unit, desc=name, dynamic_ncols=True, smoothing=0.05, file=sys.stderr
        ) as bar:
            yield bar
    else:
        name = f"{worker}: " if worker.size > 1 else ""
        yield ProgressLines(lambda line: echo(line, stderr=True), done, total, unit, name)
