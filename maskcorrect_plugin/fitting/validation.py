"""Cross-validation: every figure of a fit is of images that did not fit it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.evaluation.metrics import LikelihoodGain, expected_calibration_error
from maskcorrect_plugin.evaluation.statistics import PairedOutcome

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


def out_of_fold(
    answers: ViewAnswers, folds: NDArray[np.int64], fit: Callable[[ViewAnswers], FittedWeights]
) -> NDArray[np.float64]:
    """Logarithms of the corrected distributions, each by weights that were fitted on the other folds, (N,C)."""
    predicted = np.empty(answers.first.shape)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        predicted[held] = fit(answers.of_rows(~held)).log_probs(answers.of_rows(held))
    return predicted


def cross_validated(
    answers: ViewAnswers, folds: NDArray[np.int64], pool: str, start: FittedWeights | None = None
) -> NDArray[np.float64]:
    """`out_of_fold` of `weights.fit_weights`."""
    return out_of_fold(answers, folds, lambda some: fit_weights(some, pool, start=start))


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
        before, after = _answer(answers.first, answers.rest), _answer(probs, answers.rest)
        own = probs[rows, labels]
        brier = (probs**2).sum(axis=1) - 2 * own + 1
        return cls(
            name,
            PairedOutcome.of(before, after, labels),
            PairedOutcome.of(before, after, labels, answers.gaps < np.float32(bound)),
            LikelihoodGain.of(answers.first[rows, labels], own),
            float(log_likelihood(log_probs, labels).mean()),
            float(brier.mean()),
            expected_calibration_error(probs.max(axis=1), after == labels),
            forwards,
        )


def _answer(probs: NDArray[np.floating], rest: bool) -> NDArray[np.int64]:
    """The most probable class; all others together are none."""
    answer: NDArray[np.int64] = (probs[:, :-1] if rest else probs).argmax(axis=1)
    return answer


@dataclass(frozen=True)
class Worth:
    """What one view is worth.

    Attributes:
        view: Its text form.
        weight: ``b_v``, fitted on all images.
        cost: Log-likelihood that is lost without it, cross-validated: `LikelihoodGain` of with over without.
        p: Two-sided, of ``cost.z``, adjusted for all views by Holm's method.
    """

    view: str
    weight: float
    cost: LikelihoodGain
    p: float


def worth_of_views(
    answers: ViewAnswers,
    folds: NDArray[np.int64],
    fitted: FittedWeights,
    log_probs: NDArray[np.float64],
) -> tuple[Worth, ...]:
    """Leaves out each view in turn and fits again."""
    everything = range(len(answers.views))
    with_all = np.exp(log_likelihood(log_probs, answers.labels))
    costs = []
    for index in everything:
        others = [other for other in everything if other != index]
        start = FittedWeights(tuple(fitted.views[other] for other in others), fitted.temperature, fitted.pool)
        without = cross_validated(answers.of_views(others), folds, fitted.pool, start)
        costs.append(LikelihoodGain.of(np.exp(log_likelihood(without, answers.labels)), with_all))
    adjusted = holm([two_sided(cost.z) for cost in costs])
    return tuple(
        Worth(view, weight, cost, p)
        for view, weight, cost, p in zip(answers.views, fitted.views, costs, adjusted, strict=True)
    )


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
