"""What correction does by how far the first answer lies above a later one.

The paper argues that correction weighs more the smaller the gap is; this is the table that shows whether it does.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError

from .answers import ANSWER_COLUMNS, Answers
from .columns import answered, flags
from .subset import PAPER_SUBSET, Gap

if TYPE_CHECKING:
    import pandas as pd

TENTHS = tuple(tenth / 10 for tenth in range(11))
"""Edges of the usual bins: 0, 0.1, ..., 1."""


def gap_bins(
    records: "pd.DataFrame", definition: str = PAPER_SUBSET.definition, edges: Sequence[float] = TENTHS
) -> "pd.DataFrame":
    """Answers changed, fixed and broken by gap.

    Args:
        records: One row per image; those that failed are left out.
        definition: Of the gap: ``"p1-p5"``, ``"p1-p2"``, ``"p1-pR"``: see `subset.Gap`.
        edges: Increasing, within [0, 1]. A bin holds its lower edge and not its upper one, but the last holds both:
            so the bins below the subset's bound hold the subset. Images outside the edges are not counted.

    Returns:
        One row for each bin, with the columns ``low``, ``high``, ``images``, ``labelled`` (images with a label),
        ``changed`` (images with another answer now, labelled or not), ``fixed`` and ``broken``.
    """
    import pandas as pd

    gap = Gap(definition)
    edges = check_edges(edges)
    done = answered(records, (*ANSWER_COLUMNS, "changed"))
    answers = Answers.of(done)
    where = bin_of(gap.of(records), edges, closed="left")
    chosen = {
        "images": np.ones(len(done), dtype=bool),
        "labelled": answers.known,
        "changed": flags(done["changed"]),
        "fixed": answers.fixed,
        "broken": answers.broken,
    }
    counts = {name: count_bins(where[mask], len(edges) - 1) for name, mask in chosen.items()}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], **counts})


def check_edges(edges: Sequence[float]) -> tuple[float, ...]:
    """At least two increasing numbers within [0, 1]."""
    try:
        checked = tuple(float(edge) for edge in edges)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"edges must be numbers, got {edges!r}") from None
    rising = all(low < high for low, high in pairwise(checked))
    if len(checked) < 2 or not rising or not 0 <= checked[0] <= checked[-1] <= 1:
        raise ArgumentError(f"edges must be at least two increasing numbers within [0, 1], got {checked}")
    return checked


def bin_of(values: NDArray[np.floating], edges: Sequence[float], closed: Literal["left", "right"]) -> NDArray[np.int64]:
    """The bin of each value, (N,): 0 for the first, below 0 or beyond the last for values outside.

    Values and edges are compared in float32, which is what the records hold.

    Args:
        values: (N,).
        edges: Increasing.
        closed: Which of its two edges a bin holds. The outermost edges belong to the outermost bins in any case.
    """
    bounds = np.asarray(edges, dtype=np.float32)
    values = np.asarray(values, dtype=np.float32)
    where = np.searchsorted(bounds, values, side="right" if closed == "left" else "left") - 1
    outermost = (bounds[0], 0) if closed == "right" else (bounds[-1], len(bounds) - 2)
    return np.where(values == outermost[0], outermost[1], where).astype(np.int64)


def count_bins(where: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """How many values each of the bins holds, (bins,), given the bin of each value."""
    inside = (where >= 0) & (where < bins)
    return np.bincount(where[inside], minlength=bins).astype(np.int64)
