"""Weights of views and a temperature by penalised maximum likelihood.

In the log pool the logits of an image are ``beta log Y + sum_v gamma_v L_v`` with ``beta = 1 / T`` and ``gamma_v =
b_v / T``: linear in the parameters, so that the negative log-likelihood is convex and its minimum is the only one. In
the sum pool they are ``log(Y + sum_v b_v S_v) / T``, which is not convex; it is started at the unfitted recipe.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .answers import TINY, Array, ViewAnswers

PULL = 1.0
"""Strength of the pull towards each weight 1 and temperature 1, in the units of one image's worth."""
SMALLEST = 1e-3
"""Weights below it, relative to the first answer's, are zero: the view would cost forwards for nothing."""
LOWEST, HIGHEST = 0.02, 50.0
"""Bounds of 1 / T."""
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


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

    def log_probs(self, answers: ViewAnswers) -> Matrix:
        """Logarithms of the corrected distributions, (N,C)."""
        objective = _objective(answers, self.pool)
        return _log_softmax(objective.logits(objective.parameters(self)))

    def of_views(self, chosen: "list[int]") -> "FittedWeights":
        """The same for some of the views only."""
        return FittedWeights(tuple(self.views[index] for index in chosen), self.temperature, self.pool)


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
    objective = _objective(answers, pool, pull)
    found = minimize(
        objective,
        np.ones(1 + count) if start is None else objective.parameters(start),
        jac=True,
        method="L-BFGS-B",
        bounds=[(LOWEST, HIGHEST)] + [(0.0, None)] * count,
        options={"maxiter": 500, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-6},
    )
    return objective.weights(found.x)


class _Objective(ABC):
    """Negative log-likelihood of the labels with the pull, for each image, and its gradient; all in float64.

    Attributes:
        labels: (N,).
        pull: Its strength.
        values: What the parameters weigh, one row for each, (P, N * C): products of a matrix and a vector are quick.
        spread: Logarithm of how many classes the last stands for, (N,); None where it stands for itself.
    """

    def __init__(self, answers: ViewAnswers, rows: list[Array], spread: int, pull: float) -> None:
        self.labels, self.pull, self.shape = answers.labels, pull, answers.first.shape
        self.values: Matrix = np.empty((len(rows), answers.first.size))
        for index, row in enumerate(rows):
            self.values[index] = row.reshape(-1)
        self.spread = None if answers.spread is None else answers.spread[:, spread].astype(np.float64)

    @abstractmethod
    def logits(self, parameters: Vector) -> Matrix:
        """Of the corrected distributions, (N,C)."""

    @abstractmethod
    def slopes(self, parameters: Vector, by_logits: Matrix) -> Vector:
        """The gradient by the parameters from the one by `logits`."""

    @abstractmethod
    def pulled(self, parameters: Vector) -> tuple[float, Vector]:
        """Half the squared distance from the unfitted recipe, and its gradient."""

    @staticmethod
    @abstractmethod
    def parameters(weights: FittedWeights) -> Vector:
        """The parameters of some weights."""

    @staticmethod
    @abstractmethod
    def weights(parameters: Vector) -> FittedWeights:
        """The weights of some parameters."""

    def __call__(self, parameters: Vector) -> tuple[float, Vector]:
        log_probs = _log_softmax(self.logits(parameters))
        rows, count = np.arange(len(self.labels)), len(self.labels)
        distance, away = self.pulled(parameters)
        value = self.pull * distance - float(log_probs[rows, self.labels].sum())
        by_logits = np.exp(log_probs, out=log_probs)
        by_logits[rows, self.labels] -= 1
        return value / count, (self.slopes(parameters, by_logits) + self.pull * away) / count


class _LogPool(_Objective):
    """``beta log Y + sum_v gamma_v L_v``; parameters are ``beta`` and ``gamma``."""

    def __init__(self, answers: ViewAnswers, pull: float) -> None:
        super().__init__(answers, [answers.first_logs, *answers.logs.swapaxes(0, 1)], 0, pull)

    def logits(self, parameters: Vector) -> Matrix:
        logits: Matrix = (parameters @ self.values).reshape(self.shape)
        if self.spread is not None:
            logits[:, -1] += self.spread
        return logits

    def slopes(self, parameters: Vector, by_logits: Matrix) -> Vector:
        slopes: Vector = self.values @ by_logits.reshape(-1)
        return slopes

    def pulled(self, parameters: Vector) -> tuple[float, Vector]:
        # b_v = gamma_v / beta is pulled to 1 by (gamma_v - beta)^2, which keeps the problem convex.
        beta, off = parameters[0], parameters[1:] - parameters[0]
        distance = 0.5 * float((beta - 1) ** 2 + off @ off)
        return distance, np.concatenate([[beta - 1 - off.sum()], off])

    @staticmethod
    def parameters(weights: FittedWeights) -> Vector:
        return np.array([1.0, *weights.views]) / weights.temperature

    @staticmethod
    def weights(parameters: Vector) -> FittedWeights:
        return FittedWeights(_without_smallest(parameters[1:] / parameters[0]), float(1 / parameters[0]), "log")


class _SumPool(_Objective):
    """``log(Y + sum_v b_v S_v) / T``; parameters are ``1 / T`` and ``b``."""

    def __init__(self, answers: ViewAnswers, pull: float) -> None:
        super().__init__(answers, [answers.first, *answers.sums.swapaxes(0, 1)], 1, pull)

    def logits(self, parameters: Vector) -> Matrix:
        logits: Matrix = self._by_beta(parameters) * parameters[0] + self._offset
        return logits

    def slopes(self, parameters: Vector, by_logits: Matrix) -> Vector:
        by_scores = parameters[0] * by_logits / self._scores(parameters)
        slopes = np.empty_like(parameters)
        slopes[0] = np.vdot(by_logits, self._by_beta(parameters))
        slopes[1:] = self.values[1:] @ by_scores.reshape(-1)
        return slopes

    def _scores(self, parameters: Vector) -> Matrix:
        scores: Matrix = np.concatenate([[1.0], parameters[1:]]) @ self.values
        return np.maximum(scores, TINY).reshape(self.shape)

    def _by_beta(self, parameters: Vector) -> Matrix:
        """What ``1 / T`` multiplies."""
        logs: Matrix = np.log(self._scores(parameters)) - self._offset
        return logs

    @property
    def _offset(self) -> Any:
        if self.spread is None:
            return 0.0
        offset = np.zeros(self.shape)
        offset[:, -1] = self.spread
        return offset

    def pulled(self, parameters: Vector) -> tuple[float, Vector]:
        away = parameters - 1
        return 0.5 * float(away @ away), away

    @staticmethod
    def parameters(weights: FittedWeights) -> Vector:
        return np.array([1 / weights.temperature, *weights.views])

    @staticmethod
    def weights(parameters: Vector) -> FittedWeights:
        return FittedWeights(_without_smallest(parameters[1:]), float(1 / parameters[0]), "sum")


def _objective(answers: ViewAnswers, pool: str, pull: float = 0.0) -> _Objective:
    return _LogPool(answers, pull) if pool == "log" else _SumPool(answers, pull)


def _without_smallest(views: Vector) -> tuple[float, ...]:
    return tuple(float(weight) if weight >= SMALLEST else 0.0 for weight in views)


def _log_softmax(logits: Matrix) -> Matrix:
    shifted: Matrix = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
