"""Importing a library only when it is needed, and saying what is wrong when it cannot be imported."""

import importlib
import sys
import warnings
from typing import Any

from torch import nn

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


def adopt(module: str, function: str, backend: AttributionBackend, obj: Any, model: nn.Module) -> Any:
    """A method around the user's own object of the backend's library, or None if it is not one.

    Where the library is broken it warns, so that other backends are still asked.

    Args:
        module: As in `load`.
        function: Of that module: takes the object, the model and the backend's catalogue.
        backend: Who is asked.
        obj: The object.
        model: The classifier.
    """
    if backend.library not in sys.modules:  # then nobody has an object of it
        return None
    try:
        library = load(module, backend)
    except MissingLibraryError as error:
        warnings.warn(f"attribution backend {backend.name!r} is left out: {error}", stacklevel=3)
        return None
    return getattr(library, function)(obj, model, backend.catalogue)
