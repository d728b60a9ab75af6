"""Numbers of how good probabilities are. Each takes one entry per image and gives NaN where there is no image."""

import math

import numpy as np
from numpy.typing import NDArray

ECE_BINS = 15
"""Bins of equal width: those of Guo et al. (2017)."""

Values = NDArray[np.floating] | NDArray[np.integer] | NDArray[np.bool_]


def mean(values: Values) -> float:
    """The mean in float64."""
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan


def negative_log_likelihood(label_probs: NDArray[np.floating]) -> float:
    """Mean of ``-log p[label]`` in nats.

    Args:
        label_probs: Probability of each image's true class, (N,). Zeros count as the smallest normal float32, as in
            `ProbabilityCorrector.forward`, so that one image cannot make the mean infinite.
    """
    floor = float(np.finfo(np.float32).tiny)
    return mean(-np.log(np.maximum(np.asarray(label_probs, dtype=np.float64), floor)))


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
