"""Importing a library only when it is needed, and saying what is wrong when it cannot be imported."""

import importlib
import warnings
from typing import Any

from maskcorrect_plugin.attribution import AttributionBackend
from maskcorrect_plugin.errors import MissingLibraryError


def load(module: str, backend: AttributionBackend) -> Any:
    """A module of this package that imports the backend's library.

    Args:
        module: Its name, without the package.
        backend: Whose library it imports.

    Raises:
        MissingLibraryError: the library is not there, or is there and broken.
    """
    try:
        return importlib.import_module(f"maskcorrect_adapters.{module}")
    except Exception as error:  # a broken library can fail in any way
        raise MissingLibraryError(
            f"{backend.library} cannot be imported ({error!r}). Install it with: {backend.install}"
        ) from error


def load_or_warn(module: str, backend: AttributionBackend) -> Any:
    """The same; None with a warning where the library is broken, so that other backends are still asked."""
    try:
        return load(module, backend)
    except MissingLibraryError as error:
        warnings.warn(f"attribution backend {backend.name!r} is left out: {error}", stacklevel=3)
        return None
