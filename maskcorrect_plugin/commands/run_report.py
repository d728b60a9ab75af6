"""What a finished run says: ``summary.json``, and the text of the terminal."""

import json
from typing import Any

from maskcorrect_plugin.comparison import Comparison, compare
from maskcorrect_plugin.comparison.text import comparison_text
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.evaluation.protocol import paper_protocol
from maskcorrect_plugin.evaluation.protocol_text import protocol_text
from maskcorrect_plugin.evaluation.run_folder import SUMMARY, RunFolder
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.text import summary_text

FORMAT = "maskcorrect_plugin.summary/1"
SEVERAL = 3
"""From so many methods on, only the table of all is printed."""


def report(folder: RunFolder, subset: Subset, *, paper: bool = False) -> tuple[str, str]:
    """What a run says.

    Args:
        folder: A finished run.
        subset: The difficult images.
        paper: Add the paper's tables.

    Returns:
        The text for the terminal, and the JSON document of ``summary.json``.
    """
    comparison = compare([folder], subset)
    document: dict[str, Any] = {"format": FORMAT, "run": dict(folder.manifest.identity), "methods": {}}
    texts = []
    for row in comparison.rows:
        summary = {**row.summary.to_dict(), "leaks": row.leaks, "images_per_second": _rate(row.seconds_per_image)}
        if paper:
            protocol = paper_protocol(folder.records(row.method), subset)
            summary["paper"] = protocol.to_dict()
            texts.append(protocol_text(protocol, row.method))
        document["methods"][row.method] = summary
    text = json.dumps(document, indent=1, allow_nan=False)
    return "\n\n".join([*texts, *_tables(comparison), f"{SUMMARY} and the records are in {folder.path}"]), text


def write_summary(folder: RunFolder, document: str, *, keep_existing: bool) -> bool:
    """Writes ``summary.json``.

    Args:
        folder: A finished run.
        document: What `report` gave.
        keep_existing: Leave one that another worker has just written.

    Returns:
        Whether this one was written.

    Raises:
        RunError: it cannot be.
    """
    return write_atomically(
        folder.path / SUMMARY, lambda file: file.write(document.encode()), keep_existing=keep_existing
    )


def _tables(comparison: Comparison) -> list[str]:
    rows = comparison.rows
    single = [
        f"{summary_text(row.summary, row.method)}\n\n{_rate(row.seconds_per_image) or 0:.3g} images a second."
        for row in rows[: SEVERAL - 1]
    ]
    if len(rows) == 1:
        return single
    return ([] if len(rows) >= SEVERAL else single) + [comparison_text(comparison)]


def _rate(seconds: float) -> float | None:
    return 1 / seconds if seconds > 0 else None
