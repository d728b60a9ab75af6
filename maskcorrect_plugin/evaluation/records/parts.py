"""Parquet files that are there whole or not at all: written under a temporary name, forced to disk, renamed."""

import errno
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from maskcorrect_plugin.errors import ArgumentError, RunError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TEMPORARY = ".writing-"
"""Start of a temporary name; host and process follow, so that a later run knows whose it was."""
COMPRESSION = "zstd"


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Puts a file in its place whole, or leaves what was there.

    Args:
        path: Where it goes; the folder is made if it is missing.
        write: Writes the content to an open binary file.

    Raises:
        RunError: the disk is full, or the folder cannot be written to. Nothing is left behind then.
    """
    temporary = path.with_name(f"{TEMPORARY}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(path, error) from error


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power failure, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems have no fsync of folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _failed(path: Path, error: OSError) -> RunError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason = f"no space left ({reason})"
    return RunError(
        f"{path!s} cannot be written: {reason}. All finished parts are intact; the same command goes on from there"
    )


def remove_leftovers(folder: Path) -> list[Path]:
    """Removes the temporary files of processes of this machine that are gone; returns which."""
    start = f"{TEMPORARY}{socket.gethostname()}-"
    gone = []
    for file in folder.rglob(f"{TEMPORARY}*"):
        pid = file.name.removeprefix(start).split("-")[0]
        if file.name.startswith(start) and pid.isdigit() and not _alive(int(pid)):
            file.unlink(missing_ok=True)
            gone.append(file)
    return gone


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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

    columns = {name: [row.get(name) for row in rows] for name in schema.names}
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata(dict(note)))
    write_atomically(path, lambda file: pq.write_table(table, file, compression=COMPRESSION))


def read_tables(files: Iterable[Path], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """Parquet files one under the other; whole numbers and flags with nulls stay what they are (nullable types).

    Args:
        files: In the order wanted; at least one.
        columns: Which to read; None reads all.

    Raises:
        RunError: a file cannot be read; the message says what to do.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(file, columns=None if columns is None else list(columns)))
        except (OSError, pa.ArrowException) as error:
            raise RunError(
                f"{file!s} cannot be read ({error}); remove it and run the same command again, which makes it anew"
            ) from error
    if not tables:
        raise ArgumentError("files must name at least one parquet file, got none")
    return pa.concat_tables(tables).to_pandas(types_mapper=_nullable_types().get)


def _nullable_types() -> dict[Any, Any]:
    import pandas as pd
    import pyarrow as pa

    return {pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
