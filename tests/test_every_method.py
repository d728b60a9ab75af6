"""What holds for every attribution method that `maskcorrect methods` lists: declared cost, flat maps, inference mode.

Map sources need ids, labels or a data set, and have tests of their own.
"""

import json

import pytest
import torch
from passes import PassCounter, declared

from maskcorrect_plugin import testing
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.inference import evaluation_mode
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.registry import (
    BUILTIN_BACKENDS,
    create_attribution,
    describe_methods,
    get_backend,
    is_installed,
    list_attributions,
    split_name,
)

IMAGES, TOP_K, CHANNELS, LIVE = 2, 5, 6, 5
WINDOWS = 15 * 19  # Occlusion's, of 2 x 2 pixels at every pixel of 16 x 20
CANDIDATES = torch.tensor([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
every_method = pytest.mark.parametrize(
    "name",
    [
        name
        for name in list_attributions()
        if split_name(name)[0] in BUILTIN_BACKENDS and not name.startswith("control:")
    ],
)


def network():
    """A network of modules, which all of Captum's methods can see into; channel 1 of its last maps is dead."""
    net = testing.tiny_network()
    net.conv2.weight.data[1], net.conv2.bias.data[1] = 0, -1
    return net


def skip_unless_installed(name):
    backend = get_backend(split_name(name)[0])
    if not is_installed(backend):
        pytest.skip(f"{backend.library} is not installed")


def passes(name):
    """Declared forwards and backwards per image; the native Score-CAM alone skips channels that are constant."""
    skip_unless_installed(name)
    backend, _ = split_name(name)
    info, values = describe_methods()[name], {"K": TOP_K, "C": LIVE if backend == "native" else CHANNELS, "W": WINDOWS}
    return declared(info.forwards, **values), declared(info.backwards, **values)


def counted_backwards(name, counter):
    # ShapleyCAM's second derivative goes from gradients to feature maps and never passes the model's output.
    return counter.backwards * 2 if name == "pytorch_grad_cam:ShapleyCAM" else counter.backwards


@every_method
def test_declared_forwards_and_backwards_are_those_counted(name):
    """Five candidates in blocks of two: nothing is repeated from block to block."""
    forwards, backwards = passes(name)
    net, inputs = network(), testing.tiny_images(IMAGES)
    method, counter = create_attribution(name, net, "relu2"), PassCounter(net)
    with evaluation_mode(net), method.observe(inputs):  # "auto" chooses when it first sees images
        net(inputs)
    with evaluation_mode(net):
        with method.observe(inputs) as observation:
            net(inputs)
        counter.reset()
        list(method.stream_candidates(inputs, CANDIDATES, observation, block=2))
    assert counter.inputs == IMAGES * forwards
    assert counted_backwards(name, counter) == IMAGES * backwards


@every_method
def test_a_correction_adds_one_forward_and_one_per_candidate(name):
    forwards, backwards = passes(name)
    net = network()
    corrector, counter = ProbabilityCorrector(net, name, "relu2", top_k=TOP_K), PassCounter(net)
    corrector.probe(testing.tiny_images(1))
    counter.reset()
    corrector.correct(testing.tiny_images(IMAGES))
    assert counter.inputs == IMAGES * (1 + forwards + TOP_K)
    assert counted_backwards(name, counter) == IMAGES * backwards


@every_method
def test_the_recipe_of_a_result_gives_it_again(name):
    """With the method's own defaults written out, as a file holds it."""
    skip_unless_installed(name)
    net, inputs = network(), testing.tiny_images(IMAGES)
    result = ProbabilityCorrector(net, name, "relu2", top_k=2).correct(inputs)
    recipe = Recipe.from_dict(json.loads(json.dumps(result.recipe.to_dict())))
    again = ProbabilityCorrector(net, recipe=recipe).correct(inputs)
    assert again.settings == result.settings
    if describe_methods()[name].deterministic:
        torch.testing.assert_close(again.correction, result.correction, rtol=0, atol=1e-6)


def test_shapley_cam_differentiates_twice_for_each_class(monkeypatch):
    pytest.importorskip("pytorch_grad_cam")
    runs = []
    for function in ("grad", "backward"):
        original = getattr(torch.autograd, function)
        monkeypatch.setattr(torch.autograd, function, lambda *a, run=original, **k: runs.append(1) or run(*a, **k))
    create_attribution("pytorch_grad_cam:ShapleyCAM", network(), "relu2").attribute_candidates(
        testing.tiny_images(1), CANDIDATES[:1]
    )
    assert len(runs) == declared(describe_methods()["pytorch_grad_cam:ShapleyCAM"].backwards, K=TOP_K)


@every_method
def test_maps_without_information_are_flagged_and_change_nothing(name):
    """The last feature maps are zero, so no input, channel or gradient counts."""
    skip_unless_installed(name)
    net, inputs = testing.tiny_network(), testing.tiny_images(IMAGES)
    net.conv2.weight.data.zero_()
    net.conv2.bias.data.fill_(-1)
    result = ProbabilityCorrector(net, name, "relu2", top_k=2).correct(inputs, keep=("attributions",))
    assert result.flat.all() and not result.attributions.any() and not result.changed.any()
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)


@every_method
def test_inference_mode_is_refused_by_methods_that_need_gradients_and_by_no_other(name):
    _, backwards = passes(name)
    method, inputs = create_attribution(name, network(), "relu2"), testing.tiny_images(IMAGES)
    with torch.inference_mode():
        if backwards:
            with pytest.raises(ValueError, match=r"needs gradients .*use torch.no_grad\(\)"):
                method.attribute(inputs, 1)
        else:
            assert method.attribute(inputs, 1).amax() > 0.5
