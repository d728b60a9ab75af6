"""How sure a number is: intervals of accuracies and of their difference, and p-values of several methods at once."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from maskcorrect_plugin.checks import check_int, check_number

from .statistics import PairedOutcome

LEVEL = 0.95
"""Coverage of all intervals unless said otherwise."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`; both are NaN where there are no images."""

    low: float
    high: float


NOTHING = Interval(math.nan, math.nan)


def wilson_interval(successes: int, total: int, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share (Wilson 1927), by statsmodels.

    Args:
        successes: Right answers.
        total: Images.
        level: Coverage, in (0, 1).

    Example:
        >>> interval = wilson_interval(8, 10)
        >>> round(interval.low, 3), round(interval.high, 3)
        (0.49, 0.943)
    """
    check_int("total", total, 0)
    check_int("successes", successes, 0, total)
    check_number("level", level, 0, 1)
    if not total:
        return NOTHING
    from statsmodels.stats.proportion import proportion_confint  # slow to import

    low, high = proportion_confint(successes, total, alpha=1 - level, method="wilson")
    return Interval(float(low), float(high))


def bootstrap_interval(
    outcome: PairedOutcome, level: float = LEVEL, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Percentile interval of the difference in accuracy by the nonparametric bootstrap over images (Efron 1979).

    An image adds +1 (fixed), -1 (broken) or 0 to the difference. Drawing n images with replacement and counting the
    three kinds is drawing the counts from a multinomial distribution, so the counts alone are resampled: the same
    distribution as drawing rows, at a cost that does not depend on n.

    Args:
        outcome: The 2 x 2 table.
        level: Coverage, in (0, 1).
        resamples: Number of resamples.
        seed: The same seed gives the same interval.

    Returns:
        Bounds of ``accuracy_after - accuracy_before``. Where nothing was fixed or broken both are 0: the bootstrap
        knows nothing of images that it has not seen.

    Example:
        >>> interval = bootstrap_interval(PairedOutcome(both_right=3553, fixed=538, broken=464, both_wrong=7936))
        >>> interval.low > 0
        True
    """
    check_number("level", level, 0, 1)
    check_int("resamples", resamples, 1)
    if not outcome.total:
        return NOTHING
    rest = outcome.both_right + outcome.both_wrong
    shares = np.array([outcome.fixed, outcome.broken, rest]) / outcome.total
    counts = np.random.default_rng(seed).multinomial(outcome.total, shares, size=resamples)
    differences = (counts[:, 0] - counts[:, 1]) / outcome.total
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several tests made together, adjusted by Holm's step-down method (Holm 1979), by statsmodels.

    An adjusted value below 0.05 is a finding that holds at that level for the whole family of tests.

    Args:
        p_values: Each in [0, 1], by the name of the method.

    Returns:
        The adjusted values by the same names, in the same order.

    Example:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    for name, value in p_values.items():
        check_number(f"p_values[{name!r}]", value, 0, 1, include_high=True)
    if not p_values:
        return {}
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}
