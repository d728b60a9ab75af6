"""The folder of a sweep, inside the folder of its run: ``RUN/sweeps/NAME/part-00000.parquet``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.describing import digest_of
from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.evaluation.records.parts import read_tables
from maskcorrect_plugin.evaluation.run_folder import MAPS, RECORDS, RunFolder, folder_name
from maskcorrect_plugin.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

SWEEPS = "sweeps"
MANIFEST = "sweep.json"
READ = (
    "index",
    "id",
    "label",
    "failure",
    "classes_before",
    "probs_before",
    "classes_after",
    "label_prob_before",
    "corrected",
)
GAPS = ("gap12", "gap15")


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk. The same run, method and recipes have the same folder, so that the same command goes on.

    Attributes:
        run: The finished run.
        method: Whose maps are swept.
        recipes: What is tried, the run's own first.
    """

    run: RunFolder
    method: str
    recipes: tuple[Recipe, ...]

    @property
    def path(self) -> Path:
        """Where the sweep lies."""
        digest = digest_of([self.method, *(recipe.to_dict() for recipe in self.recipes)])
        return self.run.path / SWEEPS / f"{folder_name(self.method)}-{digest[:8]}"

    def part_file(self, part: int) -> Path:
        """Where a part lies."""
        return self.path / f"part-{part:05d}.parquet"

    def missing(self) -> list[int]:
        """Parts that are not done."""
        return [part for part in range(self.run.manifest.num_parts) if not self.part_file(part).exists()]

    def describe(self) -> None:
        """Writes what the sweep is: the method, and its recipes in the order of the list columns."""
        text = json.dumps({"method": self.method, "recipes": [recipe.to_dict() for recipe in self.recipes]}, indent=1)
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


def check_sweepable(run: RunFolder, method: str) -> None:
    """Raises RunError unless the run is finished, has kept the maps of a method, and the method has maps."""
    identity = run.manifest.identity
    done, total = len(run.done(method)), run.manifest.num_parts
    if done < total:
        raise RunError(f"{run.path!s} is not finished: {done} of {total} parts of {method!r} are there")
    if not identity["records"]["keep_maps"]:
        raise RunError(f"{run.path!s} keeps no maps; run it with --keep-maps (keep_maps=True) to sweep it")
    if identity["methods"][method].get("method") is None:
        raise RunError(f"{method!r} has no maps that can be swept; choose another method of the run")


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
