"""Cross-validation: figures of images that fitted nothing, against figures that are computed here anew."""

import numpy as np
import pytest
from fitting_data import answers_of, drawn, softmax
from scipy.stats import binomtest

from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.fitting.fit import _bound
from maskcorrect_plugin.fitting.frontier import gap_frontier, greedy_frontier, within
from maskcorrect_plugin.fitting.validation import (
    FitRow,
    cross_validated,
    held_out,
    holm,
    stratified_folds,
    two_sided,
    worth_of_views,
)
from maskcorrect_plugin.fitting.weights import fit_weights


def test_each_fold_has_its_share_of_every_class():
    classes = np.random.default_rng(0).choice(7, 333, p=[0.4, 0.2, 0.15, 0.1, 0.08, 0.05, 0.02])
    folds = stratified_folds(classes)
    assert set(folds) == set(range(5))
    assert np.ptp(np.bincount(folds)) <= 1
    for each in range(7):
        assert np.ptp(np.bincount(folds[classes == each], minlength=5)) <= 1


def test_folds_follow_the_seed_alone():
    classes = np.arange(100) % 4
    assert (stratified_folds(classes, seed=1) == stratified_folds(classes, seed=1)).all()
    assert (stratified_folds(classes, seed=1) != stratified_folds(classes, seed=2)).any()


@pytest.mark.parametrize("pool", ["log", "sum"])
def test_an_image_is_corrected_by_weights_of_the_other_folds(pool):
    answers = drawn(200, 5, (1.0, np.inf))
    folds = stratified_folds(answers.classes)
    found = held_out(answers, folds, pool)
    for fold in range(5):
        weights = fit_weights(answers.of_rows(folds != fold), pool)
        assert weights == found.weights[fold]
        expected = weights.log_probs(answers.of_rows(folds == fold))
        np.testing.assert_array_equal(found.log_probs[folds == fold], expected)
    assert (found.log_probs == cross_validated(answers, folds, pool)).all()


def test_the_truth_of_the_held_images_cannot_leak():
    """Other labels in one fold change the weights of all others, and not a number of that fold."""
    answers = drawn(200, 5, (1.0, np.inf))
    folds = stratified_folds(answers.classes)
    poisoned = np.where(folds == 2, (answers.labels + 1) % 5, answers.labels)
    honest, other = (
        cross_validated(answers_of(answers.first, answers.sums, labels), folds, "log")
        for labels in (answers.labels, poisoned)
    )
    np.testing.assert_array_equal(honest[folds == 2], other[folds == 2])
    assert (honest[folds == 1] != other[folds == 1]).any()


def test_figures_of_three_images_by_hand():
    first = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
    after = np.array([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    row = FitRow.of("x", answers_of(first, first[:, None], [0, 0, 2]), np.log(after), 2.0)
    assert (row.outcome.both_right, row.outcome.fixed, row.outcome.broken, row.outcome.both_wrong) == (1, 1, 1, 0)
    assert (row.difficult.total, row.difficult.fixed, row.difficult.broken) == (2, 1, 1)  # the gap of the first is 0.6
    gains = np.log([0.6 / 0.7, 0.6 / 0.4, 0.1 / 0.4])
    assert row.gain.mean == pytest.approx(gains.mean()) and row.gain.error == pytest.approx(gains.std(ddof=1) / 3**0.5)
    assert row.likelihood == pytest.approx(np.log([0.6, 0.6, 0.1]).mean())
    assert row.brier == pytest.approx(np.mean([0.16 + 0.09 + 0.01, 0.16 + 0.09 + 0.01, 0.04 + 0.49 + 0.81]))
    # 0.6, right twice: surplus -0.4 each; 0.7, wrong: surplus 0.7.
    assert row.calibration == pytest.approx((0.8 + 0.7) / 3)
    assert row.forwards == 2


def test_figures_of_many_images_against_plain_loops():
    answers = drawn(300, 5, (1.0,), scale=2.0)
    probs = softmax(np.random.default_rng(0).normal(size=(300, 5)) * 2 + answers.first * 3)
    row = FitRow.of("x", answers, np.log(probs), 1.0)
    right = [answer == label for answer, label in zip(probs.argmax(1), answers.labels, strict=True)]
    before = [answer == label for answer, label in zip(answers.first.argmax(1), answers.labels, strict=True)]
    fixed = sum(now and not was for now, was in zip(right, before, strict=True))
    broken = sum(was and not now for now, was in zip(right, before, strict=True))
    assert (row.outcome.fixed, row.outcome.broken) == (fixed, broken)
    assert row.outcome.mcnemar_p == pytest.approx(binomtest(fixed, fixed + broken, 0.5).pvalue)
    error = 0.0
    for low in range(15):
        inside = [i for i in range(300) if low / 15 <= probs[i].max() < (low + 1) / 15]
        error += abs(sum(probs[i].max() - right[i] for i in inside)) / 300
    assert row.calibration == pytest.approx(error)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1]) and holm([]) == []


def test_two_sided_p():
    assert two_sided(1.959964) == pytest.approx(0.05, abs=1e-6) == two_sided(-1.959964)
    assert (two_sided(float("nan")), two_sided(0.0), two_sided(float("inf"))) == (1, 1, 0)


def test_a_difference_of_rounding_is_none_and_an_equal_one_is_sure():
    one = np.full(50, 0.5)
    assert LikelihoodGain.of(one, one * (1 + 1e-13)).z == 0
    assert (
        LikelihoodGain.of(one[:1], one[:1] * 1.2).z != LikelihoodGain.of(one[:1], one[:1] * 1.2).z
    )  # of one image: NaN
    assert LikelihoodGain(0.1, 0.0, 50).z == float("inf") and LikelihoodGain(-0.1, 0.0, 50).z == float("-inf")


def test_the_bound_leaves_one_in_twenty_below():
    """Of the gains of many samples without any effect about one in twenty has its lower bound above zero."""
    generator = np.random.default_rng(0)
    effects = generator.normal(size=(4000, 150))
    gains = [LikelihoodGain(row.mean(), row.std(ddof=1) / 150**0.5, 150) for row in effects]
    assert 0.04 < np.mean([_bound(gain) > 0 for gain in gains]) < 0.06


def test_a_useful_view_is_worth_something_and_noise_is_not():
    answers = drawn(1500, 5, (1.0, np.inf))
    folds = stratified_folds(answers.classes)
    found = held_out(answers, folds, "log")
    useful, useless = worth_of_views(answers, folds, fit_weights(answers), found)
    assert useful.cost.z > 5 and useful.p < 1e-6
    assert abs(useless.cost.z) < 2.5 and abs(useless.cost.mean) < 0.002 and useless.p > 0.01
    # What the warm start gives is what a cold one gives.
    cold = found.over(held_out(answers.of_views([0]), folds, "log"))
    assert useless.cost.mean == pytest.approx(cold.mean, abs=1e-6)


def gain_of(answers, seed):
    folds = stratified_folds(answers.classes, seed=seed)
    return held_out(answers, folds, "log"), held_out(answers.of_views([]), folds, "log")


def test_where_the_views_know_nothing_no_correction_seems_to_help():
    """The first answer is calibrated and the views are noise: the bound lies above zero hardly ever."""
    surely = 0
    for seed in range(30):
        answers = drawn(150, 4, (np.inf, np.inf, np.inf), seed=seed, skill=1.0)
        found, _ = gain_of(answers, seed)
        before = answers.first[np.arange(150), answers.labels]
        surely += _bound(LikelihoodGain.of(before, found.own)) > 0
    assert surely <= 3


def test_labels_at_random_gain_nothing_beyond_a_temperature():
    """A temperature always helps against labels at random; views must not seem to."""
    zs = []
    for seed in range(20):
        answers = drawn(200, 4, (1.0, 1.5), seed=seed)
        labels = np.random.default_rng(seed).permutation(answers.labels)
        found, temperature = gain_of(answers_of(answers.first, answers.sums, labels), seed)
        zs.append(found.over(temperature).z)
    assert np.mean(np.array(zs) > 1.645) <= 0.15 and np.mean(zs) < 0.5


def test_the_frontier_begins_with_the_best_view_and_ends_with_all():
    answers = drawn(600, 5, (np.inf, 1.0, 1.6))
    folds = stratified_folds(answers.classes)
    steps = greedy_frontier(answers, folds, "log")
    assert [step.positions for step in steps] == [(), (1,), (1, 2), (1, 2, 0)]
    assert [step.forwards for step in steps] == [1, 2, 3, 4]
    assert [view.name for view in steps[1].views] == ["whole"]
    whole = held_out(answers, folds, "log")
    before = answers.first[np.arange(600), answers.labels]
    assert steps[-1].gain.mean == pytest.approx(LikelihoodGain.of(before, whole.own).mean, abs=1e-6)
    assert within(steps, 1) == [] and within(steps, 2.9) == [1] and within(steps, 3) == [1, 2]
    with pytest.raises(ValueError, match=r"max_forwards must be at least 1, got 0\.5"):
        within(steps, 0.5)


def test_the_frontier_of_the_gap_goes_from_nothing_to_all():
    answers = drawn(400, 5, (1.0,))
    found = held_out(answers, stratified_folds(answers.classes), "log")
    gaps = gap_frontier(answers, found.log_probs, fit_weights(answers))
    for step in gaps:
        difficult = answers.gaps < step.max_gap
        assert step.forwards == pytest.approx(1 + difficult.mean())
        before = answers.first[np.arange(400), answers.labels].astype(float)
        expected = np.where(difficult, np.log(found.own) - np.log(before), 0).mean()
        assert step.gain.mean == pytest.approx(expected, abs=1e-6)
