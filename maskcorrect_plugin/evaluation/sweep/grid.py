"""The recipes that a sweep tries."""

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from maskcorrect_plugin.checks import check_choice, check_int, check_number
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.recipe import Recipe, parse_views
from maskcorrect_plugin.views import create_view

MOST_VALUES = 1000
"""Values that one range may have."""
VARIED = ("views", "pool", "top_k", "vote", "candidate_weights")
"""Options of a recipe that a sweep varies."""


@dataclass(frozen=True)
class Grid:
    """All combinations of the values of five options of a recipe.

    Attributes:
        base: The run's own recipe, which is always tried; every other option is its own.
        views: Sets of views, each shown together.
        pools: ``"sum"``, ``"log"``.
        top_ks: From 1 to the K of the run.
        votes: ``"distribution"``, ``"diagonal"``.
        candidate_weights: ``"probs"``, ``"uniform"``.
    """

    base: Recipe
    views: tuple[tuple[str, ...], ...]
    pools: tuple[str, ...]
    top_ks: tuple[int, ...]
    votes: tuple[str, ...]
    candidate_weights: tuple[str, ...]

    def recipes(self) -> list[Recipe]:
        """The run's own recipe and all combinations, each once: some options make no difference to some views.

        Raises:
            ValueError: a value that a recipe refuses, or K above the run's.
        """
        for top_k in self.top_ks:
            check_int("top_k", top_k, 1, self.base.top_k)
        found = {self.base: None}
        for values in itertools.product(self.views, self.pools, self.top_ks, self.votes, self.candidate_weights):
            views, pool, _, vote, _ = values
            if pool == "log" and vote == "diagonal" and len(self.votes) > 1:
                continue  # there is no such recipe; the others of the grid are meant
            changes: dict[str, Any] = dict(zip(VARIED, values, strict=True))
            weights = self.base.view_weights if tuple(views) == tuple(map(_text, self.base.views)) else None
            found.setdefault(self.base.replace(**{**changes, "view_weights": weights}))
        return list(found)


def _text(view: Any) -> str:
    return view if isinstance(view, str) else str(view.spec)


def view_sets(
    texts: Sequence[str] | None, thresholds: Sequence[float] | None, base: Recipe
) -> tuple[tuple[str, ...], ...]:
    """Sets of views: those that are named, each with every threshold.

    Args:
        texts: ``"zoom[map=merged]+hflip"``; None takes the run's own views.
        thresholds: Put into every view that has one; None leaves them.
        base: The run's own recipe.
    """
    sets = [tuple(map(_text, base.views))] if not texts else [tuple(parse_views(text)) for text in texts]
    found: dict[tuple[str, ...], None] = {}
    values: Sequence[float | None] = thresholds or [None]
    for views in sets:
        for threshold in values:
            found.setdefault(tuple(_with_threshold(view, threshold) for view in views))
    return tuple(found)


def _with_threshold(text: str, threshold: float | None) -> str:
    view = create_view(text)
    if threshold is None or "threshold" not in view.settings:
        return view.spec
    return create_view(view.name, **{**view.settings, "threshold": check_number("threshold", threshold, 0, 1)}).spec


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """``"0:0.6:0.1"`` (start, stop, step; the stop belongs to it), ``"1:5"`` (step 1), or values with commas.

    Args:
        name: What the option is called in errors.
        text: What was given.

    Example:
        >>> parse_numbers("threshold", "0:0.3:0.1"), parse_numbers("threshold", "0.1,0.5")
        ((0.0, 0.1, 0.2, 0.3), (0.1, 0.5))

    Raises:
        ValueError: of another form.
    """
    form = f"{name} must be values with commas, or START:STOP[:STEP], such as 0:0.6:0.1; got {text!r}"
    try:
        if ":" not in text:
            return tuple(dict.fromkeys(float(part) for part in text.split(",")))
        start, stop, step = (*map(float, text.split(":")), 1.0)[:3]
    except ValueError:
        raise ArgumentError(form) from None
    if text.count(":") > 2 or not all(map(math.isfinite, (start, stop, step))) or step <= 0 or stop < start:
        raise ArgumentError(form)
    count = int((stop - start) / step + 1e-9) + 1
    if count > MOST_VALUES:
        raise ArgumentError(f"{name} must have at most {MOST_VALUES} values, got {count} in {text!r}")
    return tuple(round(start + index * step, 10) for index in range(count))


def parse_whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`parse_numbers` of whole numbers."""
    numbers = parse_numbers(name, text)
    if any(number != int(number) for number in numbers):
        raise ArgumentError(f"{name} must be whole numbers, got {text!r}")
    return tuple(int(number) for number in numbers)


def parse_names(name: str, text: str, allowed: Collection[str]) -> tuple[str, ...]:
    """Names with commas, each one of `allowed`."""
    return tuple(dict.fromkeys(check_choice(name, part.strip(), allowed) for part in text.split(",")))
