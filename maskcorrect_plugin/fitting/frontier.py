"""Gain against forwards: views added one by one, and images left out by their gap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.evaluation.metrics import LikelihoodGain

from .answers import ViewAnswers
from .validation import cross_validated, log_likelihood
from .weights import FittedWeights

MOST_IMAGES = 4000
"""Images on which the order of the views is found; more would take long and say the same."""
GAPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Step:
    """One point of the frontier.

    Attributes:
        views: Positions of the views that are shown, in the order in which they came in.
        forwards: Mean forwards of an image.
        gain: Of the cross-validated log-likelihood over no correction.
        points: Points of accuracy gained, likewise.
    """

    views: tuple[int, ...]
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

    The order is found on at most `MOST_IMAGES` images by cross-validation; what each step gives is cross-validated on all.
    """
    some = answers.of_rows(slice(None))
    chosen_rows = np.random.default_rng(0).permutation(len(answers))[:MOST_IMAGES]
    if len(answers) > MOST_IMAGES:
        some, some_folds = answers.of_rows(chosen_rows), folds[chosen_rows]
    else:
        some_folds = folds
    shown: list[int] = []
    steps = [_step(answers, folds, pool, [])]
    left = set(range(len(answers.views)))
    while left:
        best = max(sorted(left), key=lambda index: _likelihood(some, some_folds, pool, [*shown, index]))
        shown.append(best)
        left.remove(best)
        steps.append(_step(answers, folds, pool, shown))
    return tuple(steps)


def _likelihood(answers: ViewAnswers, folds: NDArray[np.int64], pool: str, shown: list[int]) -> float:
    predicted = cross_validated(answers.of_views(shown), folds, pool)
    return float(log_likelihood(predicted, answers.labels).mean())


def _step(answers: ViewAnswers, folds: NDArray[np.int64], pool: str, shown: list[int]) -> Step:
    predicted = cross_validated(answers.of_views(shown), folds, pool)
    return Step(tuple(shown), answers.forwards_of(shown), *gains(answers, predicted))


def gains(answers: ViewAnswers, log_probs: NDArray[np.float64]) -> tuple[LikelihoodGain, float]:
    """Of the log-likelihood, and points of accuracy, over no correction."""
    rows, labels = np.arange(len(answers)), answers.labels
    gain = LikelihoodGain.of(answers.first[rows, labels], np.exp(log_probs[rows, labels]))
    last = -1 if answers.rest else None
    right = (log_probs[:, :last].argmax(1) == labels).mean() - (answers.first[:, :last].argmax(1) == labels).mean()
    return gain, 100 * float(right)


def gap_frontier(answers: ViewAnswers, log_probs: NDArray[np.float64], fitted: FittedWeights) -> tuple[GapStep, ...]:
    """The same weights on difficult images only: mean forwards against what is left of the gain."""
    used = [index for index, weight in enumerate(fitted.views) if weight]
    full = answers.forwards_of(used)
    first = np.log(np.maximum(answers.first, np.finfo(np.float32).tiny))
    steps = []
    for bound in GAPS:
        difficult = answers.gaps < np.float32(bound)
        mixed = np.where(difficult[:, None], log_probs, first)
        steps.append(GapStep(bound, 1 + float(difficult.mean()) * (full - 1), *gains(answers, mixed)))
    return tuple(steps)
