"""Both pools: by hand, by identities, and against an independent float64 loop over several views at once."""

import copy
import math

import pytest
import reference
import torch
from conftest import images, make_tiny_net
from core_data import FixedMaps, answers
from hypothesis import given, settings
from hypothesis import strategies as st

from maskcorrect_plugin import functional
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.views import View

Y = torch.tensor([[0.6, 0.3, 0.1]])
P = torch.tensor([[[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]]])


class Scaled(View):
    """Several fixed pictures of an image: brighter and brighter ones."""

    guided = False

    def __init__(self, *factors):
        self.factors = factors

    @property
    def views_per_image(self):
        return len(self.factors)

    def show(self, images, maps=None, prepared=None):
        from maskcorrect_plugin.views import Shown

        factors = images.inputs.new_tensor(self.factors)
        return Shown(
            len(self.factors), make=lambda rows, numbers: images.inputs[rows] * factors[numbers, None, None, None]
        )


def test_the_sum_by_hand():
    """R = .5 P_1 + 2 P_2 = (1.1, .85, .55); Y + R = (1.7, 1.15, .65), whose sum is 3.5."""
    correction = functional.correction_term(torch.tensor([[0.5, 2.0]]), P)
    torch.testing.assert_close(correction, torch.tensor([[1.1, 0.85, 0.55]]))
    expected = torch.tensor([[1.7, 1.15, 0.65]]) / 3.5
    torch.testing.assert_close(functional.apply_correction(Y, correction), expected)


def test_the_log_pool_by_hand():
    """Y P_1^.5 P_2^2: (.6 sqrt(.2) .25, .3 sqrt(.7) .0625, .1 sqrt(.1) .0625), made a distribution."""
    correction = functional.correction_term(torch.tensor([[0.5, 2.0]]), P, pool="log")
    products = [0.6 * math.sqrt(0.2) * 0.25, 0.3 * math.sqrt(0.7) * 0.0625, 0.1 * math.sqrt(0.1) * 0.0625]
    expected = torch.tensor([[product / sum(products) for product in products]])
    torch.testing.assert_close(functional.apply_correction(Y, correction, pool="log"), expected)


def test_shares_of_candidates_by_hand():
    weights = torch.tensor([[0.6, 0.2]])
    assert torch.equal(functional.view_shares(weights), weights)
    torch.testing.assert_close(functional.view_shares(weights, "log"), torch.tensor([[0.75, 0.25]]))
    assert torch.equal(functional.view_shares(torch.zeros(1, 2), "log"), torch.zeros(1, 2))


@pytest.mark.parametrize("pool", functional.POOLS)
def test_the_temperature_by_hand(pool):
    """T = 2 takes square roots: of (.64, .32, .04), .8, .5657 and .2."""
    zero = torch.zeros(1, 3)
    given_probs = torch.tensor([[0.64, 0.32, 0.04]])
    roots = torch.tensor([[0.8, math.sqrt(0.32), 0.2]])
    found = functional.apply_correction(given_probs, zero, pool, temperature=2)
    torch.testing.assert_close(found, roots / roots.sum())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    pool=st.sampled_from(functional.POOLS),
    temperature=st.floats(0.2, 5),
    classes=st.integers(2, 8),
    views=st.integers(0, 4),
)
def test_results_are_distributions_and_the_temperature_keeps_their_order(seed, pool, temperature, classes, views):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.randn(3, classes, generator=generator, dtype=torch.float64).softmax(-1)
    second = torch.randn(3, views, classes, generator=generator, dtype=torch.float64).softmax(-1)
    weights = torch.rand(3, views, generator=generator, dtype=torch.float64)
    correction = functional.correction_term(weights, second, pool=pool)
    plain = functional.apply_correction(probs, correction, pool)
    warm = functional.apply_correction(probs, correction, pool, temperature)
    torch.testing.assert_close(plain.sum(-1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(warm.sum(-1), torch.ones(3, dtype=torch.float64))
    assert torch.equal(plain.argsort(-1), warm.argsort(-1))
    if views == 0:
        torch.testing.assert_close(plain, probs)


def test_zero_probabilities_stay_finite_in_the_log_pool():
    correction = functional.correction_term(torch.ones(1, 1), torch.tensor([[[1.0, 0.0]]]), pool="log")
    found = functional.apply_correction(torch.tensor([[0.0, 1.0]]), correction, "log")
    assert torch.isfinite(found).all() and found.sum() == 1


@pytest.mark.parametrize("pool", functional.POOLS)
@pytest.mark.parametrize("view_weights", [(0, 0), (0, 0.0)])
def test_weights_of_zero_are_the_identity_and_cost_nothing(tiny_net, tiny_images, pool, view_weights):
    corrector = ProbabilityCorrector(tiny_net, views=("hflip", "mask"), view_weights=view_weights, pool=pool)
    result = corrector.correct(tiny_images)
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-7)
    assert result.forwards.tolist() == [1, 1, 1] and corrector.method is None


def test_a_view_of_the_unchanged_image_is_the_identity_of_the_sum_and_squares_in_the_log_pool(tiny_net, tiny_images):
    same = ProbabilityCorrector(tiny_net, views=Scaled(1.0)).correct(tiny_images)
    torch.testing.assert_close(same.corrected_probs, same.probs, rtol=0, atol=1e-6)
    again = ProbabilityCorrector(tiny_net, views=Scaled(1.0), pool="log").correct(tiny_images)
    squares = same.probs**2
    torch.testing.assert_close(again.corrected_probs, squares / squares.sum(-1, keepdim=True), rtol=0, atol=1e-6)
    back = ProbabilityCorrector(tiny_net, views=Scaled(1.0), pool="log", temperature=2).correct(tiny_images)
    torch.testing.assert_close(back.corrected_probs, back.probs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", functional.POOLS)
def test_several_pictures_of_a_view_count_with_their_mean(tiny_net, tiny_images, pool):
    corrector = ProbabilityCorrector(tiny_net, views=Scaled(0.5, 1.5, 2.0), view_weights=(3,), pool=pool)
    result = corrector.correct(tiny_images, keep=("view_probs",))
    each = torch.stack([answers(tiny_net, factor * tiny_images) for factor in (0.5, 1.5, 2.0)], dim=1)
    torch.testing.assert_close(result.view_probs, each, rtol=0, atol=1e-6)
    expected = 3 * (each.mean(dim=1) if pool == "sum" else each.log().mean(dim=1))
    torch.testing.assert_close(result.correction, expected, rtol=0, atol=1e-5)
    assert torch.equal(result.weights, torch.ones_like(result.weights))


def test_a_temperature_changes_probabilities_and_no_answer(tiny_net, tiny_images):
    plain = ProbabilityCorrector(tiny_net, "CAM", "act").correct(tiny_images)
    warm = ProbabilityCorrector(tiny_net, "CAM", "act", temperature=3).correct(tiny_images)
    assert torch.equal(plain.correction, warm.correction)
    assert torch.equal(plain.corrected_prediction, warm.corrected_prediction)
    roots = plain.corrected_probs ** (1 / 3)
    torch.testing.assert_close(warm.corrected_probs, roots / roots.sum(-1, keepdim=True), rtol=0, atol=1e-6)


def box_of(attribution, threshold, margin):
    """(left, top, right, bottom) in plain Python."""
    occupied = [
        (y, x) for y, row in enumerate(attribution.tolist()) for x, value in enumerate(row) if value > threshold
    ]
    spans = []
    for axis, length in ((1, attribution.shape[1]), (0, attribution.shape[0])):
        low, high = min(place[axis] for place in occupied), max(place[axis] for place in occupied) + 1
        pad = round(margin * (high - low))
        spans.append((max(0, low - pad), min(length, high + pad)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def cropped(image, box):
    left, top, right, bottom = box
    part = image[:, top:bottom, left:right]
    return torch.stack([reference.bilinear(channel, image.shape[-2:]) for channel in part])


@pytest.mark.parametrize("pool", functional.POOLS)
@pytest.mark.parametrize("candidate_weights", functional.WEIGHTS)
def test_equals_the_float64_loop_over_several_views(device, pool, candidate_weights):
    """Masks of the candidates, a crop by their merged map, and a flip, with weights 0.5, 2 and 0.25."""
    net, inputs, top_k, factors = make_tiny_net(), images(), 3, (0.5, 2.0, 0.25)
    exact = copy.deepcopy(net).double()
    corrector = ProbabilityCorrector(
        net.to(device),
        "ScoreCAM",
        "act",
        top_k=top_k,
        views=("mask[threshold=0.2]", "crop[threshold=0.4,margin=0.25,map=merged]", "hflip"),
        view_weights=factors,
        candidate_weights=candidate_weights,
        pool=pool,
        batch_size=4,
    )
    result = corrector.correct(inputs.to(device)).to("cpu")
    for row, image in enumerate(inputs.double()):
        probs = answers(exact, image[None])[0]
        candidates = probs.sort(descending=True).indices[:top_k].tolist()
        weights = [float(probs[c]) if candidate_weights == "probs" else 1 / top_k for c in candidates]
        maps = [reference.score_cam(exact, exact.act, image, target) for target in candidates]
        usable = [(w, m) for w, m in zip(weights, maps, strict=True) if m is not None]
        merged = reference.minmax(sum(weight * attribution for weight, attribution in usable))
        shown = [
            image if m is None else image * torch.where(m <= 0.2, torch.zeros_like(m), m) for m in maps
        ] + [cropped(image, box_of(merged, 0.4, 0.25)), image.flip(-1)]  # fmt: skip
        again = answers(exact, torch.stack(shown))
        total = sum(weights) if pool == "log" else 1
        shares = [factors[0] * weight / total for weight in weights] + [factors[1], factors[2]]
        if pool == "sum":
            scores = probs + sum(share * answer for share, answer in zip(shares, again, strict=True))
        else:
            scores = probs * math.prod(answer**share for share, answer in zip(shares, again, strict=True))
        torch.testing.assert_close(result.corrected_probs[row].double(), scores / scores.sum(), rtol=0, atol=1e-5)


def test_the_paper_is_bit_for_bit_the_arithmetic_of_its_packing(tiny_net, tiny_images):
    """Each image's candidates one after the other, all images' in batches of four, their weighted sum."""
    maps = torch.rand(3, 5, 16, 20, generator=torch.Generator().manual_seed(5)).to(tiny_images.device)
    corrector = ProbabilityCorrector(
        tiny_net, FixedMaps(tiny_net, maps), top_k=3, threshold=0.3, batch_size=4, channels_last=False
    )
    result = corrector.correct(tiny_images)
    with torch.no_grad():
        probs = tiny_net(tiny_images).softmax(-1)
        candidates = torch.sort(probs, dim=-1, descending=True, stable=True).indices[:, :3]
        chosen = maps[torch.arange(3)[:, None], candidates]
        masks = torch.where(chosen > 0.3, chosen, 0)
        shown = (tiny_images[:, None] * masks[:, :, None]).flatten(0, 1)
        scores = torch.cat([tiny_net(shown[start : start + 4]) for start in range(0, 9, 4)])
        again = scores.softmax(-1).reshape(3, 3, 5)
        correction = torch.einsum("nk,nkm->nm", probs.gather(1, candidates), again)
    assert torch.equal(result.probs, probs) and torch.equal(result.candidates, candidates)
    assert torch.equal(result.correction, correction)
    assert torch.equal(result.corrected_probs, (probs + correction) / (probs + correction).sum(-1, keepdim=True))


def test_columns_say_whose_the_answers_and_weights_are(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(
        tiny_net, "CAM", "act", top_k=2, views=("hflip", "mask", Scaled(2, 3)), view_weights=(2, 0.5, 4)
    )
    result = corrector.correct(tiny_images, keep=("view_probs",))
    assert [result.columns_of(view) for view in range(3)] == [slice(0, 1), slice(1, 3), slice(3, 5)]
    assert corrector.num_views == result.weights.shape[1] == 5
    torch.testing.assert_close(result.weights[:, 1:3], 0.5 * result.probs.sort(-1, descending=True).values[:, :2])
    assert result.weights[:, 0].eq(2).all() and result.weights[:, 3:].eq(2).all()
    torch.testing.assert_close(result.view_probs[:, 0], answers(tiny_net, tiny_images.flip(-1)), rtol=0, atol=1e-6)
    torch.testing.assert_close(functional.correction_term(result.weights, result.view_probs), result.correction)
