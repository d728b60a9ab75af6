"""The folder of a sweep, inside the folder of its run: ``RUN/sweeps/NAME/part-00000.parquet``."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.evaluation.records.parts import read_tables
from maskcorrect_plugin.evaluation.run_folder import MAPS, RECORDS, RunFolder, folder_name

from .grid import Grid, Setting

if TYPE_CHECKING:
    import pandas as pd

SWEEPS = "sweeps"
MANIFEST = "sweep.json"
READ = ("index", "id", "label", "failure", "classes_before", "probs_before", "classes_after", "label_prob_before")
GAPS = ("gap12", "gap15")


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk. The same run, method and grid have the same folder, so that the same command goes on.

    Attributes:
        run: The finished run.
        method: Whose maps are swept.
        grid: What is tried.
    """

    run: RunFolder
    method: str
    grid: Grid

    @property
    def path(self) -> Path:
        """Where the sweep lies."""
        text = json.dumps([self.method, self.grid.to_dict()])
        return self.run.path / SWEEPS / f"{folder_name(self.method)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    @property
    def own_setting(self) -> Setting:
        """The settings that the run had itself."""
        return own_setting(self.run, self.method)

    def part_file(self, part: int) -> Path:
        """Where a part lies."""
        return self.path / f"part-{part:05d}.parquet"

    def missing(self) -> list[int]:
        """Parts that are not done."""
        return [part for part in range(self.run.manifest.num_parts) if not self.part_file(part).exists()]

    def describe(self) -> None:
        """Writes what the sweep is: the method, the grid and its settings in the order of the list columns."""
        settings = [vars(setting) for setting in self.grid.settings()]
        text = json.dumps({"method": self.method, "grid": self.grid.to_dict(), "settings": settings}, indent=1)
        write_atomically(self.path / MANIFEST, lambda file: file.write(text.encode()))

    def recorded(self, part: int) -> dict[int, Mapping[str, Any]]:
        """The run's own records of a part, by position in the data set."""
        return {int(row["index"]): row for row in _rows(self.run, RECORDS, self.method, part, (*READ, *GAPS))}

    def kept_maps(self, part: int) -> list[Mapping[str, Any]]:
        """The maps that the run kept of a part.

        Raises:
            RunError: it kept none.
        """
        return _rows(self.run, MAPS, self.method, part, None)

    def results(self) -> "pd.DataFrame":
        """One row per image: see `rerun.sweep_schema`."""
        return read_tables([self.part_file(part) for part in range(self.run.manifest.num_parts)])


def own_setting(run: RunFolder, method: str) -> Setting:
    """The settings of one method of a run."""
    settings = run.manifest.identity["methods"][method]
    return Setting(*(settings[name] for name in ("view", "threshold", "top_k", "vote", "weights")))


def check_sweepable(run: RunFolder, method: str) -> None:
    """Raises RunError unless the run is finished, has kept the maps of a method, and the method has maps."""
    identity = run.manifest.identity
    done, total = len(run.done(method)), run.manifest.num_parts
    if done < total:
        raise RunError(f"{run.path!s} is not finished: {done} of {total} parts of {method!r} are there")
    if not identity["records"]["keep_maps"]:
        raise RunError(f"{run.path!s} keeps no maps; run it with --keep-maps (keep_maps=True) to sweep it")
    if "threshold" not in identity["methods"][method] or identity["methods"][method]["method"].startswith("control:"):
        raise RunError(f"{method!r} is no method whose maps can be swept; choose an attribution method of the run")


def _rows(run: RunFolder, kind: str, method: str, part: int, columns: Sequence[str] | None) -> list[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    file = run.part_file(kind, method, part)
    try:
        rows: list[Mapping[str, Any]] = pq.read_table(
            file, columns=None if columns is None else list(columns)
        ).to_pylist()
    except OSError as error:
        raise RunError(f"{file!s} cannot be read: {error}") from error
    return rows
