"""From what a browser sends to what the page says, step by step: progress, then a result or a message."""

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError, ImageError, MaskCorrectError

from . import markup
from .corrections import PhotoOutcome, correct_photo
from .form import Request, in_page_words, read_form
from .job import Job
from .shelf import ModelShelf
from .watch import Stopped

logger = logging.getLogger("maskcorrect-app")
"""Of its own, so that tracebacks reach the terminal whole and no page."""

TICK = 0.25
"""Seconds between two looks at a job."""


class Desk:
    """Answers every browser, each one's last wish only.

    Args:
        shelf: Where models are borrowed.
        files: Files of recipes that may be read; None allows all.
    """

    def __init__(self, shelf: ModelShelf, files: Collection[str] | None = None) -> None:
        self.shelf = shelf
        self.files = files
        self._jobs: dict[str, Job[PhotoOutcome]] = {}
        self._unfinished: list[Job[PhotoOutcome]] = []
        self._lock = threading.Lock()

    def answer(self, session: str, photo: Mapping[str, Any] | None, values: Sequence[Any]) -> Iterator[str]:
        """Corrects a photo and says what came out. Closing the iterator stops the work.

        Nothing is raised: what is wrong is what the page says, and what nobody expected also goes to the log.

        Args:
            session: Whose photo it is; what that browser asked for earlier is stopped.
            photo: ``path`` and ``orig_name`` of the uploaded file; None where there is none.
            values: One for each of `form.FIELDS`.

        Yields:
            HTML: how far the work is, and at last the result or a message.
        """
        try:
            if not photo or not photo.get("path"):
                raise ArgumentError("there is no photo yet: drop one into the field, or click one of the scenes")
            yield from self._work(session, Path(photo["path"]), read_form(values, self.files))
        except Stopped:
            yield markup.notice("Nothing is computed any more.", "Stopped")
        except ImageError as error:
            yield markup.notice(f"{photo_name(photo)}: {error.reason}", "This photo cannot be used")
        except MaskCorrectError as error:
            yield markup.notice(in_page_words(str(error)))
        except Exception as error:
            logger.exception("correcting a photo failed")
            where = "the terminal that the page was started from has the details"
            yield markup.notice(f"{type(error).__name__}: {error} ({where})", "Something unexpected went wrong")

    def stop(self, session: str) -> None:
        """Stops what that browser has asked for, if it has not ended."""
        with self._lock:
            job = self._jobs.pop(session, None)
        if job is not None:
            job.stop()

    def close(self, seconds: float = 10) -> None:
        """Stops everything, and waits at most that long for each to end: torch cannot be left running."""
        with self._lock:
            jobs = [*self._unfinished]
        for job in jobs:
            job.stop()
        for job in jobs:
            job.wait(seconds)

    def _work(self, session: str, photo: Path, request: Request) -> Iterator[str]:
        self.stop(session)
        job = Job(lambda watch: correct_photo(photo, request, self.shelf, watch))
        with self._lock:
            self._jobs[session] = job
            self._unfinished = [job, *(other for other in self._unfinished if not other.wait(0))]
        try:
            while not job.wait(TICK):
                job.watch.check()  # a model that is being loaded goes on, but nobody waits for it
                yield markup.progress(job.watch)
            yield markup.result(job.result(), job.notes)
        finally:
            job.stop()
            with self._lock:
                if self._jobs.get(session) is job:
                    del self._jobs[session]


def photo_name(photo: Mapping[str, Any] | None) -> str:
    """What its owner calls the photo."""
    given = photo or {}
    return str(given.get("orig_name") or Path(str(given.get("path", "photo"))).name)
