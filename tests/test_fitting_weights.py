"""Weights by likelihood: gradients, convexity, the minimum by other solvers, and cases that can be told by hand."""

import numpy as np
import pytest
from fitting_data import answers_of, drawn, softmax
from scipy.optimize import minimize

from maskcorrect_plugin.fitting.kept_classes import Classes, keep_classes
from maskcorrect_plugin.fitting.weights import LOWEST, FittedWeights, _objective, fit_weights

POOLS = ("log", "sum")


def reduced(answers, kept):
    """The same over fewer classes."""
    few = keep_classes(
        Classes(answers.first, answers.first_logs, answers.sums, answers.logs, answers.labels), kept
    )._asdict()
    return answers.__class__(**{**vars(answers), **few})


def loss(answers, pool, parameters, pull=1.0):
    """Written anew, in the words of the specification: b_v and T of the parameters, the likelihood, the pull."""
    beta, rest = parameters[0], parameters[1:]
    first = answers.first.astype(np.float64)
    if pool == "log":
        logs = np.log(np.maximum(first, np.finfo(np.float32).tiny))
        logits = beta * logs + np.einsum("v,nvc->nc", rest, answers.logs.astype(np.float64))
        distance = (beta - 1) ** 2 + ((rest - beta) ** 2).sum()
    else:
        logits = beta * np.log(first + np.einsum("v,nvc->nc", rest, answers.sums.astype(np.float64)))
        distance = (beta - 1) ** 2 + ((rest - 1) ** 2).sum()
    probs = softmax(logits)[np.arange(len(answers)), answers.labels]
    return (0.5 * pull * distance - np.log(probs).sum()) / len(answers)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kept", [None, 8])
def test_the_gradient_is_that_of_differences(pool, kept):
    answers = drawn(80, 20, (1.0, 2.0, np.inf))
    answers = answers if kept is None else reduced(answers, kept)
    objective = _objective(answers, pool, 3.0)
    generator = np.random.default_rng(5)
    for _ in range(5):
        at = generator.uniform(0.05, 2.5, 4)
        _, gradient = objective(at)
        steps = 1e-5 * np.eye(4)
        differences = [(objective(at + step)[0] - objective(at - step)[0]) / 2e-5 for step in steps]
        np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("pool", POOLS)
def test_the_objective_is_what_the_specification_says(pool):
    answers = drawn(100, 5, (1.0, 2.0))
    for at in ([1.0, 1.0, 1.0], [0.4, 0.0, 2.0]):
        assert _objective(answers, pool, 2.0)(np.array(at))[0] == pytest.approx(
            loss(answers, pool, np.array(at), 2.0), rel=1e-7
        )


@pytest.mark.parametrize("kept", [None, 8])
def test_the_log_pool_is_convex(kept):
    answers = drawn(60, 20, (1.0, np.inf))
    objective = _objective(answers if kept is None else reduced(answers, kept), "log", 1.0)
    generator = np.random.default_rng(2)
    for _ in range(100):
        one, other = generator.uniform(0, 5, (2, 3))
        share = generator.uniform()
        between = objective(share * one + (1 - share) * other)[0]
        assert between <= share * objective(one)[0] + (1 - share) * objective(other)[0] + 1e-12


def test_the_minimum_is_the_same_from_everywhere():
    answers = drawn(300, 6, (1.0, 1.5, np.inf))
    expected = fit_weights(answers)
    for start in (((0.0,) * 3, 1.0), ((9.0, 0.1, 4.0), 5.0), ((0.2, 3.0, 8.0), 0.3)):
        found = fit_weights(answers, start=FittedWeights(*start))
        np.testing.assert_allclose(found.views, expected.views, atol=2e-3)
        assert found.temperature == pytest.approx(expected.temperature, rel=1e-3)


@pytest.mark.parametrize("pool", POOLS)
def test_another_solver_finds_the_same(pool):
    answers = drawn(400, 6, (1.0, 1.5, np.inf))
    other = minimize(
        lambda at: loss(answers, pool, at),
        np.ones(4),
        method="SLSQP",
        bounds=[(LOWEST, 50)] + [(0, None)] * 3,
        options={"ftol": 1e-12, "maxiter": 500},
    )
    found = fit_weights(answers, pool)
    assert loss(answers, pool, _objective(answers, pool).parameters(found)) <= other.fun + 1e-6
    views = other.x[1:] / other.x[0] if pool == "log" else other.x[1:]
    np.testing.assert_allclose(found.views, views, atol=5e-3)
    assert found.temperature == pytest.approx(1 / other.x[0], rel=2e-3)


@pytest.mark.parametrize("pool", POOLS)
def test_no_point_of_a_grid_is_better(pool):
    answers = drawn(200, 4, (1.0, np.inf))
    found = fit_weights(answers, pool)
    best = loss(answers, pool, _objective(answers, pool).parameters(found))
    grid = np.stack(np.meshgrid(*[np.linspace(0.05, 3, 12)] * 3), -1).reshape(-1, 3)
    assert best <= min(loss(answers, pool, at) for at in grid) + 1e-9


@pytest.mark.parametrize("pool", POOLS)
def test_weights_are_none_below_zero_and_the_same_to_the_bit_each_time(pool):
    answers = drawn(200, 5, (np.inf, 1.0, np.inf))
    found = fit_weights(answers, pool)
    assert min(found.views) >= 0 and found == fit_weights(answers, pool)


def test_a_view_that_is_the_truth_decides():
    answers = drawn(400, 5, (np.inf, np.inf), seed=4)
    views = answers.sums.copy()
    views[:, 0] = 0.9 * np.eye(5)[answers.labels] + 0.02
    answers = answers_of(answers.first, views, answers.labels)
    found = fit_weights(answers)
    assert found.views[0] > 1.5 and found.views[0] > 2 * found.views[1]
    assert (found.log_probs(answers).argmax(1) == answers.labels).all()


@pytest.mark.parametrize("pool", POOLS)
def test_a_view_of_noise_gets_next_to_nothing(pool):
    found = fit_weights(drawn(3000, 5, (1.0, np.inf), seed=1), pool)
    assert found.views[0] > 0.5 and found.views[1] < 0.1


def test_two_answers_of_equal_worth_count_alike():
    """Independent noise of the same strength: the likelihood is that of the product, weight 1 and temperature 1."""
    found = fit_weights(drawn(20_000, 4, (1.0,), skill=1.0), pull=0)
    assert found.views[0] == pytest.approx(1, abs=0.1) and found.temperature == pytest.approx(1, abs=0.1)


def test_a_view_that_is_the_first_answer_only_shares_its_weight():
    answers = drawn(2000, 5, ())
    same = answers_of(answers.first, answers.first[:, None], answers.labels)
    alone, both = fit_weights(answers), fit_weights(same)
    assert (1 + both.views[0]) / both.temperature == pytest.approx(1 / alone.temperature, rel=1e-3)
    np.testing.assert_allclose(both.log_probs(same), alone.log_probs(answers), atol=0.01)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("scale", [0.5, 2.5])
def test_without_views_the_temperature_of_the_logits_is_found(pool, scale):
    """The labels follow the likelihood of the unscaled logits, so that their scale is the temperature."""
    answers = drawn(20_000, 5, (), scale=scale, skill=1.0)
    found = fit_weights(answers, pool)
    assert found.views == () and found.temperature == pytest.approx(scale, rel=0.05)
    assert (found.log_probs(answers).argmax(1) == answers.first.argmax(1)).all()


@pytest.mark.parametrize("pool", POOLS)
def test_a_view_of_weight_zero_changes_nothing(pool):
    answers = drawn(50, 5, (1.0, 2.0))
    with_it = FittedWeights((0.7, 0.0), 1.3, pool).log_probs(answers)
    without = FittedWeights((0.7,), 1.3, pool).log_probs(answers.of_views([0]))
    np.testing.assert_allclose(with_it, without, atol=1e-12)


@pytest.mark.parametrize("pool", POOLS)
def test_the_pull_leads_to_the_unfitted_recipe(pool):
    answers = drawn(300, 5, (1.0, np.inf), scale=2.0)
    strong = fit_weights(answers, pool, pull=1e9)
    np.testing.assert_allclose([*strong.views, strong.temperature], 1, atol=1e-3)
    away = [abs(fit_weights(answers, pool, pull=pull).views[1] - 1) for pull in (10.0, 1e3, 1e5)]
    assert away == sorted(away, reverse=True)


def degenerate():
    some = drawn(120, 4, (1.0, 1.0), seed=3)
    certain = np.eye(4)[(some.labels + (np.arange(120) % 3 == 0)) % 4]
    never = some.sums.copy()
    never[..., 2] = 0
    return {
        "zeros and ones": answers_of(certain, np.stack([certain, np.eye(4)[some.labels]], 1), some.labels),
        "a class that nothing predicts": answers_of(
            np.where(np.arange(4) == 2, 0, some.first), never, np.where(np.arange(120) < 30, 2, some.labels)
        ),
        "all images alike": answers_of(
            np.full((120, 4), 0.25), np.full((120, 2, 4), 0.25), np.zeros(120, int)
        ),
        "always right": answers_of(np.eye(4)[some.labels], np.eye(4)[some.labels][:, None], some.labels),
        "always wrong": answers_of(
            np.eye(4)[(some.labels + 1) % 4], np.eye(4)[(some.labels + 2) % 4][:, None], some.labels
        ),
    }  # fmt: skip


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("name", degenerate())
def test_whatever_is_given_the_numbers_are_finite(pool, name):
    answers = degenerate()[name]
    found = fit_weights(answers, pool)
    assert np.isfinite([*found.views, found.temperature]).all() and found.temperature > 0
    log_probs = found.log_probs(answers)
    assert np.isfinite(log_probs).all()
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, atol=1e-9)
