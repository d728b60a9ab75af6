"""`fit`: weights of views and a temperature from labelled images, with everything that says whether to use them."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.recipe_options import POOLS
from maskcorrect_plugin.views import View

from .answers import ViewAnswers
from .frontier import GapStep, Step, gap_frontier, greedy_frontier, within
from .source import Source, has_pool
from .validation import FOLDS, FitRow, HeldOut, Worth, cross_validated, held_out, stratified_folds, worth_of_views
from .weights import FittedWeights, fit_weights

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 100
"""Labelled images below which a fit is refused."""
FEW = 500
"""Labelled images below which it is warned about."""
OTHER_IMAGE = "control:other_image"
ONE_SIDED = 1.6448536269514722
"""Standard errors of a one-sided 95 % bound."""


@dataclass(frozen=True)
class Fit:
    """What a fit found. Every figure is of images that did not fit it, by cross-validation.

    Attributes:
        recipe: What to use: the fitted weights, or the identity where they are not better than no correction.
        fitted: The weights, fitted on all images, of `views`.
        rows: Before, temperature alone, the unfitted recipe, fitted, and what stands beside it, in that order.
        worth: Of each view.
        map_matters: Likelihood of the guided views over the same by another image's maps, paired; None where the run
            has none, or where no view is guided.
        over_temperature: Likelihood of the fitted weights over the temperature alone.
        steps: The frontier of views.
        gaps: The frontier of `max_gap`.
        images: Labelled images.
        helps: Whether the lower one-sided 95 % bound of the likelihood gain over no correction lies above zero.
        views: The views, in the order of the weights.
    """

    recipe: Recipe
    fitted: FittedWeights
    rows: tuple[FitRow, ...]
    worth: tuple[Worth, ...]
    map_matters: LikelihoodGain | None
    over_temperature: LikelihoodGain
    steps: tuple[Step, ...]
    gaps: tuple[GapStep, ...]
    images: int
    helps: bool
    views: tuple[View, ...]

    def row(self, name: str) -> FitRow:
        """A row by its name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def bound(self) -> float:
        """Lower one-sided 95 % bound of the likelihood gain of the fitted weights over no correction."""
        return _bound(self.row("fitted").gain)

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a table."""
        import pandas as pd

        return pd.DataFrame(
            {
                "name": row.name,
                "accuracy": row.outcome.accuracy_after,
                "points": 100 * row.outcome.difference,
                "fixed": row.outcome.fixed,
                "broken": row.outcome.broken,
                "p": row.outcome.mcnemar_p,
                "difficult_points": 100 * row.difficult.difference,
                "log_likelihood": row.likelihood,
                "gain": row.gain.mean,
                "gain_error": row.gain.error,
                "brier": row.brier,
                "calibration_error": row.calibration,
                "forwards": row.forwards,
            }
            for row in self.rows
        )


def fit(
    run: "RunFolder | Mapping[str, tuple[Recipe, pd.DataFrame]] | Any",
    method: str | None = None,
    *,
    pool: str = "log",
    max_forwards: float | None = None,
    seed: int = 0,
) -> Fit:
    """Fits weights of views and a temperature on a run whose views were kept.

    Args:
        run: A finished run, its path, or by name recipes with their records.
        method: Which of its recipes is fitted; None takes that of ``maskcorrect fit``, else the one with
            most views.
        pool: ``"log"`` (convex) or ``"sum"``.
        max_forwards: Takes the best point of the frontier with at most so many forwards of an image.
        seed: Of the split into folds.

    Raises:
        ValueError: fewer than 100 labelled images, labels of one class only, no views kept, unknown names.
    """
    check_choice("pool", pool, POOLS)
    source = Source.of(run)
    name = check_choice("method", method or source.preferred, tuple(source.recipes))
    recipe, answers = source.recipes[name], source.read(name)
    _check(answers, recipe, pool)
    folds = stratified_folds(answers.classes, FOLDS, seed)
    steps = greedy_frontier(answers, folds, pool)
    chosen = list(range(len(answers.views))) if max_forwards is None else within(steps, max_forwards)
    answers = answers.of_views(chosen)
    fitted, found = fit_weights(answers, pool), held_out(answers, folds, pool)
    temperature = held_out(answers.of_views([]), folds, pool)
    rows = [
        FitRow.of("before", answers, answers.before, 1.0),
        FitRow.of("temperature alone", answers, temperature.log_probs, 1.0),
        _unfitted("unfitted", recipe, answers, chosen),
        FitRow.of("fitted", answers, found.log_probs, answers.forwards_of(_used(fitted))),
    ]
    beside, map_matters = _rivals(source, name, answers, folds, found, max_forwards)
    helps = _bound(rows[-1].gain) > 0
    return Fit(
        recipe=_fitted_recipe(recipe, answers.views, fitted if helps else None),
        fitted=fitted,
        rows=(*rows, *beside),
        worth=worth_of_views(answers, folds, fitted, found),
        map_matters=map_matters,
        over_temperature=found.over(temperature),
        steps=steps,
        gaps=gap_frontier(answers, found.log_probs, fitted),
        images=len(answers),
        helps=helps,
        views=answers.views,
    )


def _check(answers: ViewAnswers, recipe: Recipe, pool: str) -> None:
    if len(answers) < FEWEST:
        raise ArgumentError(f"a fit needs at least {FEWEST} labelled images, got {len(answers)}")
    if len(np.unique(answers.classes)) < 2:
        raise ArgumentError("a fit needs images of at least two classes, but all labels are the same")
    if not has_pool(recipe, pool):
        raise ArgumentError("pool must be 'log' for a run whose recipe has the log pool and a view of each candidate")
    if len(answers) < FEW:
        warnings.warn(
            f"{len(answers)} labelled images are few for a fit: from {FEW} on its figures can be relied on",
            stacklevel=3,
        )


def _used(fitted: FittedWeights) -> list[int]:
    return [index for index, weight in enumerate(fitted.views) if weight]


def _bound(gain: LikelihoodGain) -> float:
    """The lower one-sided 95 % bound of a mean."""
    return gain.mean - ONE_SIDED * gain.error


def _unfitted(name: str, recipe: Recipe, answers: ViewAnswers, chosen: Sequence[int] | None = None) -> FitRow:
    """A recipe with its own weights.

    Args:
        name: Of the row.
        recipe: With all its views.
        answers: Of those that are shown.
        chosen: Which these are; None stands for all.
    """
    own = [weight for _, weight in recipe.active_views]
    index = range(len(own)) if chosen is None else chosen
    weights = FittedWeights(tuple(own[i] for i in index), recipe.temperature, recipe.pool)
    return FitRow.of(name, answers, weights.log_probs(answers), answers.forwards_of(range(len(answers.views))))


def _rivals(
    source: Source,
    name: str,
    answers: ViewAnswers,
    folds: NDArray[np.int64],
    found: HeldOut,
    max_forwards: float | None,
) -> tuple[list[FitRow], LikelihoodGain | None]:
    """Other recipes of the run: unguided ones fitted, too, all others as they are. And whether the map matters."""
    rows, map_matters, pool = [], None, found.weights[0].pool
    for other, recipe in source.recipes.items():
        if other == name:
            continue
        theirs = source.read(other, like=answers)
        if recipe.method is None:
            rows.append(_unguided(f"{other}, fitted", theirs, folds, pool, max_forwards))
        else:
            rows.append(_unfitted(other, recipe, theirs))
        if map_matters is None and recipe.method == OTHER_IMAGE and has_pool(recipe, pool):
            map_matters = _over_same_views(theirs, answers, folds, found)
    return rows, map_matters


def _unguided(
    name: str, theirs: ViewAnswers, folds: NDArray[np.int64], pool: str, max_forwards: float | None
) -> FitRow:
    """Views without a map, fitted, at as many forwards as are allowed."""
    if max_forwards is not None:
        theirs = theirs.of_views(within(greedy_frontier(theirs, folds, pool), max_forwards))
    forwards = theirs.forwards_of(_used(fit_weights(theirs, pool)))
    return FitRow.of(name, theirs, cross_validated(theirs, folds, pool), forwards)


def _over_same_views(
    theirs: ViewAnswers, answers: ViewAnswers, folds: NDArray[np.int64], found: HeldOut
) -> LikelihoodGain | None:
    """What is found, over the same views by another image's maps, fitted alike; None where no view is guided."""
    if not any(view.guided for view in answers.views) or not set(answers.views) <= set(theirs.views):
        return None
    same = theirs.of_views([theirs.views.index(view) for view in answers.views])
    return found.over(held_out(same, folds, found.weights[0].pool))


def _fitted_recipe(recipe: Recipe, views: tuple[View, ...], fitted: FittedWeights | None) -> Recipe:
    """The run's recipe with the fitted weights; all zero where nothing is to be used."""
    if fitted is None:
        shown = views or tuple(view for view, _ in recipe.active_views)
        return recipe.replace(views=shown, view_weights=(0.0,) * len(shown), temperature=1.0)
    changes: dict[str, Any] = {"pool": fitted.pool, "temperature": fitted.temperature, "vote": "distribution"}
    if not views:
        return recipe.replace(view_weights=(0.0,) * len(recipe.views), **changes)
    return recipe.replace(views=views, view_weights=fitted.views, **changes)
