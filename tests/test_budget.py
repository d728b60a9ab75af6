"""Score-CAM with a budget of masks: what is asked about and what is estimated, by dense matrices and by hand."""

import math

import pytest
import torch
from conftest import ROOT, Counter, images, make_tiny_net
from torch import nn

from maskcorrect_adapters.budget import budgeted_scores
from maskcorrect_adapters.kriging import NUGGET
from maskcorrect_adapters.native import NativeBackend
from maskcorrect_adapters.passes import live_channels
from maskcorrect_adapters.presets import PRESETS
from maskcorrect_plugin import ProbabilityCorrector, ScoreCAM, create_attribution, load_model
from maskcorrect_plugin.images import find_images, load_batch
from maskcorrect_plugin.testing import iter_checks

LIVE = 5
"""Live channels of the tiny network, of six."""


def activations_of(*channels):
    """One image with these channels, each one row of pixels."""
    return torch.tensor(channels)[None, :, None, :]


def random_activations(count=2, channels=12, seed=3):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand(count, channels, 1, 1, generator=generator) * 5
    return torch.randn(count, channels, 4, 5, generator=generator).relu() * scale


class Asked:
    """Answers with scores from a table, and remembers what was asked."""

    def __init__(self, scores):
        self.table = scores
        self.rounds = []

    def __call__(self, asked):
        self.rounds.append(asked)
        return torch.where(asked.unsqueeze(2), self.table, 0)

    @property
    def asked(self):
        """All rounds together, each channel at most once."""
        counts = torch.stack(self.rounds).sum(dim=0)
        assert counts.max() <= 1
        return counts == 1


def budgeted(activations, scores, max_masks, roots=False):
    """The scores, and which channels were asked about."""
    ask = Asked(scores)
    extended = budgeted_scores(ask, activations, live_channels(activations), max_masks, roots=roots)
    assert torch.equal(extended[ask.asked], scores[ask.asked])
    return extended, ask.asked


def random_scores(activations, top_k=3, seed=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*activations.shape[:2], top_k, generator=generator)


def candidates_for(inputs, *classes):
    return torch.tensor([classes] * len(inputs), device=inputs.device)


# The method


def test_a_case_computed_by_hand():
    """Masks (1,0), (0,1), (1,0): the first channel has most energy; its twin scores alike, the other one less so."""
    activations = activations_of([3.0, 0.0], [0.0, 2.0], [1.0, 0.0])
    scores = torch.tensor([[[0.36], [0.5], [0.5]]])
    variance = 2 + NUGGET  # |H| = 1, level = 1
    other = ((1 + 1 - math.sqrt(2)) / 2 + 1) / variance
    twin = 2 / variance
    linear, asked = budgeted(activations, scores, 1)
    assert asked.tolist() == [[True, False, False]]
    torch.testing.assert_close(linear.flatten(), torch.tensor([0.36, 0.36 * other, 0.36 * twin]))
    roots, _ = budgeted(activations, scores, 1, roots=True)
    torch.testing.assert_close(roots.flatten(), torch.tensor([0.36, (0.6 * other) ** 2, (0.6 * twin) ** 2]))


def test_a_twin_is_not_asked_about_while_there_is_anything_else_to_learn():
    activations = activations_of([3.0, 0.0], [0.0, 0.5], [2.9, 0.0])
    _, asked = budgeted(activations, random_scores(activations), 2)
    assert asked.tolist() == [[True, True, False]]


class DenseKriging:
    """One image in float64, by dense matrices: masks (C,d), channels (C,d)."""

    def __init__(self, channels):
        self.channels = channels
        low, high = channels.amin(1, keepdim=True), channels.amax(1, keepdim=True)
        masks = (channels - low) / (high - low)
        norms = masks.norm(dim=1)
        distances = (masks[:, None] - masks[None]).norm(dim=2)
        self.kernel = (norms[:, None] + norms[None] - distances) / 2 + norms.mean()
        self.nugget = NUGGET * norms.mean()
        self.asked = []

    def weights(self):
        known = self.kernel[self.asked][:, self.asked]
        return self.kernel[:, self.asked] @ torch.linalg.inv(known + self.nugget * torch.eye(len(self.asked)))

    def variance(self):
        if not self.asked:
            return self.kernel.diagonal()
        return self.kernel.diagonal() - (self.weights() * self.kernel[:, self.asked]).sum(dim=1)

    def ask(self, count, error):
        for _ in range(count):
            gain = error(self.variance())
            gain[self.asked] = -1
            self.asked.append(int(gain.argmax()))

    def relative_error(self, known):
        """The error of all maps, each relative to its own map, that is to be expected from variances."""
        means = (self.weights() @ known[self.asked]).clamp_min(0) ** 2
        matrix = self.kernel[self.asked][:, self.asked] + self.nugget * torch.eye(len(self.asked))
        factor = torch.stack([column @ torch.linalg.inv(matrix) @ column for column in known[self.asked].T])
        factor = factor / len(self.asked)
        energies = torch.einsum("ck,cd->kd", means, self.channels).square().sum(dim=1)

        def error(variance):
            spread = variance[:, None] * factor
            squares = (4 * means * spread + 2 * spread**2) / energies
            return self.channels.square().sum(dim=1) * squares.sum(dim=1)

        return error


def dense_estimate(channels, scores, count, roots):
    """Scores (C,K) and the channels asked about."""
    dense = DenseKriging(channels)
    known = scores.sqrt() if roots else scores
    rounds = 4 if roots else 1
    dense.ask(count // rounds, lambda variance: channels.square().sum(dim=1) * variance)
    for _ in range(rounds - 1):
        dense.ask(count // rounds, dense.relative_error(known))
    estimates = dense.weights() @ known[dense.asked]
    estimates = estimates.clamp_min(0) ** 2 if roots else estimates
    estimates[dense.asked] = scores[dense.asked]
    return estimates, sorted(dense.asked)


@pytest.mark.parametrize("roots", [True, False])
def test_equals_kriging_by_dense_matrices(device, roots):
    """With roots in four rounds, the last three of which go by how unsure the maps are."""
    activations = random_activations()
    scores = random_scores(activations) ** 3
    extended, asked = budgeted(activations.to(device), scores.to(device), 8, roots)
    for row, channels in enumerate(activations.double().flatten(2)):
        expected, chosen = dense_estimate(channels, scores[row].double(), 8, roots)
        assert asked[row].nonzero().flatten().tolist() == chosen
        torch.testing.assert_close(extended[row].cpu().double(), expected, rtol=0, atol=1e-5)


def test_scores_that_are_no_probabilities_may_be_negative():
    activations = random_activations()
    scores = random_scores(activations) - 0.5
    torch.testing.assert_close(budgeted(activations, -scores, 4)[0], -budgeted(activations, scores, 4)[0])


@pytest.mark.parametrize("scale", [1e-12, 1e-30])
def test_improbable_classes_are_estimated_as_well_as_probable_ones(scale):
    activations = random_activations()
    scores = random_scores(activations)
    expected, asked = budgeted(activations, scores, 8, roots=True)
    estimated, asked_of_small = budgeted(activations, scores * scale, 8, roots=True)
    assert torch.equal(asked, asked_of_small)
    torch.testing.assert_close(estimated / scale, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("roots", [True, False])
def test_a_class_that_never_scores_does_not_disturb_the_others(roots):
    activations = random_activations()
    scores = random_scores(activations)
    expected, asked = budgeted(activations, scores, 8, roots)
    with_zero, asked_with_zero = budgeted(
        activations, torch.cat([scores, torch.zeros_like(scores[..., :1])], dim=2), 8, roots
    )
    assert torch.equal(asked, asked_with_zero)
    torch.testing.assert_close(with_zero[..., :-1], expected)
    assert (with_zero[..., -1] == 0).all()


@pytest.mark.parametrize(("max_masks", "sizes"), [(1, [1]), (3, [1, 1, 1]), (8, [2, 2, 2, 2]), (10, [2, 3, 2, 3])])
def test_probabilities_are_asked_for_in_four_rounds(max_masks, sizes):
    activations = random_activations(count=1)
    for roots, expected in ((True, sizes), (False, [max_masks])):
        ask = Asked(random_scores(activations))
        budgeted_scores(ask, activations, live_channels(activations), max_masks, roots=roots)
        assert [int(asked.sum()) for asked in ask.rounds] == expected


@pytest.mark.parametrize("roots", [True, False])
def test_dead_channels_change_nothing(roots):
    activations = random_activations()
    with_dead = torch.cat([torch.full((2, 3, 4, 5), 0.7), activations], dim=1)
    scores = random_scores(activations)
    alone, asked = budgeted(activations, scores, 8, roots)
    together, asked_of_all = budgeted(with_dead, torch.cat([torch.zeros(2, 3, 3), scores], dim=1), 8, roots)
    assert torch.equal(asked_of_all[:, 3:], asked) and not asked_of_all[:, :3].any()
    torch.testing.assert_close(together[:, 3:], alone)
    assert (together[:, :3] == 0).all()


@pytest.mark.parametrize("roots", [True, False])
def test_an_image_with_few_live_channels_beside_one_with_many(roots):
    activations = random_activations(count=3)
    activations[0, 2:] = 0
    activations[1] = 0
    scores = torch.where(live_channels(activations).unsqueeze(2), random_scores(activations), 0)
    extended, asked = budgeted(activations, scores, 5, roots)
    assert asked.sum(dim=1).tolist() == [2, 0, 5]
    assert torch.equal(extended[:2], scores[:2]) and torch.isfinite(extended).all()
    alone, asked_alone = budgeted(activations[2:], scores[2:], 5, roots)
    assert torch.equal(asked_alone, asked[2:])
    torch.testing.assert_close(alone, extended[2:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_feature_maps_are_compared_in_float32(dtype):
    activations = random_activations().mul(100).to(dtype)  # squares beyond float16
    scores = random_scores(activations)
    (extended, asked), (expected, asked_in_float32) = (
        budgeted(maps, scores, 8, roots=True) for maps in (activations, activations.float())
    )
    assert torch.equal(asked, asked_in_float32) and torch.equal(extended, expected)
    assert torch.isfinite(extended).all()


# In Score-CAM


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("max_masks", [LIVE, 6, 100])
def test_a_budget_for_all_live_channels_is_exact_bit_for_bit(tiny_net, tiny_images, preset, max_masks):
    exact, budgeted = (
        create_attribution("ScoreCAM", tiny_net, "act", preset=preset, **options).attribute(tiny_images, 2)
        for options in ({}, {"max_masks": max_masks})
    )
    assert torch.equal(exact, budgeted)


@pytest.mark.parametrize(("preset", "for_dead"), [("official", 0), ("grad_cam", 1)])
def test_forwards_are_the_budget(tiny_net, tiny_images, preset, for_dead):
    counter = Counter(tiny_net)
    result = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2, preset=preset, max_masks=3).correct(tiny_images)
    assert result.forwards.tolist() == [1 + 3 + for_dead + 2] * 3
    assert counter.inputs == 3 * (1 + 3 + for_dead + 2)


def many_channels():
    """A network with 64 channels at its target layer, and images for it."""
    return make_tiny_net(channels=64, dead=False), images(count=6, size=(32, 40))


@pytest.mark.parametrize("preset", list(PRESETS))
def test_one_image_does_not_depend_on_its_batch(device, preset):
    net, inputs = many_channels()
    net, inputs = net.to(device), inputs.to(device)
    method = create_attribution("ScoreCAM", net, "act", preset=preset, max_masks=10)
    together = method.attribute_candidates(inputs, candidates_for(inputs, 0, 2))
    for row in range(len(inputs)):
        alone = method.attribute_candidates(inputs[row : row + 1], candidates_for(inputs[:1], 0, 2))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def correlations(maps, others):
    """Pearson's, of each map with its counterpart."""
    maps, others = (values.flatten(2) - values.flatten(2).mean(dim=2, keepdim=True) for values in (maps, others))
    return (maps * others).sum(2) / (maps.norm(dim=2) * others.norm(dim=2))


def test_more_masks_come_closer_and_leaving_channels_out_is_worse():
    net, inputs = many_channels()
    candidates = candidates_for(inputs, 0, 2, 4)
    exact = create_attribution("ScoreCAM", net, "act").attribute_candidates(inputs, candidates)
    close = [
        correlations(
            create_attribution("ScoreCAM", net, "act", max_masks=budget).attribute_candidates(inputs, candidates), exact
        ).mean()
        for budget in (4, 16, 48)
    ]
    assert close[0] < close[1] < close[2] and close[2] > 0.999

    with torch.no_grad(), net.act.register_forward_hook(lambda m, i, o: keep_most_energy(o, 16)):
        left_out = create_attribution("ScoreCAM", net, "act").attribute_candidates(inputs, candidates)
    assert correlations(left_out, exact).mean() < close[1]


def keep_most_energy(activations, count):
    """All other channels are zero: what a budget does that only leaves channels out."""
    least = activations.sum((-2, -1)).topk(count).values[:, -1, None, None, None]
    return activations * (activations.sum((-2, -1), keepdim=True) >= least)


def test_captum_class_and_method_agree_and_say_so(tiny_net, tiny_images):
    cam = ScoreCAM(tiny_net, tiny_net.act, max_masks=3)
    method = create_attribution("ScoreCAM", tiny_net, "act", max_masks=3)
    adopted = create_attribution(cam, tiny_net)
    assert adopted.settings == method.settings and method.settings["max_masks"] == 3
    expected = cam.attribute(tiny_images, 1)
    assert torch.equal(method.attribute(tiny_images, 1), expected)
    assert torch.equal(adopted.attribute(tiny_images, 1), expected)


def test_a_model_with_a_single_score(tiny_net, tiny_images):
    class Negative(nn.Module):
        def forward(self, scores):
            return -scores[:, 1:2].exp()

    net = nn.Sequential(tiny_net, Negative())
    maps = ScoreCAM(net, tiny_net.act, max_masks=LIVE).attribute(tiny_images)
    assert torch.equal(maps, ScoreCAM(net, tiny_net.act).attribute(tiny_images))
    assert torch.isfinite(ScoreCAM(net, tiny_net.act, max_masks=2).attribute(tiny_images)).all()


@pytest.mark.parametrize(
    ("max_masks", "message"),
    [(0, "at least 1, got 0"), (-3, "at least 1"), (2.5, "must be an integer"), (True, "must be an integer")],
)
def test_wrong_budgets_are_refused(tiny_net, max_masks, message):
    for make in (
        lambda: ScoreCAM(tiny_net, tiny_net.act, max_masks=max_masks),
        lambda: create_attribution("ScoreCAM", tiny_net, "act", max_masks=max_masks),
    ):
        with pytest.raises((ValueError, TypeError), match=f"max_masks must be .*{message.removeprefix('must be ')}"):
            make()


@pytest.mark.parametrize(
    ("name", "check"), iter_checks(NativeBackend(), ["ScoreCAM"], options={"ScoreCAM": {"max_masks": 3}})
)
def test_the_contract_holds_with_a_budget(name, check):
    check()


def test_a_quarter_of_the_channels_is_close_to_all_on_a_real_network(real_folder, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    loaded = load_model("cifar_resnet20:resnet20", weights=real_folder / "weights" / "cifar10_resnet20.pt")
    inputs = load_batch(find_images(real_folder / "cifar10")[::250], loaded.transform).inputs
    exact, budgeted = (
        ProbabilityCorrector(loaded.model, "ScoreCAM", **options).correct(inputs, keep=("attributions",))
        for options in ({}, {"max_masks": 16})
    )
    assert exact.forwards.float().mean() > 1.5 * budgeted.forwards.float().mean()
    assert correlations(budgeted.attributions, exact.attributions)[:, 0].mean() > 0.9
    assert torch.equal(budgeted.corrected_prediction, exact.corrected_prediction)
