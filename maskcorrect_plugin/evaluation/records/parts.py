"""Parts of a run as parquet files: written whole, read one under the other."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.atomic import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COMPRESSION = "zstd"


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], schema: "pa.Schema", note: Mapping[str, str]) -> None:
    """Rows as one parquet file.

    Args:
        path: Where it goes.
        rows: What is missing in a row becomes null.
        schema: The columns.
        note: Goes into the file's metadata.

    Raises:
        RunError: see `write_atomically`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.array([row.get(field.name) for row in rows], type=field.type) for field in schema]
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata(dict(note)))
    # Hardly a value comes twice, so that a dictionary of values would take time and space.
    write_atomically(path, lambda file: pq.write_table(table, file, compression=COMPRESSION, use_dictionary=False))


def read_tables(files: Iterable[Path], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Parquet files one under the other; whole numbers and flags with nulls stay what they are (nullable types).

    Args:
        files: In the order wanted; at least one.
        columns: Which to read; None reads all.

    Raises:
        RunError: a file cannot be read; the message says what to do.
    """
    import pyarrow as pa

    names = None if columns is None else list(columns)
    tables = [_read_table(file, names) for file in files]
    if not tables:
        raise ArgumentError("files must name at least one parquet file, got none")
    return pa.concat_tables(tables).to_pandas(types_mapper=_nullable_types().get)


def _read_table(file: Path, columns: list[str] | None) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:  # for one small file far quicker than read_table
            return opened.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise RunError(
            f"{file!s} cannot be read ({error}); remove it (of maps and thumbnails also the part's records) and run "
            "the same command again, which makes it anew"
        ) from error


def _nullable_types() -> dict[Any, Any]:
    import pandas as pd
    import pyarrow as pa

    return {pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
