"""Cross-validation: every figure of a fit is of images that did not fit it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.evaluation.metrics import LikelihoodGain, expected_calibration_error
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.views import View

from .answers import ViewAnswers
from .weights import FittedWeights, fit_weights

FOLDS = 5


def stratified_folds(classes: NDArray[np.int64], folds: int = FOLDS, seed: int = 0) -> NDArray[np.int64]:
    """A fold for each image, so that each fold has its share of every class.

    Args:
        classes: True classes, (N,).
        folds: How many.
        seed: Another one gives another split.

    Returns:
        Numbers from 0 to ``folds - 1``, (N,).

    Example:
        >>> sorted(stratified_folds(np.array([7] * 5 + [3] * 5))[:5].tolist())
        [0, 1, 2, 3, 4]
    """
    shuffled = np.random.default_rng(seed).permutation(len(classes))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    assigned = np.empty(len(classes), np.int64)
    assigned[order] = np.arange(len(classes)) % folds
    return assigned


@dataclass(frozen=True)
class HeldOut:
    """Corrections of all images, each by weights that were fitted on the other folds.

    Attributes:
        log_probs: Logarithms of the corrected distributions, (N,C).
        labels: Positions of the true classes, (N,).
        weights: Those of each fold.
    """

    log_probs: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: tuple[FittedWeights, ...]

    @property
    def own(self) -> NDArray[np.float64]:
        """Probability of the true class, (N,)."""
        own: NDArray[np.float64] = np.exp(log_likelihood(self.log_probs, self.labels))
        return own

    def over(self, other: "HeldOut") -> LikelihoodGain:
        """How much likelier the true classes are than under another correction of the same images."""
        return LikelihoodGain.of(other.own, self.own)


def held_out(
    answers: ViewAnswers, folds: NDArray[np.int64], pool: str, starts: Sequence[FittedWeights] | None = None
) -> HeldOut:
    """Fits the weights on all folds but one, corrects that one, and so on.

    Args:
        answers: N images.
        folds: Fold of each, (N,).
        pool: ``"log"`` or ``"sum"``.
        starts: Where the fit of each fold begins: weights that were fitted on the same images, so that none looks at
            the images that it is tried on.
    """
    log_probs = np.empty(answers.first.shape)
    weights = []
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        start = None if starts is None else starts[fold]
        weights.append(fit_weights(answers.of_rows(~held), pool, start=start))
        log_probs[held] = weights[-1].log_probs(answers.of_rows(held))
    return HeldOut(log_probs, answers.labels, tuple(weights))


def cross_validated(answers: ViewAnswers, folds: NDArray[np.int64], pool: str) -> NDArray[np.float64]:
    """Logarithms of the corrected distributions of `held_out`, (N,C)."""
    return held_out(answers, folds, pool).log_probs


def log_likelihood(log_probs: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of the true class, (N,)."""
    own: NDArray[np.float64] = log_probs[np.arange(len(labels)), labels]
    return own


@dataclass(frozen=True)
class FitRow:
    """One way to correct, on images that did not fit it, beside no correction.

    Attributes:
        name: What it is.
        outcome: The 2 x 2 table of answers before and after.
        difficult: The same of the images with p1 - p5 < 0.5.
        gain: Of the log-likelihood over no correction.
        likelihood: Mean log-likelihood of the true class.
        brier: Mean Brier score.
        calibration: Expected calibration error.
        forwards: Mean forwards of an image.
    """

    name: str
    outcome: PairedOutcome
    difficult: PairedOutcome
    gain: LikelihoodGain
    likelihood: float
    brier: float
    calibration: float
    forwards: float

    @classmethod
    def of(
        cls, name: str, answers: ViewAnswers, log_probs: NDArray[np.float64], forwards: float, bound: float = 0.5
    ) -> "FitRow":
        """From logarithms of distributions, (N,C)."""
        labels, rows = answers.labels, np.arange(len(answers))
        probs = np.exp(log_probs)
        before, after = answers.answers(answers.first), answers.answers(probs)
        own = probs[rows, labels]
        # Classes that were left out have small probabilities, the squares of which hardly count.
        squares = (probs if answers.spread is None else probs[:, :-1]) ** 2
        return cls(
            name,
            PairedOutcome.of(before, after, labels),
            PairedOutcome.of(before, after, labels, answers.gaps < np.float32(bound)),
            LikelihoodGain.of(answers.first[rows, labels], own),
            float(log_likelihood(log_probs, labels).mean()),
            float((squares.sum(axis=1) - 2 * own + 1).mean()),
            expected_calibration_error(probs[rows, after], after == labels),
            forwards,
        )


@dataclass(frozen=True)
class Worth:
    """What one view is worth.

    Attributes:
        view: The view.
        weight: ``b_v``, fitted on all images.
        cost: Log-likelihood that is lost without it, cross-validated: `LikelihoodGain` of with over without.
        p: Two-sided, of ``cost.z``, adjusted for all views by Holm's method.
    """

    view: View
    weight: float
    cost: LikelihoodGain
    p: float


def worth_of_views(
    answers: ViewAnswers, folds: NDArray[np.int64], fitted: FittedWeights, with_all: HeldOut
) -> tuple[Worth, ...]:
    """Leaves out each view in turn and fits again; one that no fold uses is worth nothing.

    Args:
        answers: N images with V views.
        folds: Fold of each image, (N,).
        fitted: The weights, fitted on all images.
        with_all: What all views give; the fits of each fold begin at its weights.
    """
    costs = []
    for index in range(len(answers.views)):
        if not any(weights.views[index] for weights in with_all.weights):
            costs.append(with_all.over(with_all))
            continue
        others = [other for other in range(len(answers.views)) if other != index]
        starts = [weights.of_views(others) for weights in with_all.weights]
        costs.append(with_all.over(held_out(answers.of_views(others), folds, fitted.pool, starts)))
    adjusted = holm([two_sided(cost.z) for cost in costs])
    return tuple(map(Worth, answers.views, fitted.views, costs, adjusted))


def two_sided(z: float) -> float:
    """The p-value of a standard normal deviate; 1 where there is none."""
    from scipy.stats import norm

    return 1.0 if np.isnan(z) else float(2 * norm.sf(abs(z)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's method."""
    if not p_values:
        return []
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]]
