"""Weights of views and a temperature by penalised maximum likelihood.

In the log pool the logits of an image are ``beta log Y + sum_v gamma_v L_v`` with ``beta = 1 / T`` and ``gamma_v = b_v /
T``: linear in the parameters, so that the negative log-likelihood is convex and its minimum is the only one. In the sum
pool they are ``log(Y + sum_v b_v S_v) / T``, which is not convex; it is started at the unfitted recipe, always the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .answers import Array, ViewAnswers

PULL = 1.0
"""Strength of the pull towards the unfitted recipe (each weight 1, temperature 1), in the units of one image's worth."""
SMALLEST = 1e-3
"""Weights below it, relative to the first answer's, are zero: the view would cost forwards for nothing."""
LOWEST, HIGHEST = 0.02, 50.0
"""Bounds of 1 / T."""
TINY = float(np.finfo(np.float32).tiny)
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class FittedWeights:
    """What a fit gives.

    Attributes:
        views: ``b_v``, one for each view, 0 or more.
        temperature: ``T``.
        pool: ``"log"`` or ``"sum"``.
    """

    views: tuple[float, ...]
    temperature: float
    pool: str = "log"

    def log_probs(self, answers: ViewAnswers) -> NDArray[np.float64]:
        """Logarithms of the corrected distributions, (N,C)."""
        terms = answers.terms(self.pool)
        weights = np.asarray(self.views, np.float32)
        if self.pool == "sum":
            scores = np.log(np.maximum(answers.first + np.einsum("v,nvc->nc", weights, terms), TINY))
        else:
            scores = np.log(np.maximum(answers.first, TINY)) + np.einsum("v,nvc->nc", weights, terms)
        return _log_softmax(scores.astype(np.float64) / self.temperature)


IDENTITY = FittedWeights((), 1.0)
"""No view at all, and the first answer as it is."""


def fit_weights(
    answers: ViewAnswers, pool: str = "log", *, pull: float = PULL, start: FittedWeights | None = None
) -> FittedWeights:
    """The weights and the temperature that maximise the likelihood of the labels.

    Args:
        answers: N labelled images with V views; V may be 0, which fits the temperature alone.
        pool: ``"log"`` or ``"sum"``.
        pull: Strength of the pull towards the unfitted recipe.
        start: Where to begin, of the same views; the result does not depend on it in the log pool.
    """
    count = len(answers.views)
    objective = _LogPool(answers, pull) if pool == "log" else _SumPool(answers, pull)
    begin = np.ones(1 + count) if start is None else objective.parameters(start)
    bounds = [(LOWEST, HIGHEST)] + [(0.0, None)] * count
    found = minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7},
    )
    return objective.weights(found.x)


class _LogPool:
    """Negative log-likelihood of ``beta log Y + sum_v gamma_v L_v`` with the pull, and its gradient."""

    def __init__(self, answers: ViewAnswers, pull: float) -> None:
        first = np.log(np.maximum(answers.first, TINY))[:, None]
        self.features: Array = np.concatenate([first, answers.logs], axis=1)
        self.labels, self.pull = answers.labels, pull
        rows = np.arange(len(self.labels))
        self.own: Vector = self.features[rows, :, self.labels].astype(np.float64)

    def __call__(self, parameters: Vector) -> tuple[float, Vector]:
        logits = np.einsum("v,nvc->nc", parameters.astype(np.float32), self.features).astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        shares = np.exp(logits - top)
        total = shares.sum(axis=1, keepdims=True)
        count = len(self.labels)
        value = float((np.log(total) + top).sum() - (self.own @ parameters).sum())
        expected = np.einsum("nc,nvc->v", (shares / total).astype(np.float32), self.features).astype(np.float64)
        gradient = expected - self.own.sum(axis=0)
        # b_v = gamma_v / beta is pulled to 1 by (gamma_v - beta)^2, which keeps the problem convex.
        beta, off = parameters[0], parameters[1:] - parameters[0]
        value += 0.5 * self.pull * float((beta - 1) ** 2 + (off**2).sum())
        gradient[0] += self.pull * (beta - 1 - off.sum())
        gradient[1:] += self.pull * off
        return value / count, gradient / count

    @staticmethod
    def parameters(weights: FittedWeights) -> Vector:
        return np.array([1.0, *weights.views]) / weights.temperature

    @staticmethod
    def weights(parameters: Vector) -> FittedWeights:
        views = parameters[1:] / parameters[0]
        return FittedWeights(tuple(float(b) if b >= SMALLEST else 0.0 for b in views), float(1 / parameters[0]), "log")


class _SumPool:
    """The same for ``log(Y + sum_v b_v S_v) / T``; parameters are ``1 / T`` and ``b``."""

    def __init__(self, answers: ViewAnswers, pull: float) -> None:
        self.first, self.terms = answers.first, answers.sums
        self.labels, self.pull = answers.labels, pull

    def __call__(self, parameters: Vector) -> tuple[float, Vector]:
        beta, weights = parameters[0], parameters[1:]
        scores = self.first + np.einsum("v,nvc->nc", weights.astype(np.float32), self.terms)
        logs = np.log(np.maximum(scores, TINY)).astype(np.float64)
        log_probs = _log_softmax(beta * logs)
        rows, count = np.arange(len(self.labels)), len(self.labels)
        value = -float(log_probs[rows, self.labels].sum())
        slope = np.exp(log_probs)
        slope[rows, self.labels] -= 1  # derivative by the logits
        gradient = np.empty_like(parameters)
        gradient[0] = (slope * logs).sum() + self.pull * (beta - 1)
        by_scores = (beta * slope / np.maximum(scores, TINY)).astype(np.float32)
        gradient[1:] = np.einsum("nc,nvc->v", by_scores, self.terms) + self.pull * (weights - 1)
        value += 0.5 * self.pull * float((beta - 1) ** 2 + ((weights - 1) ** 2).sum())
        return value / count, gradient / count

    @staticmethod
    def parameters(weights: FittedWeights) -> Vector:
        return np.array([1 / weights.temperature, *weights.views])

    @staticmethod
    def weights(parameters: Vector) -> FittedWeights:
        views = tuple(float(b) if b >= SMALLEST else 0.0 for b in parameters[1:])
        return FittedWeights(views, float(1 / parameters[0]), "sum")


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    top = logits.max(axis=1, keepdims=True)
    shifted: NDArray[np.float64] = logits - top
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
