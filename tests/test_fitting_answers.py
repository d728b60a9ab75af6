"""From records to what a fit is made of, and back: what is fitted is what the corrector then gives."""

import dataclasses

import numpy as np
import pytest
import torch
from fitted_runs import VIEWS, Shifts, rich, run_of
from fitting_data import answers_of, drawn, frame_of, recipe_of

from maskcorrect_plugin import ProbabilityCorrector
from maskcorrect_plugin.fitting import answers as module
from maskcorrect_plugin.fitting import kept_classes
from maskcorrect_plugin.fitting.answers import read_answers
from maskcorrect_plugin.fitting.kept_classes import Classes, keep_classes
from maskcorrect_plugin.fitting.weights import FittedWeights, fit_weights
from maskcorrect_plugin.functional import FLOOR

FOUR = (*VIEWS, Shifts())
RECIPES = {
    "sum": rich(views=FOUR),
    "log": rich(views=FOUR, pool="log"),
    "weighted": rich(views=FOUR, view_weights=(0.5, 2.0, 1.0, 0.0)),
    "uniform": rich(candidate_weights="uniform", top_k=2),
}


@pytest.fixture(scope="module")
def run():
    return run_of(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_what_views_add_is_what_the_records_say(run, name):
    """Computed picture by picture from the records' rows."""
    recipe, records = RECIPES[name], run[2][name]
    answers = read_answers(records, recipe)
    top_k = recipe.top_k
    counts = [top_k, 1, 1, 2][: len(recipe.active_views)]
    assert answers.pictures == tuple(counts) and [view.name for view in answers.views] == [
        view.name for view, _ in recipe.active_views
    ]
    for row in (0, 7, 119):
        record = records.iloc[row]
        first = np.array(record["probs"])
        np.testing.assert_array_equal(answers.first[row], first)
        shown = np.array(record["view_probs"]).reshape(sum(counts), -1)
        candidates = np.array(record["classes_before"])[:top_k]
        own = first[candidates] if recipe.candidate_weights == "probs" else np.full(top_k, 1 / top_k)
        start = 0
        for view, count in enumerate(counts):
            shares = own if view == 0 else np.full(count, 1 / count)
            part = shown[start : start + count]
            if recipe.pool == "sum":
                np.testing.assert_allclose(answers.sums[row, view], shares @ part, rtol=1e-5, atol=1e-7)
            logs = shares / shares.sum() @ np.log(np.maximum(part, FLOOR))
            np.testing.assert_allclose(answers.logs[row, view], logs, rtol=1e-4, atol=1e-5)
            start += count
    assert (answers.labels == records["label"]).all() and (answers.gaps == records["gap15"].astype(np.float32)).all()
    assert answers.forwards_of(range(len(counts))) == pytest.approx((records["forwards"] + records["saved"]).mean())
    assert answers.forwards_of([2]) == 2 and answers.forwards_of([]) == 1


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_own_weights_give_the_runs_own_numbers(run, name):
    recipe, records = RECIPES[name], run[2][name]
    own = FittedWeights(tuple(weight for _, weight in recipe.active_views), 1.0, recipe.pool)
    answers = read_answers(records, recipe)
    probs = np.exp(own.log_probs(answers))[np.arange(len(answers)), answers.labels]
    np.testing.assert_allclose(probs, records["label_prob_after"].astype(float), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "pool"), [("sum", "sum"), ("sum", "log"), ("log", "log"), ("weighted", "log"), ("uniform", "sum")]
)
def test_the_corrector_gives_what_the_fit_fitted(run, name, pool):
    net, data, records = run
    recipe = RECIPES[name]
    answers = read_answers(records[name], recipe)
    fitted = fit_weights(answers, pool)
    fitted = dataclasses.replace(fitted, views=tuple(weight + 0.1 for weight in fitted.views))  # none is left out
    made = recipe.replace(views=answers.views, view_weights=fitted.views, pool=pool, temperature=fitted.temperature)
    corrected = ProbabilityCorrector(net, recipe=made).correct(torch.stack([image for image, _ in data]))
    np.testing.assert_allclose(corrected.corrected_probs.numpy(), np.exp(fitted.log_probs(answers)), atol=1e-5)


@pytest.mark.parametrize("weights", [FittedWeights((13.0, 0.0, 15.0, 10.0), 50.0), FittedWeights((2.0,) * 4, 0.1)])
def test_the_corrector_follows_far_weights_and_temperatures(run, weights):
    net, data, records = run
    answers = read_answers(records["sum"], RECIPES["sum"])
    made = RECIPES["sum"].replace(
        views=answers.views, view_weights=weights.views, pool="log", temperature=weights.temperature
    )
    corrected = ProbabilityCorrector(net, recipe=made).correct(torch.stack([image for image, _ in data]))
    np.testing.assert_allclose(corrected.corrected_probs.numpy(), np.exp(weights.log_probs(answers)), atol=1e-4)


def test_images_without_a_label_or_that_failed_are_left_out():
    answers = drawn(40, 4, (1.0,))
    frame = frame_of(answers)
    frame.loc[3, "label"] = None
    frame.loc[5, "failure"] = "cannot be read"
    frame["probs"] = [None if row == 5 else value for row, value in enumerate(frame["probs"])]
    read = read_answers(frame, recipe_of(answers))
    assert list(read.ids) == [name for row, name in enumerate(answers.ids) if row not in (3, 5)]
    with pytest.raises(ValueError, match="no image of the run has a label"):
        read_answers(frame.assign(label=None), recipe_of(answers))


def test_records_without_answers_of_views_are_refused():
    answers = drawn(40, 4, (1.0,))
    recipe, frame = recipe_of(answers), frame_of(answers)
    broken = [
        frame.drop(columns="view_probs"),
        frame.assign(view_probs=[None, *frame["view_probs"][1:]]),
        frame.assign(corrected=[False, *frame["corrected"][1:]]),
    ]
    for records in broken:
        with pytest.raises(ValueError, match=r"kept no answers of its views.*--distributions.*without --max-gap"):
            read_answers(records, recipe)


def test_frames_one_after_the_other_are_the_same_as_one():
    answers = drawn(1200, 4, (1.0, 2.0))
    recipe, frame = recipe_of(answers), frame_of(answers)
    one = read_answers(frame, recipe)
    several = read_answers([frame.iloc[:7], frame.iloc[7:900], frame.iloc[900:]], recipe, images=1200)
    for name, values in one._arrays().items():
        np.testing.assert_array_equal(values, getattr(several, name))


def test_zeros_of_half_precision_are_no_disaster():
    """What half precision makes zero is small, and not impossible; of the truth single precision is known."""
    answers = drawn(30, 4, (1.0,))
    answers.first[:, 1] = 1e-9
    answers.first[:] /= answers.first.sum(1, keepdims=True)
    read = read_answers(frame_of(answers, np.float16), recipe_of(answers))
    rows = np.arange(30)
    own = read.first_logs[rows, read.labels]
    np.testing.assert_allclose(own, np.log(answers.first[rows, answers.labels]), rtol=1e-5)
    others = read.first_logs[read.labels != 1, 1]
    np.testing.assert_allclose(others, np.log(FLOOR))
    np.testing.assert_allclose(read.before[rows, read.labels], own, rtol=1e-5)


# --- fewer classes ----------------------------------------------------------------------------------------------------


def imagenet_like(count=400, classes=1000, views=4, seed=0):
    """Logits with a common part, of which a few classes stand out: confident on some images, lost on others."""
    generator = np.random.default_rng(seed)
    common = generator.normal(size=(count, 1, classes)) * generator.uniform(1.0, 3.0, (count, 1, 1))
    logits = common + generator.normal(size=(count, 1 + views, classes)) * 0.8
    near = np.argsort(-common[:, 0])[:, :6]
    for rank, lift in enumerate((5.0, 4.0, 3.5, 3.0, 2.5, 2.0)):
        logits[np.arange(count), :, near[:, rank]] += lift * generator.uniform(0.3, 1.2, (count, 1))
    values = np.exp(logits - logits.max(-1, keepdims=True))
    probs = (values / values.sum(-1, keepdims=True)).astype(np.float32)
    mean = np.exp(np.log(probs).mean(1))
    mean /= mean.sum(1, keepdims=True)
    labels = np.array([generator.choice(classes, p=row / row.sum()) for row in mean.astype(float)])
    return probs[:, 0], probs[:, 1:], labels


def both(kept=kept_classes.KEPT, monkeypatch=None):
    first, views, labels = imagenet_like()
    answers = answers_of(first, views, labels)
    recipe, frame = recipe_of(answers), frame_of(answers)
    full = read_answers(frame, recipe, kept=None)
    monkeypatch.setattr(module, "LARGE", 1)
    return full, read_answers(frame, recipe, kept=kept)


def test_kept_classes_are_exact_in_the_sum_pool(monkeypatch):
    full, few = both(monkeypatch=monkeypatch)
    assert few.first.shape[1] == 33 and (few.labels == 0).all() and (few.classes == full.classes).all()
    weights = FittedWeights((0.5, 1.0, 0.0, 3.0), 1.0, "sum")
    one, other = weights.log_probs(full), weights.log_probs(few)
    rows = np.arange(len(full))
    np.testing.assert_allclose(other[:, 0], one[rows, full.labels], atol=1e-5)
    np.testing.assert_allclose(np.exp(other).sum(1), 1, atol=1e-9)
    assert (few.right(other) == full.right(one)).all()


def test_kept_classes_cost_little_in_the_log_pool(monkeypatch):
    full, few = both(monkeypatch=monkeypatch)
    rows = np.arange(len(full))
    for weights in (fit_weights(full), FittedWeights((1.0,) * 4, 1.0), FittedWeights((1.0,) * 4, 5.0)):
        one, other = weights.log_probs(full), weights.log_probs(few)
        difference = other[:, 0] - one[rows, full.labels]
        print(
            f"kept classes, T = {weights.temperature:.2f}: {difference.mean():+.5f}, most {abs(difference).max():.4f}"
        )
        assert abs(difference.mean()) < 0.03
        assert (few.right(other) == full.right(one)).all()
    one, other = fit_weights(full), fit_weights(few)
    print(one, other)
    np.testing.assert_allclose(other.views, one.views, atol=0.15)
    assert other.temperature == pytest.approx(one.temperature, rel=0.1)
    lost = other.log_probs(full)[rows, full.labels].mean() - one.log_probs(full)[rows, full.labels].mean()
    print(f"likelihood lost by fitting on kept classes: {lost:+.6f}")
    assert abs(lost) < 2e-3


def test_the_rest_is_at_the_tangent_and_below_it_elsewhere():
    """Of the sum over the other classes the tangent is exact where all answers count alike and together 1."""
    first, views, labels = imagenet_like(50, 200, 2)
    logs, first_logs = np.log(views), np.log(first)
    few = keep_classes(Classes(first, first_logs, views, logs, labels), 10)
    for beta, gammas in ((1 / 3, [1 / 3, 1 / 3]), (1.0, [0.0, 0.0]), (0.5, [1.0, 0.2]), (0.2, [0.1, 0.1])):
        logits = beta * first_logs + np.einsum("v,nvc->nc", gammas, logs)
        total = np.exp(logits).sum(1)
        reduced = beta * few.first_logs + np.einsum("v,nvc->nc", gammas, few.logs)
        rest = np.log(total - np.exp(reduced[:, :-1]).sum(1))
        tangent = reduced[:, -1] + few.spread[:, 0]
        assert (tangent <= rest + 1e-3).all()
        if beta == 1 / 3:
            np.testing.assert_allclose(tangent, rest, atol=2e-3)


def test_few_numbers_keep_all_classes():
    answers = drawn(30, 50, (1.0,))
    assert read_answers(frame_of(answers), recipe_of(answers)).spread is None
