"""Map sources in a map's place, with any view: against explicit torch operations and the method's own maps."""

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, Counter, images, make_tiny_net
from core_data import (
    MEAN,
    STD,
    answers,
    minmax,
    names,
    partners,
    seeded,
)
from passes import declared

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models.preprocessing import Preprocessing
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.registry import create_attribution, describe_methods

KEEP = ("attributions", "view_probs")
SOURCES = ["control:random_map", "control:other_image", "control:uniform", "control:oracle_class"]
SEEDED = SOURCES[:2]
INNER = ["control:other_image", "control:oracle_class"]
VIEWS = ["mask", "mask[fill=mean,map=merged]", "crop[threshold=0.5]", "crop[map=merged]"]
EVERYTHING = ("probs", "correction", "corrected_probs", "gap", "weights", "flat", "forwards", *KEEP)


def make(name, net, inner="CAM", **options):
    """The source with everything that it may need."""
    layer = None
    if name in INNER:
        options["of"] = inner
        layer = None if ":" in inner else "act"
    return ProbabilityCorrector(net, name, layer, **{"top_k": 3, "dataset": partners(), **options})


def correct(corrector, inputs, keep=KEEP):
    return corrector.correct(inputs, list(range(len(inputs))), names(len(inputs)), keep=keep)


def upsampled(maps, size=(16, 20)):
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def masked(inputs, maps, threshold=0.1):
    return inputs * torch.where(maps > threshold, maps, 0)


def test_sources_stand_in_the_catalogue_which_tells_the_one_that_leaks():
    found = {name: info for name, info in describe_methods().items() if name.startswith("control:")}
    assert list(found) == SOURCES
    assert [name for name, info in found.items() if info.leaks] == ["control:oracle_class"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", SOURCES)
def test_an_image_comes_out_the_same_in_any_batch(tiny_net, tiny_images, name, view):
    together = correct(make(name, tiny_net, views=view, batch_size=4), tiny_images)
    corrector = make(name, tiny_net, views=view, batch_size=3)
    order = [2, 0, 1, 1]
    shuffled = corrector.correct(tiny_images[order], order, [names()[row] for row in order], keep=KEEP)
    for field in EVERYTHING:
        torch.testing.assert_close(getattr(shuffled, field), getattr(together, field)[order], rtol=0, atol=1e-5)
    for row in range(3):
        alone = corrector.correct(tiny_images[row : row + 1], [row], [names()[row]], keep=KEEP)
        for field in EVERYTHING:
            torch.testing.assert_close(getattr(alone, field)[0], getattr(together, field)[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SOURCES)
def test_candidates_in_blocks_give_the_same(tiny_net, tiny_images, name, monkeypatch):
    options = {"top_k": 5, "views": ("crop[threshold=0.3]", "mask", "mask[map=merged]")}
    at_once = correct(make(name, tiny_net, **options), tiny_images)
    monkeypatch.setattr("maskcorrect_plugin.correction.MAPS_AT_ONCE", 6)  # two candidates of three images
    in_blocks = correct(make(name, tiny_net, **options), tiny_images)
    for field in (*EVERYTHING, "saved"):
        torch.testing.assert_close(getattr(in_blocks, field), getattr(at_once, field), rtol=0, atol=1e-5)


@pytest.mark.parametrize("inner", ["CAM", "ScoreCAM", "captum:Saliency"])
@pytest.mark.parametrize("name", SOURCES)
def test_forwards_are_counted_for_each_image_as_it_costs_alone(tiny_net, tiny_images, name, inner):
    """Images and partners differ in their live channels, so in what Score-CAM spends on them."""
    data = partners()
    data.tensors[:4] = 0.1 * torch.arange(4)[:, None, None, None]
    inputs = torch.cat([tiny_images, torch.zeros_like(tiny_images)])
    bound = ProbabilityCorrector(tiny_net, "CAM", "act").correct(inputs).gap.sort().values[-2].item()
    corrector = make(name, tiny_net, inner, max_gap=bound, dataset=data)
    labels = [row % 5 for row in range(6)]
    result = corrector.correct(inputs, labels, names(6))
    counter = Counter(tiny_net)
    for row, image in enumerate(inputs):
        counter.reset()
        corrector.correct(image[None], [labels[row]], [names(6)[row]])
        assert counter.inputs == result.forwards[row], row
    assert result.forwards[~result.corrected].tolist() == [1, 1]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(("inner", "own"), [("CAM", 0), ("captum:Saliency", 1)])
def test_the_catalogue_states_the_forwards_of_the_maps(tiny_net, tiny_images, name, inner, own):
    corrector = make(name, tiny_net, inner, top_k=4)
    correct(corrector, tiny_images)  # finds the layer, if that is left to do
    counter = Counter(tiny_net)
    correct(corrector, tiny_images)
    assert counter.inputs == 3 * (1 + declared(describe_methods()[name].forwards, A=own) + 4)


@pytest.mark.parametrize("name", SOURCES)
def test_the_model_is_left_as_found_also_after_a_failing_forward(tiny_net, tiny_images, name):
    tiny_net.train()
    tiny_net.norm.eval()
    flags = [module.training for module in tiny_net.modules()]
    random_state = torch.get_rng_state()
    corrector = make(name, tiny_net, "ScoreCAM", batch_size=2)
    correct(corrector, tiny_images)
    for failing in (1, 2, 3):
        calls = []

        def fail(_module, _inputs, calls=calls, failing=failing):
            calls.append(1)
            if len(calls) == failing:
                raise KeyError("no")

        handle = tiny_net.register_forward_pre_hook(fail)
        with pytest.raises(KeyError):
            correct(corrector, tiny_images)
        handle.remove()
    assert [module.training for module in tiny_net.modules()] == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_net.modules())
    assert torch.equal(torch.get_rng_state(), random_state) and torch.is_grad_enabled()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tiny_net.parameters())


@pytest.mark.parametrize("name", SOURCES)
def test_a_result_says_what_it_depends_on_and_its_recipe_gives_it_again(tiny_net, tiny_images, name):
    seed = {"seed": 3} if name in SEEDED else {}
    result = correct(make(name, tiny_net, "ScoreCAM[max_masks=4]", **seed), tiny_images)
    settings = result.settings
    assert json.loads(json.dumps(settings)) == settings and settings["method"] == name
    assert settings.get("leaks", False) is (name == "control:oracle_class")
    assert settings["method_options"].get("of") == ("ScoreCAM[max_masks=4]" if name in INNER else None)
    assert settings["method_options"].get("seed") == (3 if name in SEEDED else None)
    assert settings["target_layer"] == ("act" if name in INNER else None)
    again = ProbabilityCorrector(tiny_net, recipe=result.recipe, dataset=partners())
    assert torch.equal(correct(again, tiny_images).correction, result.correction)


@pytest.mark.parametrize("name", SEEDED)
def test_the_choice_goes_by_seed_and_id(tiny_net, tiny_images, name):
    inputs, corrector = tiny_images[:1], make(name, tiny_net)
    same, again, other_id = (corrector.correct(inputs, ids=[label]).correction for label in ("a", "a", "b"))
    other_seed = make(name, tiny_net, seed=1).correct(inputs, ids=["a"]).correction
    assert torch.equal(same, again)
    assert not torch.allclose(same, other_id, atol=1e-4) and not torch.allclose(same, other_seed, atol=1e-4)


IN_ANOTHER_PROCESS = """
import sys
sys.path[:0] = ["tests", "."]
import torch
from conftest import images, make_tiny_net
from test_map_sources import SEEDED, correct, make
torch.manual_seed(99)
results = [correct(make(name, make_tiny_net(), batch_size=2), images()) for name in SEEDED]
print([result.corrected_probs.tolist() for result in results])
"""


def test_another_process_makes_the_same_choices():
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    for name, there in zip(SEEDED, json.loads(done.stdout), strict=True):
        here = correct(make(name, make_tiny_net()), images()).corrected_probs
        torch.testing.assert_close(torch.tensor(there), here, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("control:uniform", {"seed": 1}, "seed"),
        ("control:random_map", {"seed": -1}, "seed must be at least 0, got -1"),
        ("control:other_image", {"of": "SCoreCAM"}, "unknown attribution method 'SCoreCAM'; did you mean 'ScoreCAM'"),
        ("control:other_image", {"of": "control:uniform"}, "of must be an attribution method and no control"),
        ("control:other_image", {"dataset": partners(1)}, "dataset must hold at least two images.*got 1"),
        ("control:random_mop", {}, "unknown attribution method 'control:random_mop'; did you mean .*random_map"),
    ],
)
def test_wrong_options_are_refused_before_any_forward(tiny_net, name, options, message):
    counter = Counter(tiny_net)
    with pytest.raises((ValueError, TypeError), match=message):
        ProbabilityCorrector(tiny_net, name, **options)
    assert counter.inputs == 0


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("control:random_map", "ids", "ids must be given to control:random_map, whose random choice"),
        ("control:other_image", "ids", "ids must be given to control:other_image, whose random choice"),
        ("control:oracle_class", "labels", "labels must be given to control:oracle_class"),
    ],
)
def test_without_ids_or_labels_it_is_refused_before_any_forward(tiny_net, tiny_images, name, missing, message):
    given = {"ids": names(), "labels": [0, 1, 2]}
    del given[missing]
    counter = Counter(tiny_net)
    with pytest.raises(ValueError, match=message):
        make(name, tiny_net).correct(tiny_images, **given)
    assert counter.inputs == 0


def test_labels_must_be_classes_of_the_model(tiny_net, tiny_images):
    with pytest.raises(ValueError, match="from 0 to 4, got 5"):
        make("control:oracle_class", tiny_net).correct(tiny_images, labels=[0, 5, 1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"views": "mask[threshold=0.9,fill=mean]"},
        {"views": "mask[fill=blur,map=merged]"},
        {"views": "mask[fill=black]", "preprocessing": Preprocessing(torch.nn.Identity(), MEAN, STD)},
        {"views": "crop[threshold=0.5]"},
        {"vote": "diagonal", "views": "crop"},
        {"candidate_weights": "uniform", "top_k": 5},
        {"pool": "log", "views": ("mask", "crop[map=merged]"), "view_weights": (0.5, 2)},
    ],
)
def test_uniform_maps_change_nothing_whatever_the_options(tiny_net, tiny_images, options):
    result = make("control:uniform", tiny_net, **options).correct(tiny_images, keep=("view_probs",))
    if options.get("vote") != "diagonal" and options.get("pool") != "log":
        torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)
    expected = result.probs[:, None].expand_as(result.view_probs)
    torch.testing.assert_close(result.view_probs, expected, rtol=0, atol=1e-6)
    assert result.flat.all() and not result.changed.any()
    assert (result.forwards + result.saved == 1 + result.view_probs.shape[1]).all()


@pytest.mark.parametrize("threshold", [0.1, 0.6])
def test_random_maps_are_upsampled_noise_of_the_documented_seed(tiny_net, tiny_images, threshold):
    result = correct(make("control:random_map", tiny_net, threshold=threshold, seed=2), tiny_images)
    for row, name in enumerate(names()):
        noise = torch.rand(3, 7, 7, generator=seeded("control:random_map", 2, name)).to(tiny_images.device)
        maps = minmax(upsampled(noise[None]))[0]
        torch.testing.assert_close(result.attributions[row], maps, rtol=0, atol=1e-6)
        expected = answers(tiny_net, masked(tiny_images[row], maps[:, None], threshold))
        torch.testing.assert_close(result.view_probs[row], expected, rtol=0, atol=1e-5)
        weights = result.probs[row].sort(descending=True).values[:3, None]
        torch.testing.assert_close(result.correction[row], (weights * expected).sum(dim=0), rtol=0, atol=1e-5)


def test_a_source_has_the_same_maps_under_every_view(tiny_net, tiny_images):
    plain, cropped, merged = (
        correct(make("control:random_map", tiny_net, views=view), tiny_images)
        for view in ("mask", "crop[threshold=0.5]", "crop[threshold=0.5,map=merged]")
    )
    assert torch.equal(plain.attributions, cropped.attributions) and torch.equal(
        plain.attributions, merged.attributions
    )
    assert not torch.allclose(plain.view_probs, cropped.view_probs, atol=1e-4)
    assert merged.view_probs.shape == (3, 1, 5)


@pytest.mark.parametrize("view", VIEWS)
def test_the_oracle_shows_every_candidate_the_map_of_the_true_class(tiny_net, tiny_images, view):
    labels = [4, 0, 2]
    everything = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=5).correct(tiny_images, keep=KEEP)
    result = make("control:oracle_class", tiny_net, views=view).correct(tiny_images, labels, keep=KEEP)
    for row, label in enumerate(labels):
        place = everything.candidates[row].tolist().index(label)
        expected = everything.attributions[row, place].expand(3, -1, -1)
        torch.testing.assert_close(result.attributions[row], expected, rtol=0, atol=1e-5)
    same = result.view_probs[:, :1].expand_as(result.view_probs)
    torch.testing.assert_close(result.view_probs, same, rtol=0, atol=1e-5)
    one, three = (make("control:oracle_class", tiny_net).correct(tiny_images, each) for each in (2, [2, 2, 2]))
    assert torch.equal(one.corrected_probs, three.corrected_probs)


@pytest.mark.parametrize("candidate_weights", ["probs", "uniform"])
@pytest.mark.parametrize("method", ["CAM", "ScoreCAM"])
def test_a_single_mask_is_the_scaled_sum_of_the_candidates_maps(tiny_net, tiny_images, method, candidate_weights):
    paper = Recipe(method=method, target_layer="act", top_k=3, candidate_weights=candidate_weights)
    corrector = ProbabilityCorrector(tiny_net, "control:single_mask", recipe=paper)
    assert corrector.recipe == paper.replace(views="mask[map=merged]")
    result = corrector.correct(tiny_images, keep=KEEP)
    top = result.probs.sort(dim=1, descending=True).values[:, :3]
    shares = top if candidate_weights == "probs" else torch.full_like(top, 1 / 3)
    maps = create_attribution(method, tiny_net, "act").attribute_candidates(tiny_images, result.candidates)
    single = minmax((shares[:, :, None, None] * maps).sum(dim=1, keepdim=True))
    expected = answers(tiny_net, masked(tiny_images, single))
    torch.testing.assert_close(result.correction, expected, rtol=0, atol=1e-5)  # with weight 1


@pytest.mark.parametrize("method", ["CAM", "control:oracle_class"])
def test_a_map_without_information_is_neutral(tiny_net, method):
    """A constant image has constant feature maps, but for the padding; without it every map is flat."""
    tiny_net.stem.padding_mode = tiny_net.body.padding_mode = "replicate"
    inputs = torch.full((2, 3, 16, 20), 0.3, device=tiny_net.head.weight.device)
    options = {"of": "CAM"} if method.startswith("control") else {}
    for view in VIEWS:
        result = ProbabilityCorrector(tiny_net, method, "act", views=view, **options).correct(inputs, labels=1)
        assert result.flat.all()
        torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SOURCES)
def test_double_precision_stays(name):
    result = correct(make(name, make_tiny_net().double()), images())
    assert {getattr(result, field).dtype for field in ("corrected_probs", "weights", *KEEP)} == {torch.float64}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_kept_renders_to_the_maps(tiny_net, tiny_images, name):
    corrector = make(name, tiny_net)
    result = correct(corrector, tiny_images, keep=("coarse_maps", "attributions"))
    maps = corrector.method.render(result.coarse_maps, (16, 20))
    flat = result.flat[..., None, None]
    torch.testing.assert_close(torch.where(flat, 0, maps), result.attributions)
