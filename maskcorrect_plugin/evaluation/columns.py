"""Columns of the records as arrays: the one place that knows how lists, nulls and failures are stored.

The records are a data frame with one row per image, as a run writes them. Only the columns that a statistic names are
touched, so that the whole distributions, which are most of a run, need not be loaded for it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = -1
"""Stands for a label that is not known; no class has this index."""


def answered(records: "pd.DataFrame", columns: Iterable[str]) -> "pd.DataFrame":
    """The images that could be done, with these columns only.

    Args:
        records: One row per image; where ``failure`` is not null the image counts as failed and is left out.
        columns: What will be read.

    Raises:
        TypeError: not a data frame.
        ValueError: a column is missing; all that are missing are named.
    """
    import pandas as pd

    if not isinstance(records, pd.DataFrame):
        raise ArgumentTypeError(f"records must be a pandas.DataFrame, got {type(records).__name__}")
    names = list(dict.fromkeys(columns))
    missing = [name for name in ("failure", *names) if name not in records.columns]
    if missing:
        raise ArgumentError(f"records must have the columns {', '.join(missing)}, which are missing")
    return records.loc[records["failure"].isna().to_numpy(), names]


def labels_of(done: "pd.DataFrame") -> NDArray[np.int64]:
    """The true classes, (N,), `UNKNOWN` where the label is null."""
    labels: NDArray[np.int64] = done["label"].astype("Int64").to_numpy(dtype=np.int64, na_value=UNKNOWN)
    return labels


def numbers(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column of numbers, (N,), NaN where it is null."""
    values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def flags(column: "pd.Series[Any]") -> NDArray[np.bool_]:
    """A column of booleans without nulls, (N,)."""
    values: NDArray[np.bool_] = column.to_numpy(dtype=np.bool_)
    return values


def first_of(column: "pd.Series[Any]", dtype: Any) -> NDArray[Any]:
    """The first entry of each list, (N,)."""
    return np.fromiter((row[0] for row in column), dtype=dtype, count=len(column))


def lengths_of(column: "pd.Series[Any]") -> NDArray[np.int64]:
    """The length of each list, (N,)."""
    return np.fromiter(map(len, column), dtype=np.int64, count=len(column))


def matrix_of(column: "pd.Series[Any]", fill: float) -> NDArray[Any]:
    """Lists as rows, (N, longest), of the column's own number type; shorter lists are filled up with `fill`."""
    lengths = lengths_of(column)
    if not lengths.sum():
        return np.empty((len(lengths), 0))
    entries = np.concatenate([np.asarray(row) for row in column])
    matrix = np.full((len(lengths), lengths.max()), fill, dtype=entries.dtype)
    matrix[np.arange(lengths.max()) < lengths[:, None]] = entries
    return matrix
