"""Numbers of how good probabilities are. Each takes one entry per image and gives NaN where there is no image."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ECE_BINS = 15
"""Bins of equal width: those of Guo et al. (2017)."""

ROUNDING = 1e-9
"""Nats an image below which a difference of log-likelihoods is one of rounding."""

Values = NDArray[np.floating] | NDArray[np.integer] | NDArray[np.bool_]


def mean(values: Values) -> float:
    """The mean in float64."""
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan


def log_likelihoods(label_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """``log p[label]`` of each image in nats, (N,).

    Args:
        label_probs: Probability of each image's true class, (N,). Zeros count as the smallest normal float32, as in
            `ProbabilityCorrector.forward`, so that one image cannot make a mean infinite.
    """
    floor = float(np.finfo(np.float32).tiny)
    values: NDArray[np.float64] = np.log(np.maximum(np.asarray(label_probs, dtype=np.float64), floor))
    return values


def negative_log_likelihood(label_probs: NDArray[np.floating]) -> float:
    """Mean of ``-log p[label]`` in nats: see `log_likelihoods`."""
    return mean(-log_likelihoods(label_probs))


@dataclass(frozen=True)
class LikelihoodGain:
    """How much likelier the true classes are under a second distribution than under a first, image by image.

    Attributes:
        mean: Mean difference of the log-likelihood, in nats an image; above 0 where the second is better.
        error: Its standard error.
        count: Images.

    Example:
        >>> gain = LikelihoodGain.of(np.array([0.5, 0.25]), np.array([1.0, 1.0]))
        >>> round(gain.mean, 3), round(gain.z, 2)
        (1.04, 3.0)
    """

    mean: float
    error: float
    count: int

    @classmethod
    def of(cls, first: NDArray[np.floating], second: NDArray[np.floating]) -> "LikelihoodGain":
        """From the probabilities of the true class, (N,) each."""
        difference = log_likelihoods(second) - log_likelihoods(first)
        count = len(difference)
        error = float(difference.std(ddof=1) / math.sqrt(count)) if count > 1 else math.nan
        return cls(mean(difference), error, count)

    @property
    def z(self) -> float:
        """The mean in units of its standard error: beyond 2 in either direction it is hardly chance.

        What is below `ROUNDING` is no difference. Where all images differ alike, it is infinite.
        """
        if abs(self.mean) < ROUNDING:
            return 0.0
        return self.mean / self.error if self.error != 0 else math.copysign(math.inf, self.mean)

    @property
    def p(self) -> float:
        """Two-sided p-value of `z`; NaN where there is none."""
        return math.erfc(abs(self.z) / math.sqrt(2))


def top_k_accuracy(label_ranks: NDArray[np.number], top_k: int | NDArray[np.integer]) -> float:
    """Share of images whose true class is among the `top_k` most probable.

    Args:
        label_ranks: Rank of each image's true class, (N,), 1 = the answer.
        top_k: One number, or one for each image, (N,).
    """
    return mean(label_ranks <= top_k)


def expected_calibration_error(confidences: NDArray[np.floating], right: NDArray[np.bool_]) -> float:
    """Expected calibration error of the answers (Guo et al. 2017), as torchmetrics computes it.

    (Importing torchmetrics imports torchvision and transformers, too, which no statistics of records should need.)
    Whether the answer is right is a binary event and the confidence its predicted probability, so the binary metric of
    the two is the multi-class one of the whole distributions, which need not be loaded.

    Args:
        confidences: Probability of each image's answer, (N,).
        right: Whether the answer is the true class, (N,).
    """
    if not len(confidences):
        return math.nan
    probs = np.asarray(confidences, dtype=np.float64).clip(0, 1)  # float32 sums can reach 1.0000001
    where = np.digitize(probs, np.linspace(0, 1, ECE_BINS + 1)) - 1  # a bin holds its lower edge; 1 has one of its own
    surplus = np.bincount(where, weights=probs - right)
    return float(np.abs(surplus).sum() / len(probs))
