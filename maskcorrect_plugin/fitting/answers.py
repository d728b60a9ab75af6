"""What a fit is made of: the first answers, the views' answers and the truth, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.functional import FLOOR
from maskcorrect_plugin.recipe import Recipe

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float32]
KEPT = 32
"""Classes of an image that are kept where there are many: those that some answer finds most probable, and the truth."""
LARGE = 100_000_000
"""Numbers from which on only `KEPT` classes of each image are kept, and all others as one."""
COLUMNS = ("id", "label", "failure", "gap15", "num_candidates", "forwards", "saved", "weights", "probs", "view_probs")


@dataclass(frozen=True)
class ViewAnswers:
    """First and second answers of N images over C classes, pooled within each of V views.

    Attributes:
        ids: Names of the images, (N,).
        labels: Position of the true class among the C, (N,) int64.
        classes: The true class itself, (N,) int64.
        first: ``Y``, (N,C).
        sums: ``sum_k w_k P_vk`` of each view, (N,V,C): what it adds in the sum pool.
        logs: ``sum_k w_k / sum_k(w_k) log P_vk`` of each view, (N,V,C): what it adds in the log pool.
        views: Their text forms.
        pictures: How many pictures each view shows, (V,).
        gaps: ``p1 - p5`` before correction, (N,).
        rest: The last of the C classes stands for all that were left out.
        forwards: Mean forwards of an image for the maps.
    """

    ids: NDArray[Any]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    first: Array
    sums: Array
    logs: Array
    views: tuple[str, ...]
    pictures: tuple[int, ...]
    gaps: Array
    rest: bool
    forwards: float = 0.0

    def __len__(self) -> int:
        return len(self.labels)

    def terms(self, pool: str) -> Array:
        """What each view adds in a pool, (N,V,C)."""
        return self.sums if pool == "sum" else self.logs

    def of_views(self, chosen: Sequence[int]) -> "ViewAnswers":
        """The same with some of the views only."""
        index = list(chosen)
        return replace(
            self,
            sums=self.sums[:, index],
            logs=self.logs[:, index],
            views=tuple(self.views[i] for i in index),
            pictures=tuple(self.pictures[i] for i in index),
        )

    def of_rows(self, rows: Any) -> "ViewAnswers":
        """The same for some of the images only."""
        names = ("ids", "labels", "classes", "first", "sums", "logs", "gaps")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    @property
    def guided(self) -> tuple[bool, ...]:
        """Which views follow a map, (V,)."""
        from maskcorrect_plugin.views import create_view

        return tuple(create_view(view).guided for view in self.views)

    def forwards_of(self, chosen: Sequence[int]) -> float:
        """Forwards of an image that some of the views take: the first, the maps where a view follows them, each picture."""
        maps = self.forwards if any(self.guided[index] for index in chosen) else 0.0
        return 1 + maps + sum(self.pictures[index] for index in chosen)


def read_answers(records: "pd.DataFrame", recipe: Recipe, *, kept: int = KEPT) -> ViewAnswers:
    """The labelled images of a method's records.

    Args:
        records: With whole distributions of every view, one row per image.
        recipe: The method's.
        kept: Classes of an image that are kept where there are more than `LARGE` numbers.

    Raises:
        ValueError: no views were kept, or no image has a label.
    """
    usable = records["failure"].isna() & records["label"].notna()
    done = records.loc[usable.to_numpy(bool)]
    if "view_probs" not in done or done["view_probs"].isna().any():
        raise ArgumentError(
            "the run kept no answers of its views, which a fit needs; run it with --distributions float32 or float16, "
            "and without --max-gap"
        )
    if not len(done):
        raise ArgumentError("a fit needs labelled images, but no image of the run has a label")
    columns = recipe.columns(int(done["num_candidates"].iloc[0]))
    first = np.stack(list(done["probs"])).astype(np.float32)
    count, classes = first.shape
    reduce = count * classes * (1 + len(columns)) > LARGE and classes > kept + 1
    parts = [
        _pooled(done.iloc[start : start + 1000], first[start : start + 1000], columns, recipe, kept if reduce else None)
        for start in range(0, count, 1000)
    ]
    joined = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    shown = sum(number for _, number in columns)
    spent = done["forwards"].to_numpy(float) + done["saved"].to_numpy(float) - 1 - shown
    return ViewAnswers(
        done["id"].to_numpy(),
        joined[3],
        done["label"].to_numpy(np.int64),
        joined[0],
        joined[1],
        joined[2],
        tuple(view for view, _ in columns),
        tuple(number for _, number in columns),
        done["gap15"].to_numpy(np.float32),
        reduce,
        float(spent.mean()),
    )


def _pooled(
    rows: "pd.DataFrame", first: Array, columns: Sequence[tuple[str, int]], recipe: Recipe, kept: int | None
) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """First answers, sums, logs and labels of some images."""
    labels = rows["label"].to_numpy(np.int64)
    shown = sum(number for _, number in columns)
    views = np.stack([np.asarray(each, np.float32).reshape(shown, -1) for each in rows["view_probs"]])
    weights = np.stack([np.asarray(each, np.float32) for each in rows["weights"]])
    if kept is not None:
        first, views, labels = _reduced(first, views, labels, kept)
    own = recipe.view_weights or (1.0,) * len(recipe.views)
    active = [weight for weight in own if weight]
    sums, logs, start = [], [], 0
    for weight, (_, number) in zip(active, columns, strict=True):
        part = slice(start, start + number)
        shares = weights[:, part] / weight
        # In the log pool the records' weights are w_k / sum(w) already; in the sum pool they are w_k.
        relative = shares / shares.sum(axis=1, keepdims=True).clip(1e-30)
        sums.append(np.einsum("nk,nkc->nc", shares if recipe.pool == "sum" else relative, views[:, part]))
        logs.append(np.einsum("nk,nkc->nc", relative, np.log(views[:, part].clip(FLOOR))))
        start += number
    return first, np.stack(sums, 1), np.stack(logs, 1), labels


def _reduced(
    first: Array, views: Array, labels: NDArray[np.int64], kept: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """The classes that some answer finds most probable, the truth among them, and one for all others."""
    highest = np.maximum(first, views.max(axis=1))
    highest[np.arange(len(labels)), labels] = np.inf
    chosen = np.argpartition(-highest, kept - 1, axis=1)[:, :kept]
    chosen = np.take_along_axis(chosen, np.argsort(-np.take_along_axis(highest, chosen, 1), axis=1), 1)
    some = np.take_along_axis(first, chosen, 1)
    shown = np.take_along_axis(views, chosen[:, None, :], 2)
    rest, rests = (1 - some.sum(1, keepdims=True)).clip(0), (1 - shown.sum(2, keepdims=True)).clip(0)
    return np.concatenate([some, rest], 1), np.concatenate([shown, rests], 2), np.zeros(len(labels), np.int64)
