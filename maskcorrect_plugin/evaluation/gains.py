"""Which classes, and which confusions of two classes, gain by correction and which lose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .answers import ANSWER_COLUMNS, Answers
from .class_tables import add_names, count_pairs
from .columns import answered

if TYPE_CHECKING:
    import pandas as pd


def class_gains(records: "pd.DataFrame", class_names: Sequence[str] | None = None) -> "pd.DataFrame":
    """Right answers by true class.

    Args:
        records: One row per image; those that failed or have no label are left out.
        class_names: One for each class; adds the column ``class_name``.

    Returns:
        One row for each true class that occurs, the largest gain first, with the columns ``class_index``, ``images``,
        ``right_before``, ``right_after``, ``fixed``, ``broken`` and ``gain`` (fixed less broken).
    """
    import pandas as pd

    answers = Answers.of(answered(records, ANSWER_COLUMNS))
    known = answers.known
    labels, where = np.unique(answers.labels[known], return_inverse=True)
    chosen = {
        "images": known,
        "right_before": answers.right_before,
        "right_after": answers.right_after,
        "fixed": answers.fixed,
        "broken": answers.broken,
    }
    counts = {name: np.bincount(where[mask[known]], minlength=len(labels)) for name, mask in chosen.items()}
    table = pd.DataFrame({"class_index": labels, **counts, "gain": counts["fixed"] - counts["broken"]})
    ordered = table.sort_values(["gain", "images", "class_index"], ascending=[False, False, True], ignore_index=True)
    return add_names(ordered, class_names)


def pair_gains(records: "pd.DataFrame", class_names: Sequence[str] | None = None) -> "pd.DataFrame":
    """Wrong answers by true class and class answered instead.

    Args:
        records: One row per image; those that failed or have no label are left out.
        class_names: One for each class; adds the columns ``true_name`` and ``answer_name``.

    Returns:
        One row for each pair that occurs before or after correction, the largest gain first, with the columns

        - ``true_index``, ``answer_index``: the true class, and the other one that was answered;
        - ``before``, ``after``: images of the true class answered so before and after correction;
        - ``fixed``: answered so before, rightly after;
        - ``broken``: answered rightly before, so after;
        - ``gain``: fixed less broken. What ``before - after`` has beyond it moved from or to a third class.
    """
    answers = Answers.of(answered(records, ANSWER_COLUMNS))
    wrong = {
        "before": answers.known & ~answers.right_before,
        "after": answers.known & ~answers.right_after,
    }
    moved = {"before": answers.fixed, "after": answers.broken}
    # Wrong answers before, then wrong answers after, one behind the other.
    labels = np.concatenate([answers.labels[wrong[side]] for side in wrong])
    given = np.concatenate([answers.before[wrong["before"]], answers.after[wrong["after"]]])
    earlier = np.arange(len(labels)) < wrong["before"].sum()
    crossed = np.concatenate([moved[side][wrong[side]] for side in wrong])
    chosen = {"before": earlier, "after": ~earlier, "fixed": earlier & crossed, "broken": ~earlier & crossed}
    table = count_pairs(labels, given, chosen, ("true_index", "answer_index"))
    table["gain"] = table["fixed"] - table["broken"]
    order = ["gain", "before", "true_index", "answer_index"]
    ordered = table.sort_values(order, ascending=[False, False, True, True], ignore_index=True)
    return add_names(ordered, class_names)
