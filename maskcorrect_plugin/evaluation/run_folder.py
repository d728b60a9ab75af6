"""The folder of a run: where its parts lie, which are there, and reading them back.

```
RUN/run.json                                 what the run is a run of
RUN/records/METHOD/part-00000.parquet        one row per image; the part is done when this file exists
RUN/maps/METHOD/part-00000.parquet           coarse maps, if they are kept
RUN/thumbnails/METHOD/part-00000.parquet     small pictures of changed images, if they are kept
RUN/summary.json                             the statistics, once all parts are there
```
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.options import options_of
from maskcorrect_plugin.recipe import Recipe

from .manifest import Manifest
from .records.parts import read_tables

if TYPE_CHECKING:
    import pandas as pd

RECORDS, MAPS, THUMBNAILS = "records", "maps", "thumbnails"
SUMMARY = "summary.json"


LONGEST_NAME = 100
"""Signs in the name of a folder; longer ones are cut and get a digest. File systems take 255 bytes."""


def folder_name(method: str) -> str:
    """A method's name as the name of a folder, without signs that shells, globs or file systems take for their own.

    Example:
        >>> folder_name("captum:LayerGradCam"), folder_name("ScoreCAM[preset=grad_cam]")
        ('captum.LayerGradCam', 'ScoreCAM-preset-grad_cam')
    """
    name = re.sub(r"[^a-zA-Z0-9_.]+", "-", method.replace(":", ".")).strip("-.") or "method"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(method.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class RunFolder:
    """A run on disk.

    Attributes:
        path: The folder.
        manifest: What it is a run of.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """An existing run, finished or not.

        Raises:
            RunError: the folder holds no run.
        """
        return cls(Path(path), Manifest.read(Path(path)))

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods."""
        return self.manifest.methods

    def recipe(self, method: str) -> Recipe:
        """The recipe of a method, as it was resolved.

        Raises:
            RunError: it was no `ProbabilityCorrector`.
        """
        settings = self.manifest.identity["methods"][check_choice("method", method, self.methods)]
        names = options_of(Recipe)
        if not set(names) <= set(settings):
            raise RunError(f"{method!r} of {self.path!s} is no recipe of this package")
        return Recipe.from_dict({name: settings[name] for name in names})

    def part_file(self, kind: str, method: str, part: int) -> Path:
        """Where a part lies.

        Args:
            kind: ``"records"``, ``"maps"`` or ``"thumbnails"``.
            method: One of `methods`.
            part: From 0.
        """
        return self.path / kind / folder_name(method) / f"part-{part:05d}.parquet"

    def has(self, method: str, part: int) -> bool:
        """Whether a part is done."""
        return self.part_file(RECORDS, method, part).exists()

    def keeps(self, kind: str, method: str) -> bool:
        """Whether the run has ``"maps"`` or ``"thumbnails"`` of every part of a method that is done."""
        done = self.done(method)
        return bool(done) and all(self.part_file(kind, method, part).exists() for part in done)

    def done(self, method: str) -> list[int]:
        """Parts of a method that are done, in order; the folder is read once."""
        folder = self.part_file(RECORDS, method, 0).parent
        names = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
        return [part for part in range(self.manifest.num_parts) if self.part_file(RECORDS, method, part).name in names]

    @property
    def complete(self) -> bool:
        """Whether all parts of all methods are done."""
        return all(len(self.done(method)) == self.manifest.num_parts for method in self.methods)

    def records(self, method: str, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """The records of a method, as far as they are there: see `records.columns`.

        Raises:
            RunError: no part is there yet, or one is damaged.
        """
        return self._read(RECORDS, method, columns)

    def frames(self, method: str, columns: Sequence[str], images: int = 500) -> "Iterator[pd.DataFrame]":
        """The records of a method, some images at a time, for columns that are large.

        Args:
            method: One of `methods`.
            columns: Which to read.
            images: About how many a frame has.
        """
        files = [self.part_file(RECORDS, method, part) for part in self.done(method)]
        step = max(1, images // self.manifest.images_per_part)
        for start in range(0, len(files), step):
            yield read_tables(files[start : start + step], columns)

    def maps(self, method: str) -> "pd.DataFrame":
        """The kept maps of a method: see `records.maps`."""
        return self._read(MAPS, method, None)

    def thumbnails(self, method: str) -> "pd.DataFrame":
        """The small pictures of a method: see `records.thumbnails`."""
        return self._read(THUMBNAILS, method, None)

    def _read(self, kind: str, method: str, columns: Sequence[str] | None) -> "pd.DataFrame":
        check_choice("method", method, self.methods)
        kept = self.manifest.identity["records"]
        if not {MAPS: kept["keep_maps"], THUMBNAILS: kept["thumbnails"]}.get(kind, True):
            raise RunError(f"{self.path!s} keeps no {kind}")
        files = [self.part_file(kind, method, part) for part in self.done(method)]
        if not files:
            raise RunError(f"{self.path!s} has no {kind} of {method!r}: no part is done yet")
        return read_tables(files, columns)
