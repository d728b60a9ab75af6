"""The columns of a manifest, from CSV or parquet."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskcorrect_plugin.errors import ArgumentError

from .columns import Cell

Choose = Callable[[Sequence[str]], Sequence[str]]
"""From the names of all columns to those that are wanted; raises where one is missing."""

DELIMITERS = ",;\t|"
"""The header tells which of them a file uses."""


@dataclass(frozen=True)
class Table:
    """Some columns of a file.

    Attributes:
        columns: Name -> one cell per row.
        lines: Where each row stands in the file, counted from 1.
        unit: What is counted: ``"line"`` or ``"row"``.
    """

    columns: dict[str, list[Cell]]
    lines: Sequence[int]
    unit: str

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.unit} {self.lines[row]}"


def read_table(file: Path, choose: Choose) -> Table:
    """Reads a manifest.

    Args:
        file: One of `READERS`.
        choose: Picks the columns.

    Raises:
        ValueError: another suffix, or a file that is not what its suffix says.
    """
    read = READERS.get(file.suffix.lower())
    if read is None:
        raise ArgumentError(f"source: a manifest ends in one of {', '.join(READERS)}; got {str(file)!r}")
    return read(file, choose)


def _read_csv(file: Path, choose: Choose) -> Table:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise ArgumentError(f"source: {str(file)!r} cannot be read as UTF-8 text: {error}") from error
    rows = _csv_rows(text, file)
    if not rows:
        raise ArgumentError(f"source: {str(file)!r} is empty; its first line must name the columns")
    names = [name.strip() for name in rows[0][1]]
    positions = {name: names.index(name) for name in choose(names)}
    if twice := [name for name in positions if names.count(name) > 1]:
        raise ArgumentError(f"source: {str(file)!r} has more than one column {twice[0]!r}; allowed is one")
    columns: dict[str, list[Cell]] = {name: [] for name in positions}
    for line, row in rows[1:]:
        if len(row) > len(names):
            raise ArgumentError(
                f"source: line {line} of {str(file)!r} has {len(row)} cells for the header's {len(names)} columns; "
                "a cell that holds the delimiter must stand in double quotes"
            )
        for name, position in positions.items():
            columns[name].append((row[position].strip() or None) if position < len(row) else None)
    return Table(columns, [line for line, _ in rows[1:]], "line")


def _csv_rows(text: str, file: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its (last) line."""
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        return [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ArgumentError(f"source: line {reader.line_num} of {str(file)!r}: {error}") from error


def _read_parquet(file: Path, choose: Choose) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            wanted = list(choose(parquet.schema_arrow.names))
            table = parquet.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"source: {str(file)!r} cannot be read as parquet: {error}") from error
    columns = {name: [_cell(value) for value in table.column(name).to_pylist()] for name in wanted}
    return Table(columns, range(1, table.num_rows + 1), "row")


def _cell(value: object) -> Cell:
    if value is None or value != value:  # NaN is how pandas writes that there is nothing
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return str(value).strip() or None


READERS: dict[str, Callable[[Path, Choose], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
}
"""Suffix -> how a manifest is read. Text has a header and is UTF-8, with or without a byte order mark."""
