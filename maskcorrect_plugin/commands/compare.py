"""``maskcorrect compare``: several methods and runs as one table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskcorrect_plugin.commands.terminal import echo
from maskcorrect_plugin.comparison import compare
from maskcorrect_plugin.comparison.text import comparison_text
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.evaluation.subset import Subset

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".json")


def compare_runs(runs: Sequence[Path], subset: str, baseline: str | None, output: Path | None) -> None:
    """Prints the table, and writes it where that is asked for.

    Raises:
        MaskCorrectError: no finished run, or a file of another kind.
    """
    if output is not None and output.suffix not in SUFFIXES:
        raise ArgumentError(f"output must end in {', '.join(SUFFIXES)}, got {output.name!r}")
    comparison = compare(runs, Subset.parse(subset), baseline)
    echo(comparison_text(comparison))
    if output is not None:
        write_frame(comparison.to_frame(), output)
        echo(f"\nThe table is in {output}")


def write_frame(frame: "pd.DataFrame", output: Path) -> None:
    """A table as a file, by the suffix of its name."""
    if output.suffix == ".parquet":
        write_atomically(output, lambda file: frame.to_parquet(file, index=False))
        return
    text = frame.to_csv(index=False) if output.suffix == ".csv" else frame.to_json(orient="records", indent=1)
    write_atomically(output, lambda file: file.write(text.encode()))
