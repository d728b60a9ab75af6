"""What a run writes: a folder with one figure per image and one ``result.json``, complete or not there at all.

``result.json`` comes last, so that its presence means a complete run; a run that is stopped leaves ``interrupted.json``
with what it did. Every file is written under a temporary name and then renamed. Files that are not ours are never
touched: ours are the ones that one of the two JSON files names.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from maskcorrect_plugin.errors import ArgumentError

from .result_json import FORMAT, ResultStream

RESULT = "result.json"
INTERRUPTED = "interrupted.json"
TEMPORARY = ".maskcorrect-"
SUFFIX = ".png"
STEM_BYTES = 200
"""Longest stem of a figure's name: file systems take 255 bytes, and a number and a suffix must fit."""


class OutputFolder:
    """The folder that a run writes to. Making it only checks; nothing is written before `open`.

    Args:
        path: The folder; it need not exist.
        overwrite: Allow one that is not empty, and remove an earlier run's own files from it.

    Raises:
        ArgumentError: not a folder, not empty, or not writable.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self.figures = 0
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}
        self._stream: ResultStream | None = None
        self._file: TextIO | None = None
        self.check()

    def check(self) -> None:
        """Raises ArgumentError unless the run may write here; leaves nothing behind."""
        existing = self.path
        while not os.path.lexists(existing) and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise ArgumentError(f"output must be a folder, but {existing!s} is not one")
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
            contents = sorted(file.name for file in self.path.iterdir()) if existing == self.path else []
        except OSError as error:
            raise ArgumentError(f"output folder {self.path!s} cannot be written to: {error.strerror}") from error
        if contents and not self.overwrite:
            held = "results of an earlier run" if RESULT in contents else f"{contents[0]!r}, for one"
            raise ArgumentError(
                f"output folder {self.path!s} is not empty (it holds {held}); choose another folder, or pass "
                "--overwrite, which removes an earlier run's own files and no others"
            )
        self.own_files()

    def own_files(self) -> set[Path]:
        """Files of an earlier run in this folder: the JSON files and the figures that they name.

        Raises:
            ArgumentError: a ``result.json`` that is not ours stands in the way.
        """
        own: set[Path] = set()
        for manifest in (self.path / RESULT, self.path / INTERRUPTED):
            if not os.path.lexists(manifest):
                continue
            try:
                content = json.loads(manifest.read_text(encoding="utf-8"))
                figures = [image["figure"] for image in content["images"] if image["figure"] is not None]
                ours = content["format"] == FORMAT
            except (OSError, ValueError, LookupError, TypeError):
                ours, figures = False, []
            if not ours:
                raise ArgumentError(
                    f"output folder {self.path!s} holds a {manifest.name} that is not this program's; choose another"
                )
            # A plain name only: a manifest from elsewhere must not lead out of the folder.
            own.add(manifest)
            own.update(self.path / name for name in figures if _is_figure_name(name))
        return own

    def open(self, header: Mapping[str, Any]) -> None:
        """Creates the folder, removes what an earlier run left, and starts the record.

        Args:
            header: What describes the run: see `ResultStream`.
        """
        self.check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._remove_earlier()
            self._taken = {file.name.casefold() for file in self.path.iterdir()}
            self._file = self._temporary(".json").open("x", encoding="utf-8")
        except OSError as error:
            raise self._failed(error) from error
        self._stream = ResultStream(self._file.write, header)

    def _remove_earlier(self) -> None:
        own = self.own_files()
        result, interrupted = self.path / RESULT, self.path / INTERRUPTED
        if result in own:  # from now on the earlier run is no longer complete
            result.replace(interrupted)
        for file in own - {result, interrupted}:
            file.unlink(missing_ok=True)
        interrupted.unlink(missing_ok=True)  # last: without it nobody would know whose the figures are

    def add_figure(self, stem: str, write: Callable[[Path], Any]) -> str:
        """Writes one figure and gives its name, which no other file in the folder has.

        Args:
            stem: Of the image that it shows.
            write: Writes a PNG file to the path that it is given.
        """
        name = self._free_name(stem)
        temporary = self._temporary(SUFFIX)
        try:
            write(temporary)
            temporary.replace(self.path / name)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self.figures += 1
        return name

    def add(self, record: Mapping[str, Any]) -> None:
        """Records one image."""
        if self._stream is None:
            raise ArgumentError("the output folder must be opened before anything is added")
        try:
            self._stream.add(record)
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, footer: Mapping[str, Any]) -> None:
        """Puts ``result.json`` in its place."""
        self._publish(RESULT, footer)

    def abandon(self, footer: Mapping[str, Any]) -> bool:
        """Ends a run that was stopped: no ``result.json``, but an ``interrupted.json`` that says what was written.

        Returns:
            Whether anything had been written.
        """
        if self._file is None:
            return False
        self._publish(INTERRUPTED, footer)
        return True

    def _publish(self, name: str, footer: Mapping[str, Any]) -> None:
        if self._file is None or self._stream is None:
            raise ArgumentError("the output folder must be opened before it is finished")
        file, self._file = self._file, None
        temporary = Path(file.name)
        try:
            with file:
                self._stream.close(footer)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise self._failed(error) from error

    def _temporary(self, suffix: str) -> Path:
        return self.path / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}{suffix}"

    def _free_name(self, stem: str) -> str:
        stem = stem.lstrip(".") or "image"
        while len(os.fsencode(stem)) > STEM_BYTES:
            stem = stem[:-1]
        key = stem.casefold()  # some file systems do not tell upper from lower case
        while True:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            name = f"{stem}{SUFFIX}" if count == 1 else f"{stem}-{count}{SUFFIX}"
            if name.casefold() not in self._taken:
                self._taken.add(name.casefold())
                return name

    def _failed(self, error: OSError) -> ArgumentError:
        return ArgumentError(f"output folder {self.path!s} cannot be written to: {error.strerror or error}")


def _is_figure_name(name: Any) -> bool:
    return isinstance(name, str) and Path(name).name == name and name.endswith(SUFFIX)
