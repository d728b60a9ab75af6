"""A fitted corrector as a file: the recipe, the model that it was fitted for, and what it did. Nothing in it is run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.recipe import CORRECTOR_FORMAT
from maskcorrect_plugin.versions import versions

from .fit import Fit
from .words import headline


def save_corrector(path: Path, fit: Fit, model: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Writes the file.

    Args:
        path: Where.
        fit: What was found.
        model: What the run says of its model: see `describing.describe_model`.
        data: What the run says of its data.

    Raises:
        RunError: it cannot be written.
    """
    document = {
        "format": CORRECTOR_FORMAT,
        "recipe": fit.recipe.to_dict(),
        "model": dict(model),
        "data": dict(data),
        "figures": {"summary": headline(fit), "images": fit.images, "rows": _rows(fit)},
        "versions": versions(),
    }
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _rows(fit: Fit) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(fit.to_frame().to_json(orient="records"))
    return records
