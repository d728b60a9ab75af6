from itertools import product

import numpy as np
import pytest
import scipy.stats

from maskcorrect_plugin.evaluation.intervals import Interval, bootstrap_interval, holm, wilson_interval
from maskcorrect_plugin.evaluation.statistics import PairedOutcome


@pytest.mark.parametrize(("successes", "total"), [(0, 7), (7, 7), (3, 10), (4017, 12491)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_solves_its_own_equation(successes, total, level):
    """The bounds are the shares p at which the observed share lies z standard errors of p away."""
    z = scipy.stats.norm.ppf((1 + level) / 2)
    interval, share = wilson_interval(successes, total, level), successes / total
    for bound in (interval.low, interval.high):
        assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / total, abs=1e-12)
    assert interval.low - 1e-12 <= share <= interval.high + 1e-12


def test_without_images_there_is_no_interval():
    for interval in (wilson_interval(0, 0), bootstrap_interval(PairedOutcome(0, 0, 0, 0))):
        assert np.isnan([interval.low, interval.high]).all()


def test_the_bootstrap_of_counts_is_the_bootstrap_of_images():
    """scipy draws the images themselves."""
    table = PairedOutcome(both_right=12, fixed=11, broken=4, both_wrong=13)
    steps = np.repeat([1, -1, 0], [table.fixed, table.broken, table.both_right + table.both_wrong])
    reference = scipy.stats.bootstrap(
        (steps,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(3)
    ).confidence_interval
    own = bootstrap_interval(table, resamples=20_000, seed=5)
    one_image = 1 / table.total
    assert own.low == pytest.approx(reference.low, abs=1.01 * one_image)
    assert own.high == pytest.approx(reference.high, abs=1.01 * one_image)


def test_the_bootstrap_of_four_images_against_all_resamples_there_are():
    table = PairedOutcome(both_right=1, fixed=2, broken=1, both_wrong=0)
    every = [np.mean(drawn) for drawn in product((1, 1, -1, 0), repeat=4)]  # 256, equally probable
    for level in (0.3, 0.6, 0.9):
        own = bootstrap_interval(table, level, resamples=200_000)
        low, high = np.quantile(every, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        assert (own.low, own.high) == pytest.approx((low, high))


def test_the_papers_difference_lies_above_zero():
    interval = bootstrap_interval(PairedOutcome(3553, 538, 464, 7936))
    assert 0 < interval.low < 74 / 12491 < interval.high


def test_the_same_seed_gives_the_same_interval():
    table = PairedOutcome(50, 20, 10, 20)
    assert bootstrap_interval(table) == bootstrap_interval(table) != bootstrap_interval(table, seed=1)
    assert bootstrap_interval(PairedOutcome(5, 0, 0, 5)) == Interval(0.0, 0.0)


@pytest.mark.parametrize("values", [[0.04], [0.01, 0.04, 0.03], [0.2, 0.0, 0.2, 0.6, 0.9], [0.011, 0.5, 0.01, 0.01]])
def test_holm_by_its_definition(values):
    """The i-th smallest of m values times m - i + 1, never below the one before, never above 1."""
    names = [f"method {row}" for row in range(len(values))]
    adjusted = holm(dict(zip(names, values, strict=True)))
    assert list(adjusted) == names
    floor = 0.0
    for step, row in enumerate(np.argsort(values, kind="stable")):
        floor = max(floor, min(1.0, (len(values) - step) * values[row]))
        assert adjusted[names[row]] == pytest.approx(floor)


def test_holm_of_nothing_and_of_no_probability():
    assert holm({}) == {}
    with pytest.raises(ValueError, match=r"p_values\['a'\] must lie in \[0, 1\], got 1.5"):
        holm({"a": 1.5})


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="successes must be from 0 to 3, got 4"):
        wilson_interval(4, 3)
    with pytest.raises(ValueError, match="level must lie in"):
        bootstrap_interval(PairedOutcome(1, 1, 1, 1), level=1.0)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        bootstrap_interval(PairedOutcome(1, 1, 1, 1), resamples=0)
