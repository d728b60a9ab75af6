"""The layout of ``result.json``: what describes a run, its images and its outcome, as plain values."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.versions import versions

if TYPE_CHECKING:  # so that reading and checking an output folder needs no torch
    from torch import Tensor

    from maskcorrect_plugin.models import LoadedModel

    from .outcomes import ImageOutcome

FORMAT = "maskcorrect_plugin.correct/2"
"""First entry of the document: whose it is, and in which version of its layout."""


class ResultStream:
    """Writes one JSON document image by image, so that memory does not grow with their number.

    Args:
        write: Takes each piece of text.
        header: Entries before ``"images"``.
    """

    def __init__(self, write: Callable[[str], Any], header: Mapping[str, Any]) -> None:
        self._write = write
        self._separator = "\n"
        text = json.dumps({"format": FORMAT, **header}, indent=1, allow_nan=False)
        self._write(text.removesuffix("\n}") + ',\n "images": [')

    def add(self, record: Mapping[str, Any]) -> None:
        """One image, on a line of its own."""
        self._write(f"{self._separator}  {json.dumps(record, allow_nan=False)}")
        self._separator = ",\n"

    def close(self, footer: Mapping[str, Any]) -> None:
        """Entries after ``"images"``, and the end."""
        text = json.dumps(footer, indent=1, allow_nan=False)
        self._write("\n ],\n" + text.removeprefix("{\n") + "\n")


def run_header(loaded: "LoadedModel", settings: Mapping[str, Any]) -> dict[str, Any]:
    """What describes a run: when, by which versions, on which model, with which settings.

    Args:
        loaded: The model.
        settings: What the result depends on besides model and images.
    """
    model = {
        "spec": loaded.spec,
        "weights": loaded.weights,
        "num_classes": loaded.num_classes,
        "mean": loaded.mean,
        "std": loaded.std,
    }
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "working_directory": str(Path.cwd()),
        "versions": versions(),
        "model": model,
        "settings": dict(settings),
    }


def image_record(outcome: "ImageOutcome", class_names: Sequence[str], figure: str | None = None) -> dict[str, Any]:
    """One image as plain values; everything but path and failure is None, or empty, if it failed.

    Args:
        outcome: What became of the image.
        class_names: One per class.
        figure: Name of its figure.

    Returns:
        ``path``, ``failure``, ``figure``, ``gap``, ``corrected``, ``changed``, ``before`` and ``after`` (the K most
        probable classes, each with ``class_index``, ``class_name``, ``probability`` and, as ``probability_after`` or
        ``probability_before``, what it was at the other time), ``forwards``, ``saved`` and ``views`` (for each view its
        text form and ``flat``: for each picture that it showed, whether the map behind it carried no information).
    """
    record: dict[str, Any] = {"path": str(outcome.path), "failure": outcome.failure, "figure": figure}
    result, row = outcome.result, outcome.row
    if result is None:
        unknown = dict.fromkeys(("gap", "corrected", "changed", "forwards", "saved"))
        return {**record, **unknown, "before": [], "after": [], "views": []}
    from maskcorrect_plugin.functional import top_candidates

    probs, corrected = result.probs[row], result.corrected_probs[row]
    before, after = result.candidates[row], top_candidates(corrected, result.candidates.shape[1])
    return {
        **record,
        "gap": float(result.gap[row]),
        "corrected": bool(result.corrected[row]),
        "changed": bool(result.changed[row]),
        "before": _entries(before, class_names, probability=probs, probability_after=corrected),
        "after": _entries(after, class_names, probability=corrected, probability_before=probs),
        "forwards": int(result.forwards[row]),
        "saved": int(result.saved[row]),
        "views": [
            {"view": spec, "flat": result.flat[row, result.columns_of(index)].tolist()}
            for index, (spec, _) in enumerate(result.columns)
        ],
    }


def _entries(classes: "Tensor", class_names: Sequence[str], **probabilities: "Tensor") -> list[dict[str, Any]]:
    return [
        {
            "class_index": index,
            "class_name": class_names[index],
            **{name: float(values[index]) for name, values in probabilities.items()},
        }
        for index in classes.tolist()
    ]
