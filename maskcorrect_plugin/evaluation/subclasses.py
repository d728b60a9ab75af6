"""Sub-classes as the network sees them: classes that it holds nearly as likely as its answer.

The paper calls this redefining the sub-class: not a taxonomy says which classes are alike, but the probabilities do.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_number

from .answers import ANSWER_COLUMNS, Answers
from .class_tables import add_names, count_pairs
from .columns import answered, matrix_of

if TYPE_CHECKING:
    import pandas as pd

MARGIN = 0.2
"""Two classes at 0.6 and 0.4 are just within it. A choice of this package: the paper names no number."""


def subclasses(records: "pd.DataFrame", margin: float = MARGIN) -> "pd.DataFrame":
    """For each image the classes within a margin of its first answer.

    Args:
        records: One row per image; those that failed are left out.
        margin: In [0, 1]: class k belongs where ``p_1 - p_k <= margin``, compared in float32, before correction and
            among the classes that the records store.

    Returns:
        One row for each image, in the order of `records`, with the columns ``index``, ``id``, ``label``, ``classes``
        (list of class indices, the answer first), ``probs`` (their probabilities), ``size`` (how many they are; 1 is
        an answer without rival) and ``answer_after`` (the corrected answer, which may lie outside).
    """
    done = answered(records, ("index", "id", *ANSWER_COLUMNS, "probs_before"))
    sizes = _sizes(done, margin)
    answers = Answers.of(done)
    table = done[["index", "id", "label"]].reset_index(drop=True)
    for name, column in (("classes", "classes_before"), ("probs", "probs_before")):
        table[name] = [list(row[:size]) for row, size in zip(done[column], sizes, strict=True)]
    return table.assign(size=sizes, answer_after=answers.after)


def confused_classes(
    records: "pd.DataFrame", margin: float = MARGIN, class_names: Sequence[str] | None = None
) -> "pd.DataFrame":
    """The graph of confused classes over a data set: its edges, each a pair of classes.

    An edge stands for the images whose first answer both classes are within the margin of. It needs no labels; where
    they are known it also counts what came of it:

    Args:
        records: One row per image; those that failed are left out.
        margin: See `subclasses`.
        class_names: One for each class; adds the columns ``first_name`` and ``second_name``.

    Returns:
        One row for each pair that occurs, the most frequent first, with the columns

        - ``first_index``, ``second_index``: the two classes, the lower index first;
        - ``images``: images with both within the margin;
        - ``confused``: of them, those of one class that were answered as the other;
        - ``fixed``: of the confused ones, those answered rightly after correction;
        - ``broken``: of ``images``, those of one class that were answered rightly and, after correction, as the other.

        `networkx.from_pandas_edgelist(table, "first_index", "second_index", True)` makes a graph of it, for GraphML.
    """
    done = answered(records, (*ANSWER_COLUMNS, "probs_before"))
    rows, first, second = _pairs(matrix_of(done["classes_before"], -1).astype(np.int64), _sizes(done, margin))
    answers = Answers.of(done)
    before, after, labels = answers.before[rows], answers.after[rows], answers.labels[rows]
    concerned = (labels == first) | (labels == second)
    other = first + second - labels  # of the pair, where one of them is the true class
    chosen = {
        "images": np.ones(len(rows), dtype=bool),
        "confused": concerned & (before == other),
        "fixed": concerned & (before == other) & (after == labels),
        "broken": concerned & (before == labels) & (after == other),
    }
    table = count_pairs(np.minimum(first, second), np.maximum(first, second), chosen, ("first_index", "second_index"))
    order = ["images", "confused", "first_index", "second_index"]
    ordered = table.sort_values(order, ascending=[False, False, True, True], ignore_index=True)
    return add_names(ordered, class_names)


def _sizes(done: "pd.DataFrame", margin: float) -> NDArray[np.int64]:
    """How many classes lie within the margin, (N,). Classes are sorted, so these are the first ones."""
    check_number("margin", margin, 0, 1, include_high=True)
    probs = matrix_of(done["probs_before"], np.nan).astype(np.float32)
    within: NDArray[np.bool_] = probs[:, :1] - probs <= np.float32(margin)
    return np.asarray(within.sum(axis=1), dtype=np.int64)


def _pairs(
    classes: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All pairs among the first `sizes[n]` classes of each row n: the row and the two classes, one entry a pair."""
    rows, first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for later in range(1, int(sizes.max(initial=0))):
        holding = np.flatnonzero(sizes > later)
        for earlier in range(later):
            rows.append(holding)
            first.append(classes[holding, earlier])
            second.append(classes[holding, later])
    return np.concatenate(rows), np.concatenate(first), np.concatenate(second)
