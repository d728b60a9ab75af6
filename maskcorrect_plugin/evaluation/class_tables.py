"""What the tables by class have in common: counting pairs of classes, and names beside indices."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd


def count_pairs(
    first: NDArray[np.int64], second: NDArray[np.int64], chosen: Mapping[str, NDArray[np.bool_]], columns: Sequence[str]
) -> "pd.DataFrame":
    """How often each pair of classes occurs.

    Args:
        first: Class indices, (N,), 0 or more.
        second: The same, (N,).
        chosen: For each column of counts, which of the N entries count, (N,) bool.
        columns: Names of the two columns of class indices.

    Returns:
        One row for each pair that occurs, in the order of the indices.
    """
    import pandas as pd

    size = 1 + max(int(second.max(initial=0)), int(first.max(initial=0)))
    keys, where = np.unique(first * size + second, return_inverse=True)
    table = {columns[0]: keys // size, columns[1]: keys % size}
    counts = {
        name: np.bincount(where[counted], minlength=len(keys)).astype(np.int64) for name, counted in chosen.items()
    }
    return pd.DataFrame({**table, **counts})


def add_names(table: "pd.DataFrame", class_names: Sequence[str] | None) -> "pd.DataFrame":
    """The table with a column of names, ``..._name``, behind each column of class indices, ``..._index``.

    Args:
        table: Any.
        class_names: One for each class; None adds nothing.

    Raises:
        ValueError: the table has a class that `class_names` does not reach.
    """
    if class_names is None:
        return table
    named = table.copy()
    for column in [name for name in table.columns if name.endswith("_index")]:
        highest = int(table[column].max()) if len(table) else -1
        if highest >= len(class_names):
            raise ArgumentError(
                f"class_names must hold one name for each class, at least {highest + 1}; got {len(class_names)}"
            )
        names = [class_names[index] for index in table[column]]
        named.insert(named.columns.get_loc(column) + 1, column.replace("_index", "_name"), names)
    return named
