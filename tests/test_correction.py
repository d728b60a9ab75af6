"""The corrector: against the float64 loop, by identities, by counted forwards, and by what it leaves behind."""

import copy
import dataclasses

import pytest
import reference
import torch
from conftest import Counter, images, make_tiny_net
from core_data import MEAN, STD, FixedMaps
from torch import nn

from maskcorrect_plugin import functional
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models.preprocessing import Preprocessing
from maskcorrect_plugin.registry import create_attribution, get_backend, is_installed
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.views import CropView, ImageBatch


def fixed(net, inputs, fill):
    return FixedMaps(net, fill * torch.ones(len(inputs), 5, *inputs.shape[-2:], device=inputs.device))


@pytest.mark.parametrize("top_k", [1, 3, 5])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.6])
def test_equals_the_float64_loop(device, top_k, threshold):
    net = make_tiny_net()
    inputs = images()
    exact = copy.deepcopy(net).double()
    corrector = ProbabilityCorrector(net.to(device), "ScoreCAM", "act", top_k=top_k, threshold=threshold, batch_size=7)
    result = corrector.correct(inputs.to(device)).to("cpu")
    for row, image in enumerate(inputs.double()):
        with torch.no_grad():
            probs = exact(image[None]).softmax(-1)[0]
        candidates = probs.sort(descending=True).indices[:top_k].tolist()
        assert result.candidates[row].tolist() == candidates
        maps = [reference.score_cam(exact, exact.act, image, target) for target in candidates]
        correction, corrected = reference.correct(exact, image, maps, candidates, probs, threshold)
        torch.testing.assert_close(result.correction[row].double(), correction, rtol=0, atol=1e-5)
        torch.testing.assert_close(result.corrected_probs[row].double(), corrected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, float("nan")])
def test_maps_without_information_change_nothing_and_are_flagged(tiny_net, tiny_images, fill):
    """A map of ones returns Y; so does any other constant map, and NaN, because the mask of a flat map is neutral."""
    result = ProbabilityCorrector(tiny_net, fixed(tiny_net, tiny_images, fill)).correct(tiny_images)
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)
    assert result.flat.all() and not result.changed.any()


def test_rows_are_distributions_and_argmax_is_that_of_the_scores(tiny_net, tiny_images):
    result = ProbabilityCorrector(tiny_net, "ScoreCAM", "act").correct(tiny_images)
    torch.testing.assert_close(result.corrected_probs.sum(-1), torch.ones(3, device=tiny_images.device))
    scores = result.probs + result.correction
    torch.testing.assert_close(result.corrected_probs, scores / (1 + result.probs.sum(-1, keepdim=True)))
    assert torch.equal(result.corrected_prediction, scores.argmax(-1))
    assert torch.equal(result.changed, result.prediction != result.corrected_prediction)


@pytest.mark.parametrize("method", ["ScoreCAM", "CAM"])
@pytest.mark.parametrize("view", ["mask", "crop"])
def test_one_image_does_not_depend_on_its_batch(tiny_net, tiny_images, method, view):
    corrector = ProbabilityCorrector(tiny_net, method, "act", top_k=3, view=view, batch_size=4)
    together = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    order = torch.tensor([2, 0, 1, 1])
    shuffled = corrector.correct(tiny_images[order], keep=("attributions", "view_probs"))
    for name in ("probs", "correction", "corrected_probs", "gap", "attributions", "view_probs"):
        torch.testing.assert_close(getattr(shuffled, name), getattr(together, name)[order], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("method", "live"), [("ScoreCAM", 5), ("CAM", 0)])
@pytest.mark.parametrize("top_k", [1, 5])
def test_forwards_are_one_plus_live_channels_plus_candidates(tiny_net, tiny_images, method, live, top_k):
    corrector = ProbabilityCorrector(tiny_net, method, "act", top_k=top_k)
    counter = Counter(tiny_net)
    corrector.correct(tiny_images)
    assert counter.inputs == len(tiny_images) * (1 + live + top_k)


def test_finding_the_layer_costs_one_forward_of_one_image_once(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "CAM", top_k=2)
    counter = Counter(tiny_net)
    corrector.correct(tiny_images)
    assert counter.inputs == 1 + 3 * (1 + 2) and corrector.settings["target_layer"] == "act"
    counter.reset()
    corrector.correct(tiny_images)
    assert counter.inputs == 3 * (1 + 2)


def test_max_gap_passes_confident_images_unchanged_at_the_price_of_one_forward(tiny_net, tiny_images):
    everything = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2).correct(tiny_images)
    bound = everything.gap.sort().values[1].item()  # strictly below: exactly one image
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2, max_gap=bound)
    counter = Counter(tiny_net)
    result = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    assert counter.inputs == 3 + 5 + 2
    assert torch.equal(result.corrected, everything.gap < bound) and result.corrected.sum() == 1
    torch.testing.assert_close(
        result.corrected_probs, torch.where(result.corrected[:, None], everything.corrected_probs, everything.probs)
    )
    left = ~result.corrected
    assert torch.equal(result.corrected_probs[left], result.probs[left])
    assert not result.correction[left].any() and not result.attributions[left].any() and not result.changed[left].any()


def test_max_gap_zero_corrects_nothing(tiny_net, tiny_images):
    result = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2, max_gap=0).correct(tiny_images)
    assert not result.corrected.any() and torch.equal(result.corrected_probs, result.probs)


def test_blocks_of_candidates_give_the_same_as_all_at_once(tiny_net, tiny_images, monkeypatch):
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", batch_size=4)
    at_once = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    monkeypatch.setattr("maskcorrect_plugin.correction.MAPS_AT_ONCE", 6)  # two candidates of three images
    counter = Counter(tiny_net)
    in_blocks = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    assert counter.inputs == 3 * (1 + 5 + 5)  # the masked passes are not repeated per block
    for name in ("correction", "corrected_probs", "attributions", "view_probs"):
        torch.testing.assert_close(getattr(in_blocks, name), getattr(at_once, name), rtol=0, atol=1e-5)


def test_kept_parts_are_those_of_the_formula(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=4, threshold=0.3)
    result = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    masks = torch.where(result.attributions > 0.3, result.attributions, 0)
    with torch.no_grad():
        again = tiny_net((tiny_images[:, None] * masks[:, :, None]).flatten(0, 1)).softmax(-1).reshape(3, 4, 5)
    torch.testing.assert_close(result.view_probs, again, rtol=0, atol=1e-5)
    weights = result.probs.gather(1, result.candidates)
    torch.testing.assert_close(result.correction, (weights[..., None] * again).sum(1), rtol=0, atol=1e-5)
    plain = corrector.correct(tiny_images)
    assert plain.attributions is None and plain.view_probs is None
    torch.testing.assert_close(plain.corrected_probs, result.corrected_probs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("vote", ["distribution", "diagonal"])
@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_vote_and_weights(tiny_net, tiny_images, vote, weights):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=3, vote=vote, candidate_weights=weights)
    result = corrector.correct(tiny_images, keep=("view_probs",))
    factor = (
        result.probs.gather(1, result.candidates) if weights == "probs" else torch.full_like(result.gap, 1 / 3)[:, None]
    )
    expected = torch.zeros_like(result.probs)
    for k in range(3):
        for row in range(3):
            share = result.view_probs[row, k].clone()
            if vote == "diagonal":
                own = result.candidates[row, k]
                share = torch.zeros_like(share).index_fill(0, own, share[own].item())
            expected[row] += factor.expand(3, 3)[row, k] * share
    torch.testing.assert_close(result.correction, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("fill", ["mean", "blur", "black", torch.full((1, 3, 1, 1), 0.3), torch.rand(3, 16, 20)])
def test_fills_reach_the_network(tiny_net, tiny_images, fill):
    norm = Preprocessing(torch.nn.Identity(), MEAN, STD)
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=2, fill=fill, preprocessing=norm)
    result = corrector.correct(tiny_images, keep=("attributions", "view_probs"))
    ((view, _),) = corrector.views
    background = view.prepare(ImageBatch(tiny_images, preprocessing=norm)).expand(3, -1, -1, -1)
    shown = view.render(tiny_images[[1]], result.attributions[1, :1], background[[1]])
    with torch.no_grad():
        torch.testing.assert_close(tiny_net(shown).softmax(-1)[0], result.view_probs[1, 0], rtol=0, atol=1e-5)
    zero = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=2).correct(tiny_images)
    assert not torch.allclose(zero.correction, result.correction, atol=1e-4)


def test_a_view_object_brings_its_own_settings(tiny_net, tiny_images):
    view = CropView(0.5, margin=0)
    by_object = ProbabilityCorrector(tiny_net, "CAM", "act", view=view)
    by_name = ProbabilityCorrector(tiny_net, "CAM", "act", view="crop", threshold=0.5)
    assert by_object.views == ((view, 1.0),)
    assert by_object.settings["views"] == ["crop[threshold=0.5,margin=0.0,map=candidates]"]
    assert not torch.equal(by_object.correct(tiny_images).correction, by_name.correct(tiny_images).correction)


def test_forward_is_the_log_of_the_corrected_probabilities_and_never_infinite(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act")
    expected = corrector.correct(tiny_images).corrected_probs
    torch.testing.assert_close(corrector(tiny_images).softmax(-1), expected, rtol=0, atol=1e-6)
    tiny_net.head.weight.data.mul_(1e4)  # some probabilities underflow to zero
    assert (corrector.correct(tiny_images).corrected_probs == 0).any()
    assert torch.isfinite(corrector(tiny_images)).all()


def test_it_is_a_module_around_the_model(tiny_net):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act")
    assert set(corrector.state_dict()) == {f"model.{name}" for name in tiny_net.state_dict()}
    assert corrector.double().model.head.weight.dtype == torch.float64
    assert corrector.correct(images().to(tiny_net.head.weight.device)).probs.dtype == torch.float64


def test_the_model_is_left_as_found_also_after_a_failing_forward(tiny_net, tiny_images):
    tiny_net.train()
    tiny_net.norm.eval()
    flags = [module.training for module in tiny_net.modules()]
    state = {name: value.clone() for name, value in tiny_net.state_dict().items()}
    random_state = torch.get_rng_state()
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", batch_size=4)
    corrector.correct(tiny_images)
    for failing in (1, 3, 6):  # in the first forward, in the passes, when asked again
        calls = []

        def fail(_module, _inputs, calls=calls, failing=failing):
            calls.append(1)
            if len(calls) == failing:
                raise KeyError("no")

        handle = tiny_net.register_forward_pre_hook(fail)
        with pytest.raises(KeyError):
            corrector.correct(tiny_images)
        handle.remove()
        assert len(calls) == failing
    assert [module.training for module in tiny_net.modules()] == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_net.modules())
    assert all(torch.equal(tiny_net.state_dict()[name], value) for name, value in state.items())
    assert torch.equal(torch.get_rng_state(), random_state) and torch.is_grad_enabled()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tiny_net.parameters())


def test_outputs_with_logits_and_models_with_probs(tiny_net, tiny_images):
    class HubStyle(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = tiny_net

        def forward(self, inputs):
            return type("Output", (), {"logits": self.net(inputs)})()

    expected = ProbabilityCorrector(tiny_net, "ScoreCAM", "act").correct(tiny_images).corrected_probs
    hub = ProbabilityCorrector(HubStyle(), "ScoreCAM", "net.act").correct(tiny_images).corrected_probs
    torch.testing.assert_close(hub, expected)
    softmax = nn.Sequential(tiny_net, nn.Softmax(-1))
    probs = ProbabilityCorrector(softmax, "ScoreCAM", "0.act", output="probs").correct(tiny_images).corrected_probs
    torch.testing.assert_close(probs, expected, rtol=0, atol=1e-6)


def test_out_of_memory_in_any_forward_changes_nothing_but_the_batch_size(tiny_net, tiny_images, caplog):
    expected = ProbabilityCorrector(tiny_net, "ScoreCAM", "act").correct(tiny_images).corrected_probs

    def limited(_module, args):
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = tiny_net.register_forward_pre_hook(limited)
    result = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", batch_size=8).correct(tiny_images)
    handle.remove()
    torch.testing.assert_close(result.corrected_probs, expected, rtol=0, atol=1e-5)
    assert len(caplog.records) == 1


def test_results_are_frozen_joinable_and_say_how_they_were_made(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2, preset="paper_v2")
    first, second = (corrector.correct(part) for part in (tiny_images[:2], tiny_images[2:]))
    joined = CorrectionResult.cat([first, second])
    assert len(joined) == 3 and torch.equal(joined.correction[2], second.correction[0])
    assert joined.settings["method_options"] == {"preset": "paper_v2", "max_masks": None}
    assert joined.settings["views"] == ["mask[threshold=0.1,fill=zero,map=candidates]"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        joined.probs = None
    with pytest.raises(ValueError, match="at least one"):
        CorrectionResult.cat([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"threshold": 1.0}, r"threshold must lie in \[0, 1\), got 1.0"),
        ({"threshold": -0.1}, "threshold"),
        ({"vote": "all"}, "vote must be one of"),
        ({"candidate_weights": "y"}, "candidate_weights must be one of"),
        ({"view": "zoomed"}, "view must be one of"),
        ({"fill": "white"}, "fill must be one of"),
        ({"max_gap": 1.5}, r"max_gap must lie in \[0, 1\]"),
        ({"output": "scores"}, "output must be one of"),
        ({"method": "ScoreCam"}, "unknown attribution method 'ScoreCam'; did you mean 'ScoreCAM'"),
        ({"target_layer": "acts"}, "target_layer 'acts' is not a module of TinyNet; did you mean 'act'"),
        ({"preset": "own"}, "preset must be one of 'official'"),
    ],
)
def test_wrong_settings_are_refused_before_any_forward(tiny_net, arguments, message):
    counter = Counter(tiny_net)
    with pytest.raises((ValueError, TypeError), match=message):
        ProbabilityCorrector(tiny_net, **arguments)
    assert counter.inputs == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.rand(3, 16, 16), r"four axes \(N,C,H,W\), got shape \(3, 16, 16\); add the batch axis"),
        (torch.rand(0, 3, 16, 16), "at least one image"),
        (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), "floating point"),
        (torch.full((2, 3, 16, 16), float("inf")), "NaN or infinite values were found in row 0, 1 of 2"),
        ("photo.jpg", "inputs must be a torch.Tensor"),
    ],
)
def test_wrong_inputs_are_refused_before_any_forward(tiny_net, inputs, message):
    counter = Counter(tiny_net)
    with pytest.raises((ValueError, TypeError), match=message):
        ProbabilityCorrector(tiny_net).correct(inputs)
    assert counter.inputs == 0


def test_more_candidates_than_classes_are_refused_after_one_forward(tiny_net, tiny_images):
    counter = Counter(tiny_net)
    with pytest.raises(ValueError, match="top_k must be from 1 to 5, got 6"):
        ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=6).correct(tiny_images)
    assert counter.inputs == 3


def test_keep_takes_known_names_only(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act")
    with pytest.raises(ValueError, match="keep must be one of 'attributions', 'view_probs', 'coarse_maps'; got 'maps'"):
        corrector.correct(tiny_images, keep=("maps",))
    with pytest.raises(TypeError, match="collection of names"):
        corrector.correct(tiny_images, keep="attributions")


def test_non_finite_outputs_are_refused(tiny_net, tiny_images):
    tiny_net.head.bias.data[2] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite values for 3 of 3 inputs"):
        ProbabilityCorrector(tiny_net, "CAM", "act").correct(tiny_images)


def test_a_method_of_another_model_is_refused(tiny_net):
    other = create_attribution("CAM", make_tiny_net(seed=5), "act")
    with pytest.raises(ValueError, match="bound to another one"):
        ProbabilityCorrector(tiny_net, other)


@pytest.mark.parametrize("vote", ["distribution", "diagonal"])
@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_what_is_kept_recomputes_the_correction(tiny_net, tiny_images, vote, weights):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=3, vote=vote, candidate_weights=weights, max_gap=0.5)
    result = corrector.correct(tiny_images, keep=("view_probs",))
    again = functional.correction_term(result.weights, result.view_probs, result.candidates, vote)
    torch.testing.assert_close(again, result.correction)
    expected = functional.candidate_weights(result.probs, result.candidates, weights) * result.corrected[:, None]
    torch.testing.assert_close(result.weights, expected)


@pytest.mark.parametrize("method", ["ScoreCAM", "CAM", "captum:Saliency"])
def test_coarse_maps_render_to_the_attributions(tiny_net, tiny_images, method):
    layer = None if ":" in method else "act"
    corrector = ProbabilityCorrector(tiny_net, method, layer, max_gap=0.6)
    result = corrector.correct(tiny_images, keep=("attributions", "coarse_maps"))
    rows = result.corrected
    maps = corrector.method.render(result.coarse_maps[rows], tiny_images.shape[-2:])
    torch.testing.assert_close(maps, result.attributions[rows])
    assert result.coarse_maps[~rows].isnan().all()


@pytest.mark.parametrize("method", ["ScoreCAM", "CAM", "captum:Saliency", "pytorch_grad_cam:GradCAM"])
@pytest.mark.parametrize("max_gap", [None, 0.6])
def test_the_forwards_of_each_image_are_those_that_it_costs_alone(tiny_net, tiny_images, method, max_gap):
    """Images differ in their live channels, and those that pass cost one forward."""
    if ":" in method and not is_installed(get_backend(method.partition(":")[0])):
        pytest.skip(f"{method} is not installed")
    layer = None if method.startswith("captum") else "act"
    corrector = ProbabilityCorrector(tiny_net, method, layer, max_gap=max_gap)
    tiny_images = torch.cat([tiny_images, torch.zeros_like(tiny_images[:1])])
    spent = corrector.correct(tiny_images).forwards
    counter = Counter(tiny_net)
    for row, image in enumerate(tiny_images):
        counter.reset()
        corrector.correct(image[None])
        assert counter.inputs == spent[row], row


def test_padding_for_the_compiler_is_not_counted(tiny_net, tiny_images, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", batch_size=7, compile=True)
    plain = ProbabilityCorrector(tiny_net, "ScoreCAM", "act")
    assert corrector.correct(tiny_images).forwards.tolist() == plain.correct(tiny_images).forwards.tolist()


def test_labels_and_ids_must_be_one_per_image(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act")
    with pytest.raises(ValueError, match=r"ids must hold one name per image \(3\), got 2"):
        corrector.correct(tiny_images, ids=["a", "b"])
    with pytest.raises(ValueError, match="labels must be an int or hold one class per image"):
        corrector.correct(tiny_images, labels=[0, 1])
