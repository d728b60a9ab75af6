"""What holds for every control: the arithmetic, the price, independence of the batch, and what is left behind."""

import inspect
import json
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, Counter, images, make_tiny_net
from control_data import names, partners
from passes import declared

from maskcorrect_plugin import ProbabilityCorrector, create_attribution
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.evaluation.controls import CONTROLS, Control, create_control, is_control, list_controls
from maskcorrect_plugin.evaluation.controls.catalogue import _FRAME_OPTIONS
from maskcorrect_plugin.inference import PassEngine

NAMES = list_controls()
SEEDED = ["control:random_crops", "control:random_map", "control:other_image"]
ONE_VIEW = ["control:hflip", "control:class_agnostic", "control:single_mask", "control:oracle_class"]
WITH_MAPS = [name for name in NAMES if name not in ("control:hflip", "control:ten_crop", "control:random_crops")]
EVERYTHING = ("probs", "correction", "corrected_probs", "gap", "weights", "masked_probs", "attributions", "flat")


def make(name, net, method="CAM", **options):
    layer = "act" if method in ("CAM", "ScoreCAM") else None
    options = {"target_layer": layer, "top_k": 3, "dataset": partners(), **options}
    return create_control(name, net, method=method, **options)


def correct(control, inputs, keep=("masked_probs", "attributions"), labels=None):
    labels = list(range(len(inputs))) if labels is None else labels
    return control.correct(inputs, labels, names(len(inputs)), keep=keep)


def test_the_catalogue_names_those_of_the_design_and_tells_which_leak():
    expected = "hflip ten_crop random_crops uniform random_map other_image class_agnostic single_mask oracle_class"
    assert [f"control:{name}" for name in expected.split()] == NAMES == [info.name for info in CONTROLS.values()]
    assert [name for name in NAMES if CONTROLS[name].leaks] == ["control:oracle_class"]
    assert [name for name in NAMES if CONTROLS[name].needs_dataset] == ["control:other_image"]
    assert [name for name in NAMES if CONTROLS[name].needs_method] == [
        "control:other_image",
        "control:single_mask",
        "control:oracle_class",
    ]
    assert is_control("control:anything") and not is_control("ScoreCAM") and not is_control(torch.relu)


def test_the_page_on_controls_says_what_the_catalogue_says():
    rows = re.findall(
        r"^\| `(control:\w+)` \| .* \| (.+) \| (.+) \|$", (ROOT / "docs/controls.md").read_text(), re.MULTILINE
    )
    assert [(name, forwards, leaks != "no") for name, forwards, leaks in rows] == [
        (info.name, info.forwards, info.leaks) for info in CONTROLS.values()
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_corrected_is_the_answer_plus_weighted_second_answers_made_a_distribution(tiny_net, tiny_images, name, weights):
    control = make(name, tiny_net, weights=weights)
    result = correct(control, tiny_images)
    assert result.weights.shape == (3, control.num_views) and (result.weights > 0).all()
    expected = (result.weights[:, :, None] * result.masked_probs).sum(dim=1)
    torch.testing.assert_close(result.correction, expected, rtol=0, atol=1e-6)
    total = 1 + result.weights.sum(dim=1, keepdim=True)
    torch.testing.assert_close(result.corrected_probs, (result.probs + expected) / total, rtol=0, atol=1e-6)
    torch.testing.assert_close(result.corrected_probs.sum(dim=1), torch.ones(3, device=tiny_images.device))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("control:hflip", "control:ten_crop")])
@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_the_weights_are_those_of_the_correction_or_their_sum(tiny_net, tiny_images, name, weights):
    expected = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=3, weights=weights).correct(tiny_images).weights
    if name in ONE_VIEW:
        expected = expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(correct(make(name, tiny_net, weights=weights), tiny_images).weights, expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["CAM", "ScoreCAM", "captum:Saliency"])
@pytest.mark.parametrize("passing", [0, 2])
def test_the_forwards_are_counted_for_each_image_as_it_costs_alone(tiny_net, tiny_images, name, method, passing):
    """Images and partners differ in their live channels, so in what Score-CAM spends on them."""
    data = partners()
    data.tensors[:4] = 0.1 * torch.arange(4)[:, None, None, None]
    inputs = torch.cat([tiny_images, torch.zeros_like(tiny_images)])
    gaps = ProbabilityCorrector(tiny_net, "CAM", "act").correct(inputs).gap.sort().values
    control = make(name, tiny_net, method, max_gap=gaps[-passing].item() if passing else None, dataset=data)
    result = correct(control, inputs, keep=(), labels=[row % 5 for row in range(6)])
    counter = Counter(tiny_net)
    for row, image in enumerate(inputs):
        counter.reset()
        control.correct(image[None], [row % 5], [names(6)[row]])
        assert counter.inputs == result.forwards[row], row
    assert result.forwards[~result.corrected].tolist() == [1] * passing


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("method", "own"), [("CAM", 0), ("captum:Saliency", 1)])
def test_the_catalogue_states_the_forwards_of_an_image(tiny_net, tiny_images, name, method, own):
    control = make(name, tiny_net, method, top_k=4)
    correct(control, tiny_images)  # finds the layer, if that is left to do
    counter = Counter(tiny_net)
    correct(control, tiny_images)
    assert counter.inputs == 3 * declared(CONTROLS[name].forwards, K=4, A=own)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["CAM", "ScoreCAM"])
@pytest.mark.parametrize("view", ["mask", "crop"])
def test_an_image_comes_out_the_same_in_any_batch(tiny_net, tiny_images, name, method, view):
    together = correct(make(name, tiny_net, method, view=view, batch_size=4), tiny_images)
    control = make(name, tiny_net, method, view=view, batch_size=3)
    order = [2, 0, 1, 1]
    ids = [names()[row] for row in order]
    shuffled = control.correct(tiny_images[order], order, ids, keep=("masked_probs", "attributions"))
    for field in EVERYTHING:
        torch.testing.assert_close(getattr(shuffled, field), getattr(together, field)[order], rtol=0, atol=1e-5)
    for row in range(3):
        image = tiny_images[row : row + 1]
        alone = control.correct(image, [row], [names()[row]], keep=("masked_probs", "attributions"))
        for field in EVERYTHING:
            torch.testing.assert_close(getattr(alone, field)[0], getattr(together, field)[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_max_gap_passes_confident_images_unchanged(tiny_net, tiny_images, name):
    everything = correct(make(name, tiny_net), tiny_images)
    bound = everything.gap.sort().values[2].item()  # strictly below: two images
    result = correct(make(name, tiny_net, max_gap=bound), tiny_images)
    assert result.corrected.sum() == 2 and torch.equal(result.corrected, everything.gap < bound)
    left = ~result.corrected
    assert torch.equal(result.corrected_probs[left], result.probs[left]) and (result.weights[left] == 0).all()
    torch.testing.assert_close(result.corrected_probs[~left], everything.corrected_probs[~left], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_in_blocks_give_the_same(tiny_net, tiny_images, name, monkeypatch):
    at_once = correct(make(name, tiny_net, top_k=5), tiny_images)
    monkeypatch.setattr("maskcorrect_plugin.correction.MAPS_AT_ONCE", 6)  # two candidates of three images
    in_blocks = correct(make(name, tiny_net, top_k=5), tiny_images)
    for field in EVERYTHING:
        torch.testing.assert_close(getattr(in_blocks, field), getattr(at_once, field), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_diagonal_vote_counts_where_a_view_belongs_to_one_candidate(tiny_net, tiny_images, name):
    distribution, diagonal = (
        correct(make(name, tiny_net, vote=vote), tiny_images) for vote in ("distribution", "diagonal")
    )
    if name in SEEDED:
        own = distribution.masked_probs.gather(2, distribution.candidates[:, :, None]).squeeze(2)
        expected = torch.zeros_like(distribution.probs).scatter(1, distribution.candidates, distribution.weights * own)
        torch.testing.assert_close(diagonal.correction, expected)
    else:
        assert torch.equal(diagonal.correction, distribution.correction) and "vote" not in diagonal.settings


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_left_as_found_also_after_a_failing_forward(tiny_net, tiny_images, name):
    tiny_net.train()
    tiny_net.norm.eval()
    flags = [module.training for module in tiny_net.modules()]
    state = {key: value.clone() for key, value in tiny_net.state_dict().items()}
    random_state = torch.get_rng_state()
    control = make(name, tiny_net, "ScoreCAM", batch_size=2)
    correct(control, tiny_images)
    for failing in (1, 2, 3):
        calls = []

        def fail(_module, _inputs, calls=calls, failing=failing):
            calls.append(1)
            if len(calls) == failing:
                raise KeyError("no")

        handle = tiny_net.register_forward_pre_hook(fail)
        with pytest.raises(KeyError):
            correct(control, tiny_images)
        handle.remove()
    assert [module.training for module in tiny_net.modules()] == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_net.modules())
    assert all(torch.equal(tiny_net.state_dict()[key], value) for key, value in state.items())
    assert torch.equal(torch.get_rng_state(), random_state) and torch.is_grad_enabled()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tiny_net.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_out_of_memory_changes_nothing_but_the_batch_size(tiny_net, tiny_images, name):
    expected = correct(make(name, tiny_net, "ScoreCAM"), tiny_images)

    def limited(_module, args):
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = tiny_net.register_forward_pre_hook(limited)
    result = correct(make(name, tiny_net, "ScoreCAM", batch_size=8), tiny_images)
    handle.remove()
    torch.testing.assert_close(result.corrected_probs, expected.corrected_probs, rtol=0, atol=1e-5)
    assert torch.equal(result.forwards, expected.forwards)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_plain_and_name_what_the_control_depends_on(tiny_net, tiny_images, name):
    control = make(name, tiny_net, "ScoreCAM", preset="paper_v2", control_seed=3)
    settings = correct(control, tiny_images).settings
    assert isinstance(control, Control) and json.loads(json.dumps(settings)) == settings
    assert settings["method"] == name and settings["top_k"] == 3
    assert settings.get("leaks", False) is CONTROLS[name].leaks
    assert settings.get("inner_method") == ("ScoreCAM" if CONTROLS[name].needs_method else None)
    assert settings.get("preset") == ("paper_v2" if CONTROLS[name].needs_method else None)
    assert settings.get("control_seed") == (3 if name in SEEDED else None)
    assert ("threshold" in settings) is (name in WITH_MAPS)


@pytest.mark.parametrize("name", ["control:hflip", "control:ten_crop", "control:random_crops"])
def test_controls_without_maps_ignore_what_concerns_maps(tiny_net, tiny_images, name):
    plain = correct(make(name, tiny_net), tiny_images)
    other = correct(make(name, tiny_net, "ScoreCAM", threshold=0.7, view="crop", preset="grad_cam"), tiny_images)
    assert torch.equal(plain.corrected_probs, other.corrected_probs) and plain.settings == other.settings


def test_the_options_of_the_frame_are_those_of_the_corrector_and_its_engine():
    own = [*inspect.signature(Corrector).parameters.values(), *inspect.signature(PassEngine).parameters.values()]
    assert {option.name for option in own if option.kind is option.KEYWORD_ONLY} == set(_FRAME_OPTIONS)
    assert set(_FRAME_OPTIONS) <= set(inspect.signature(ProbabilityCorrector).parameters)


@pytest.mark.parametrize("name", ["control:other_image", "control:single_mask", "control:oracle_class"])
@pytest.mark.parametrize("spec", ["CAM", "ScoreCAM", "captum:Saliency"])
def test_a_method_object_may_serve_the_corrector_and_its_controls(tiny_net, tiny_images, name, spec):
    method = create_attribution(spec, tiny_net, None if ":" in spec else "act")
    corrector = ProbabilityCorrector(tiny_net, method, top_k=3)
    before = corrector.correct(tiny_images)
    by_object = create_control(name, tiny_net, method=method, top_k=3, dataset=partners())
    by_name = make(name, tiny_net, spec)
    first, second = correct(by_object, tiny_images), correct(by_name, tiny_images)
    torch.testing.assert_close(first.corrected_probs, second.corrected_probs)
    assert torch.equal(first.forwards, second.forwards)
    assert torch.equal(corrector.correct(tiny_images).forwards, before.forwards)


@pytest.mark.parametrize("name", SEEDED)
def test_the_choice_goes_by_seed_and_name(tiny_net, tiny_images, name):
    inputs, control = tiny_images[:1], make(name, tiny_net)
    same, again, other_name = (control.correct(inputs, ids=[label]) for label in ("a", "a", "b"))
    other_seed = make(name, tiny_net, control_seed=1).correct(inputs, ids=["a"])
    assert torch.equal(same.correction, again.correction)
    assert not torch.allclose(same.correction, other_name.correction, atol=1e-4)
    assert not torch.allclose(same.correction, other_seed.correction, atol=1e-4)


IN_ANOTHER_PROCESS = """
import sys
sys.path[:0] = ["tests", "."]
import torch
from conftest import images, make_tiny_net
from test_controls import SEEDED, correct, make
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
        ("control:hflp", {}, "name must be one of 'control:hflip'.*got 'control:hflp'; did you mean 'control:hflip'"),
        ("oracle_class", {}, "did you mean 'control:oracle_class'"),
        ("control:other_image", {"dataset": None}, "dataset must be given for control:other_image"),
        ("control:other_image", {"dataset": partners(1)}, "dataset must hold at least two images.*got 1"),
        ("control:random_map", {"control_seed": -1}, "control_seed must be at least 0, got -1"),
        ("control:hflip", {"control_seed": 0.5}, "control_seed must be an integer"),
        ("control:hflip", {"maxgap": 0.5}, "maxgap"),
        ("control:uniform", {"threshold": 2}, "threshold must lie in"),
        ("control:ten_crop", {"method": "SCoreCAM"}, "unknown attribution method 'SCoreCAM'; did you mean 'ScoreCAM'"),
    ],
)
def test_wrong_arguments_are_refused_before_any_forward(tiny_net, name, options, message):
    counter = Counter(tiny_net)
    with pytest.raises((ValueError, TypeError), match=message):
        make(name, tiny_net, **options)
    assert counter.inputs == 0


@pytest.mark.parametrize("name", SEEDED)
def test_a_random_choice_needs_names(tiny_net, tiny_images, name):
    counter = Counter(tiny_net)
    with pytest.raises(ValueError, match=f"ids must be given to {name}, whose random choice goes by the image's name"):
        make(name, tiny_net).correct(tiny_images)
    assert counter.inputs == 0


def test_the_oracle_needs_labels_that_are_classes(tiny_net, tiny_images):
    counter = Counter(tiny_net)
    control = make("control:oracle_class", tiny_net)
    with pytest.raises(ValueError, match="labels must be given to control:oracle_class"):
        control.correct(tiny_images)
    assert counter.inputs == 0
    with pytest.raises(ValueError, match="labels must be class indices from 0 to 4, got 5"):
        control.correct(tiny_images, labels=[0, 5, 1])
