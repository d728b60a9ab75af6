"""Gain against forwards: views added one by one, and images left out by their gap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.views import View

from .answers import ViewAnswers
from .validation import HeldOut, held_out, log_likelihood
from .weights import FittedWeights

MOST_IMAGES = 4000
"""Images on which the order of the views is found; more would take long and say the same."""
GAPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Step:
    """One point of the frontier.

    Attributes:
        positions: Which of the recipe's views are shown, in the order in which they came in.
        views: These views.
        forwards: Mean forwards of an image.
        gain: Of the cross-validated log-likelihood over no correction.
        points: Points of accuracy gained, likewise.
    """

    positions: tuple[int, ...]
    views: tuple[View, ...]
    forwards: float
    gain: LikelihoodGain
    points: float


@dataclass(frozen=True)
class GapStep:
    """What is left of a correction that images with a gap of at least `max_gap` pass unchanged."""

    max_gap: float
    forwards: float
    gain: LikelihoodGain
    points: float


def greedy_frontier(answers: ViewAnswers, folds: NDArray[np.int64], pool: str) -> tuple[Step, ...]:
    """From the first answer alone, the view that adds most likelihood, then the next, until all are shown.

    The order is found on at most `MOST_IMAGES` images by cross-validation; what each step gives is cross-validated on
    all. The fits of each fold begin at what the fold before had without the new view.
    """
    chosen = np.random.default_rng(0).permutation(len(answers))[:MOST_IMAGES]
    every = len(answers) <= MOST_IMAGES
    some, some_folds = (answers, folds) if every else (answers.of_rows(chosen), folds[chosen])
    shown: list[int] = []
    small, whole = held_out(some.of_views([]), some_folds, pool), held_out(answers.of_views([]), folds, pool)
    steps = [_step(answers, shown, whole)]
    while len(shown) < len(answers.views):
        tried = {
            index: _with(some, some_folds, [*shown, index], small)
            for index in range(len(answers.views))
            if index not in shown
        }
        best = max(tried, key=lambda index: float(log_likelihood(tried[index].log_probs, some.labels).mean()))
        shown, small = [*shown, best], tried[best]
        whole = small if every else _with(answers, folds, shown, whole)
        steps.append(_step(answers, shown, whole))
    return tuple(steps)


def within(steps: tuple[Step, ...], max_forwards: float) -> list[int]:
    """Positions of the views of the best step with at most so many forwards, in the recipe's order."""
    affordable = [step for step in steps if step.forwards <= max_forwards]
    if not affordable:
        raise ArgumentError(f"max_forwards must be at least 1, got {max_forwards:g}")
    return sorted(max(affordable, key=lambda step: step.gain.mean).positions)


def _with(answers: ViewAnswers, folds: NDArray[np.int64], shown: list[int], before: HeldOut) -> HeldOut:
    """Fits with one view more, which begins at 0."""
    starts = [FittedWeights((*each.views, 0.0), each.temperature, each.pool) for each in before.weights]
    return held_out(answers.of_views(shown), folds, starts[0].pool, starts)


def _step(answers: ViewAnswers, shown: list[int], found: HeldOut) -> Step:
    views = tuple(answers.views[index] for index in shown)
    return Step(tuple(shown), views, answers.forwards_of(shown), *gains(answers, found.log_probs))


def gains(answers: ViewAnswers, log_probs: NDArray[np.float64]) -> tuple[LikelihoodGain, float]:
    """Of the log-likelihood, and points of accuracy, over no correction."""
    own = np.exp(log_likelihood(log_probs, answers.labels))
    gain = LikelihoodGain.of(answers.first[np.arange(len(answers)), answers.labels], own)
    return gain, 100 * float(answers.right(log_probs).mean() - answers.right(answers.first).mean())


def gap_frontier(answers: ViewAnswers, log_probs: NDArray[np.float64], fitted: FittedWeights) -> tuple[GapStep, ...]:
    """The same weights on difficult images only: mean forwards against what is left of the gain."""
    full = answers.forwards_of(index for index, weight in enumerate(fitted.views) if weight)
    steps = []
    for bound in GAPS:
        difficult = answers.gaps < np.float32(bound)
        mixed = np.where(difficult[:, None], log_probs, answers.before)
        steps.append(GapStep(bound, 1 + float(difficult.mean()) * (full - 1), *gains(answers, mixed)))
    return tuple(steps)
