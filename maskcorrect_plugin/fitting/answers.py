"""What a fit is made of: the first answers, the views' answers and the truth, image by image."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.columns import answered
from maskcorrect_plugin.functional import FLOOR
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.views import View

from .kept_classes import KEPT, LARGE, Classes, keep_classes

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float32]
TINY = float(np.finfo(np.float32).tiny)
"""What a probability of zero counts as, as in `ProbabilityCorrector.forward`."""
ROWS = 500
"""Images that are looked at together while reading."""
COLUMNS = (
    *("id", "label", "gap15", "num_candidates", "corrected", "forwards", "saved", "label_prob_before", "weights"),
    *("probs", "view_probs"),
)
"""What is read, beside ``failure``."""
NO_VIEWS = (
    "the run kept no answers of its views, which a fit needs; run it with --distributions float32 or float16, and "
    "without --max-gap"
)


@dataclass(frozen=True)
class ViewAnswers:
    """First and second answers of N images over C classes, pooled within each of V views.

    Attributes:
        ids: Names of the images, (N,).
        labels: Position of the true class among the C, (N,) int64.
        classes: The true class itself, (N,) int64.
        first: ``Y``, (N,C).
        first_logs: ``log Y``, (N,C).
        sums: ``sum_k w_k P_vk`` of each view, (N,V,C): what it adds in the sum pool.
        logs: ``sum_k w_k / sum_k(w_k) log P_vk`` of each view, (N,V,C): what it adds in the log pool.
        spread: Logarithm of how many classes the last of the C stands for, in the log and in the sum pool, (N,2); None
            where it stands for itself. See `kept_classes`.
        gaps: ``p1 - p5`` before correction, (N,).
        map_forwards: Forwards of each image for the maps, (N,).
        views: The views, (V,).
        pictures: How many pictures each view shows, (V,).
    """

    ids: NDArray[Any]
    labels: NDArray[np.int64]
    classes: NDArray[np.int64]
    first: Array
    first_logs: Array
    sums: Array
    logs: Array
    spread: Array | None
    gaps: Array
    map_forwards: NDArray[np.float64]
    views: tuple[View, ...]
    pictures: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

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
        changes: dict[str, Any] = {name: each[rows] for name, each in self._arrays().items()}
        return replace(self, **changes)

    def _arrays(self) -> dict[str, Any]:
        """What has an entry for each image."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: each for name, each in values.items() if isinstance(each, np.ndarray)}

    @classmethod
    def joined(cls, parts: "Sequence[ViewAnswers]") -> "ViewAnswers":
        """Answers of the same views on some images after another."""
        changes: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0]._arrays()
        }
        return replace(parts[0], **changes)

    def forwards_of(self, chosen: Iterable[int]) -> float:
        """Forwards of an image that some views take: the first, the maps where a view follows them, each picture.

        Equal pictures of an image count each, though the network is shown them once.
        """
        index = list(chosen)
        maps = float(self.map_forwards.mean()) if any(self.views[i].guided for i in index) else 0.0
        return 1 + maps + sum(self.pictures[i] for i in index)

    @property
    def before(self) -> NDArray[np.float64]:
        """Logarithms of the first answers, (N,C)."""
        return np.log(np.maximum(self.first, TINY).astype(np.float64))

    def right(self, probs: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether the most probable class of each distribution (N,C), or its logarithm, is the true one, (N,)."""
        return np.equal(self.answers(probs), self.labels)

    def answers(self, probs: NDArray[np.floating]) -> NDArray[np.int64]:
        """The most probable class of each distribution (N,C); all that were left out together are none."""
        found: NDArray[np.int64] = (probs if self.spread is None else probs[:, :-1]).argmax(axis=1)
        return found


def read_answers(
    records: "pd.DataFrame | Iterable[pd.DataFrame]",
    recipe: Recipe,
    *,
    images: int | None = None,
    kept: int | None = KEPT,
) -> ViewAnswers:
    """The labelled images of a method's records.

    Args:
        records: With whole distributions of every view, one row per image; or several such frames, one after the other.
        recipe: The method's.
        images: How many there are at most; None counts those of a single frame.
        kept: Classes of an image that are kept where there are more than `LARGE` numbers; None keeps all.

    Raises:
        ValueError: no views were kept, or no image has a label.
    """
    import pandas as pd

    frames = [records] if isinstance(records, pd.DataFrame) else records
    total = (1 + len(recipe.active_views)) * (len(records) if isinstance(records, pd.DataFrame) else images or 0)
    parts = [_pooled(rows, recipe, kept, total) for frame in frames for rows in _usable(frame)]
    if not parts:
        raise ArgumentError("a fit needs labelled images, but no image of the run has a label")
    return ViewAnswers.joined(parts)


def _usable(records: "pd.DataFrame") -> "Iterator[pd.DataFrame]":
    """The labelled images that could be done, some at a time."""
    if not {"probs", "view_probs"} <= set(records):
        raise ArgumentError(NO_VIEWS)
    done = answered(records, COLUMNS)
    done = done.loc[done["label"].notna().to_numpy(bool)]
    for start in range(0, len(done), ROWS):
        rows = done.iloc[start : start + ROWS]
        if rows[["probs", "view_probs"]].isna().any(axis=None) or not rows["corrected"].all():
            raise ArgumentError(NO_VIEWS)
        yield rows


def _pooled(rows: "pd.DataFrame", recipe: Recipe, kept: int | None, total: int) -> ViewAnswers:
    """The answers of some images, those of each view put together.

    Args:
        rows: Of the images.
        recipe: The method's.
        kept: Classes of each image that are kept where there are many.
        total: Distributions of all images together.
    """
    columns = [number for _, number in recipe.columns(int(rows["num_candidates"].iloc[0]))]
    labels = rows["label"].to_numpy(np.int64)
    first = _first(rows, labels)
    full = Classes(*first, *_pools(rows, recipe, columns, first[0].shape[1]), labels)
    classes = full.first.shape[1]
    few = full if kept is None or kept + 1 >= classes or total * classes <= LARGE else keep_classes(full, kept)
    spent = rows["forwards"].to_numpy(float) + rows["saved"].to_numpy(float) - 1 - sum(columns)
    return ViewAnswers(
        rows["id"].to_numpy(),
        few.labels,
        labels,
        few.first,
        few.first_logs,
        few.sums,
        few.logs,
        few.spread,
        rows["gap15"].to_numpy(np.float32),
        spent,
        tuple(view for view, _ in recipe.active_views),
        tuple(columns),
    )


def _first(rows: "pd.DataFrame", labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """``Y`` and its logarithm.

    Half precision makes zeros of what is below `FLOOR`. The truth's probability is there in single precision; of other
    classes zeros count as `FLOOR`.
    """
    stored = np.stack(list(rows["probs"]))
    first, floor = stored.astype(np.float32), FLOOR if stored.dtype == np.float16 else TINY
    first[np.arange(len(labels)), labels] = rows["label_prob_before"].to_numpy(np.float32)
    logs = np.log(np.maximum(first, floor))
    own = first[np.arange(len(labels)), labels]
    logs[np.arange(len(labels)), labels] = np.log(np.maximum(own, TINY))
    return first, logs


def _pools(rows: "pd.DataFrame", recipe: Recipe, columns: Sequence[int], classes: int) -> tuple[Array, Array]:
    """What each view adds in the sum pool and in the log pool, (n,V,C) each."""
    shape = (len(rows), len(columns), classes)
    sums, logs = np.empty(shape, np.float32), np.empty(shape, np.float32)
    shown = np.stack(list(rows["view_probs"])).reshape(len(rows), -1, classes)
    weights = np.stack(list(rows["weights"])).astype(np.float32)
    start = 0
    for view, ((_, weight), number) in enumerate(zip(recipe.active_views, columns, strict=True)):
        part = slice(start, start + number)
        answers, shares = shown[:, part].astype(np.float32), weights[:, part] / np.float32(weight)
        # In the log pool the records' weights are w_k / sum(w) already; in the sum pool they are w_k.
        relative = shares / shares.sum(axis=1, keepdims=True).clip(TINY)
        np.einsum("nk,nkc->nc", shares if recipe.pool == "sum" else relative, answers, out=sums[:, view])
        np.einsum("nk,nkc->nc", relative, np.log(np.maximum(answers, np.float32(FLOOR))), out=logs[:, view])
        start += number
    return sums, logs
