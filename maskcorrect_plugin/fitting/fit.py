"""`fit`: weights of views and a temperature from labelled images, with everything that says whether to use them."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.recipe_options import POOLS
from maskcorrect_plugin.views import create_view

from .answers import COLUMNS, ViewAnswers, read_answers
from .frontier import GapStep, Step, gap_frontier, greedy_frontier
from .validation import (
    FOLDS,
    FitRow,
    Worth,
    cross_validated,
    log_likelihood,
    stratified_folds,
    worth_of_views,
)
from .weights import FittedWeights, fit_weights

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 100
"""Labelled images below which a fit is refused."""
FEW = 500
"""Labelled images below which it is warned about."""
ONE_SIDED = 1.6448536269514722
"""Standard errors of a one-sided 95 % bound."""


@dataclass(frozen=True)
class Fit:
    """What a fit found. Every figure is of images that did not fit it, by cross-validation.

    Attributes:
        recipe: What to use: the fitted weights, or the identity where they are not better than no correction.
        fitted: The weights, fitted on all images, of `answers.views`.
        rows: Before, temperature alone, the unfitted recipe, fitted, and what stands beside it, in that order.
        worth: Of each view.
        map_matters: Likelihood of the guided views over the same by another image's maps, paired; None where the run has
            none, or where no view is guided.
        over_temperature: Likelihood of the fitted weights over the temperature alone.
        steps: The frontier of views.
        gaps: The frontier of `max_gap`.
        images: Labelled images.
        helps: Whether the lower one-sided 95 % bound of the likelihood gain over no correction lies above zero.
        views: Text forms of the views, in the order of the weights.
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
    views: tuple[str, ...]

    def row(self, name: str) -> FitRow:
        """A row by its name."""
        return next(row for row in self.rows if row.name == name)

    @property
    def bound(self) -> float:
        """Lower one-sided 95 % bound of the likelihood gain of the fitted weights over no correction."""
        gain = self.row("fitted").gain
        return gain.mean - ONE_SIDED * gain.error

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
        method: Which of its recipes is fitted; None takes the one with most views.
        pool: ``"log"`` (convex) or ``"sum"``.
        max_forwards: Takes the best point of the frontier with at most so many forwards of an image.
        seed: Of the split into folds.

    Raises:
        ValueError: fewer than 100 labelled images, labels of one class only, no views kept, unknown names.
    """
    check_choice("pool", pool, POOLS)
    known = _methods_of(run)
    name = method or _richest(known)
    check_choice("method", name, tuple(known))
    recipe, records = known[name]
    answers = read_answers(records, recipe)
    _check(answers, recipe, pool)
    folds = stratified_folds(answers.classes, FOLDS, seed)
    steps = greedy_frontier(answers, folds, pool)
    if max_forwards is not None:
        answers = answers.of_views(_within(steps, max_forwards))
    fitted = fit_weights(answers, pool)
    predicted = cross_validated(answers, folds, pool)
    rows = [*_own_rows(answers, folds, recipe, fitted, predicted), *_beside(known, name, answers, folds, pool)]
    temperature = cross_validated(answers.of_views([]), folds, pool)
    helps_gain = rows[3].gain
    helps = helps_gain.mean - ONE_SIDED * helps_gain.error > 0
    return Fit(
        recipe=_fitted_recipe(recipe, answers, fitted if helps else None),
        fitted=fitted,
        rows=tuple(rows),
        worth=worth_of_views(answers, folds, fitted, predicted),
        map_matters=_map_matters(known, name, answers, folds, pool, predicted),
        over_temperature=_gain(temperature, predicted, answers),
        steps=steps,
        gaps=gap_frontier(answers, predicted, fitted),
        images=len(answers),
        helps=helps,
        views=answers.views,
    )


def _methods_of(run: Any) -> dict[str, tuple[Recipe, "pd.DataFrame"]]:
    if isinstance(run, Mapping):
        return dict(run)
    folder = run if isinstance(run, RunFolder) else RunFolder.open(run)
    if not folder.complete:
        raise RunError(f"{folder.path!s} is not finished; the command that began it resumes it")
    if folder.manifest.identity["records"]["distributions"] == "top":
        raise RunError(f"{folder.path!s} kept no answers of its views; run it with --distributions float32")
    found = {}
    for name in folder.methods:
        recipe = folder.recipe(name)
        if recipe.active_views and recipe.max_gap is None:
            found[name] = (recipe, folder.records(name, COLUMNS))
    if not found:
        raise RunError(f"{folder.path!s} has no recipe that corrected all images by views that were kept")
    return found


def _richest(known: Mapping[str, tuple[Recipe, Any]]) -> str:
    """The recipe with most views; among equals a guided one, whose maps are this image's own."""

    def rank(name: str) -> tuple[int, bool]:
        recipe = known[name][0]
        return len(recipe.active_views), recipe.method is not None and not recipe.method.startswith("control:")

    return max(known, key=rank)


def _check(answers: ViewAnswers, recipe: Recipe, pool: str) -> None:
    if len(answers) < FEWEST:
        raise ArgumentError(f"a fit needs at least {FEWEST} labelled images, got {len(answers)}")
    if len(np.unique(answers.classes)) < 2:
        raise ArgumentError("a fit needs images of at least two classes, but all labels are the same")
    by_candidate = any(view.guided and view.map == "candidates" for view, _ in recipe.active_views)
    if pool == "sum" and recipe.pool == "log" and by_candidate:
        raise ArgumentError("pool must be 'log' for a run whose recipe has the log pool and a view of each candidate")
    if len(answers) < FEW:
        warnings.warn(
            f"{len(answers)} labelled images are few for a fit: from {FEW} on its figures can be relied on",
            stacklevel=3,
        )


def _within(steps: tuple[Step, ...], max_forwards: float) -> tuple[int, ...]:
    affordable = [step for step in steps if step.forwards <= max_forwards]
    if not affordable:
        raise ArgumentError(f"max_forwards must be at least 1, got {max_forwards:g}")
    return max(affordable, key=lambda step: step.gain.mean).views


def _own_rows(
    answers: ViewAnswers,
    folds: NDArray[np.int64],
    recipe: Recipe,
    fitted: FittedWeights,
    predicted: NDArray[np.float64],
) -> list[FitRow]:
    everything = list(range(len(answers.views)))
    used = [index for index in everything if fitted.views[index]]
    ones = FittedWeights((1.0,) * len(everything), 1.0, recipe.pool)
    before = np.log(np.maximum(answers.first, np.finfo(np.float32).tiny)).astype(np.float64)
    cold = cross_validated(answers.of_views([]), folds, fitted.pool)
    return [
        FitRow.of("before", answers, before, 1.0),
        FitRow.of("temperature alone", answers, cold, 1.0),
        FitRow.of("unfitted", answers, ones.log_probs(answers), answers.forwards_of(everything)),
        FitRow.of("fitted", answers, predicted, answers.forwards_of(used)),
    ]


def _beside(
    known: Mapping[str, tuple[Recipe, "pd.DataFrame"]],
    name: str,
    answers: ViewAnswers,
    folds: NDArray[np.int64],
    pool: str,
) -> list[FitRow]:
    """Other recipes of the run: unguided ones fitted, too, all others as they are."""
    rows = []
    for other, (recipe, records) in known.items():
        if other == name:
            continue
        theirs = _aligned(read_answers(records, recipe), answers)
        forwards = theirs.forwards_of(range(len(theirs.views)))
        if recipe.method is None:
            rows.append(FitRow.of(f"{other}, fitted", theirs, cross_validated(theirs, folds, pool), forwards))
        else:
            ones = FittedWeights((1.0,) * len(theirs.views), 1.0, recipe.pool)
            rows.append(FitRow.of(other, theirs, ones.log_probs(theirs), forwards))
    return rows


def _map_matters(
    known: Mapping[str, tuple[Recipe, "pd.DataFrame"]],
    name: str,
    answers: ViewAnswers,
    folds: NDArray[np.int64],
    pool: str,
    predicted: NDArray[np.float64],
) -> LikelihoodGain | None:
    """The same views by another image's maps, fitted alike, against the fitted ones."""
    if not any(answers.guided):
        return None
    for recipe, records in (known[other] for other in known if other != name):
        if recipe.method != "control:other_image":
            continue
        theirs = _aligned(read_answers(records, recipe), answers)
        if not set(answers.views) <= set(theirs.views):
            continue
        same = theirs.of_views([theirs.views.index(view) for view in answers.views])
        return _gain(cross_validated(same, folds, pool), predicted, answers)
    return None


def _gain(first: NDArray[np.float64], second: NDArray[np.float64], answers: ViewAnswers) -> LikelihoodGain:
    one, other = (np.exp(log_likelihood(each, answers.labels)) for each in (first, second))
    return LikelihoodGain.of(one, other)


def _aligned(theirs: ViewAnswers, answers: ViewAnswers) -> ViewAnswers:
    """Another recipe's answers of the same images in the same order."""
    places = {image_id: row for row, image_id in enumerate(theirs.ids)}
    missing = [image_id for image_id in answers.ids if image_id not in places]
    if missing or len(theirs) != len(answers):
        raise ArgumentError(
            f"the recipes of the run must have the same images; {len(missing)} are missing in one of them, "
            f"for example {str(missing[0])!r}"
            if missing
            else "the recipes of the run must have the same images"
        )
    return theirs.of_rows([places[image_id] for image_id in answers.ids])


def _fitted_recipe(recipe: Recipe, answers: ViewAnswers, fitted: FittedWeights | None) -> Recipe:
    """The run's recipe with the fitted weights; all zero where nothing is to be used."""
    objects: dict[str, Any] = {create_view(view).spec: view for view in recipe.views}
    views = tuple(objects[spec] for spec in answers.views)
    if not views:
        views, weights = recipe.views, (0.0,) * len(recipe.views)
    else:
        weights = (0.0,) * len(views) if fitted is None else fitted.views
    changes: dict[str, Any] = {"views": views, "view_weights": weights, "vote": "distribution"}
    if fitted is not None:
        changes.update(pool=fitted.pool, temperature=fitted.temperature)
    return recipe.replace(**changes)
