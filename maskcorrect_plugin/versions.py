"""Versions of this package and of the libraries that can matter to a result."""

import importlib.metadata
import platform
import sys
from collections.abc import Iterable

LIBRARIES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "captum": "captum",
    "timm": "timm",
    "transformers": "transformers",
    "pytorch_grad_cam": "grad-cam",
    "torchcam": "torchcam",
}
"""Import name -> distribution."""


def versions(names: Iterable[str] | None = None) -> dict[str, str]:
    """Of this package, Python and libraries.

    Args:
        names: Import names, keys of `LIBRARIES`; None takes those that are in use by now.
    """
    from maskcorrect_plugin import __version__

    chosen = [name for name in LIBRARIES if (name in sys.modules if names is None else name in names)]
    found = {name: importlib.metadata.version(LIBRARIES[name]) for name in chosen}
    return {"maskcorrect_plugin": __version__, "python": platform.python_version(), **found}
