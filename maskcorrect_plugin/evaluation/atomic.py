"""Files that are there whole or not at all: written under a temporary name, forced to disk, renamed."""

import errno
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from maskcorrect_plugin.errors import RunError

TEMPORARY = ".writing-"
"""Start of a temporary name; host and process follow, so that a later run knows whose it was."""
FORGOTTEN = 24 * 3600.0
"""Seconds after which a temporary file is nobody's any more, whichever computer it came from: writing takes less."""
_STARTED = time.time()


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any], *, keep_existing: bool = False) -> bool:
    """Puts a file in its place whole, or leaves what was there.

    Args:
        path: Where it goes; the folder is made if it is missing.
        write: Writes the content to an open binary file.
        keep_existing: A file that is there already stays, also one that another process puts there meanwhile.

    Returns:
        Whether the file that is there now is this one; always True without `keep_existing`.

    Raises:
        RunError: the disk is full, or the folder cannot be written to. Nothing is left behind then.
    """
    temporary = path.with_name(f"{TEMPORARY}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if keep_existing:
                placed = _place_if_free(temporary, path)
            else:
                temporary.replace(path)
                placed = True
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{path!s} cannot be written: {_reason(error)}") from error
    return placed


def _place_if_free(temporary: Path, path: Path) -> bool:
    """Of several processes that do this at once, one succeeds."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: nearly at once is still told apart, at once is not
        if path.exists():
            return False
        temporary.replace(path)
    return True


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


def _reason(error: OSError) -> str:
    reason = error.strerror or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"there is a file where its folder should be ({reason})"
    return f"no space left ({reason})" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else reason


def check_writable(folder: Path) -> None:
    """Makes sure, before the long work, that files can be made in a folder; leaves nothing behind.

    Args:
        folder: Need not exist; then the nearest folder above it that does is tried.

    Raises:
        RunError: they cannot, or there is a file in the way.
    """
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise RunError(f"output must be a folder, but {existing!s} is not one")
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=TEMPORARY):
            pass
    except OSError as error:
        raise RunError(f"output folder {folder!s} cannot be written to: {_reason(error)}") from error


def remove_leftovers(folder: Path) -> list[Path]:
    """Removes temporary files whose writers are gone; returns which. Those of live processes stay."""
    gone = [file for file in folder.rglob(f"{TEMPORARY}*") if _is_abandoned(file)]
    for file in gone:
        file.unlink(missing_ok=True)
    return gone


def _is_abandoned(file: Path) -> bool:
    try:
        written = file.stat().st_mtime
    except FileNotFoundError:  # its writer has just put it in its place
        return False
    if written < time.time() - FORGOTTEN:
        return True
    start = f"{TEMPORARY}{socket.gethostname()}-"
    pid = file.name.removeprefix(start).split("-")[0]
    if not file.name.startswith(start) or not pid.isdecimal():
        return False
    # Containers count processes from 1, so the writer may well have had this one's number.
    return written < _STARTED if int(pid) == os.getpid() else not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
