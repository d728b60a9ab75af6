"""A function as a method."""

import functools

import numpy as np
import pytest
import torch
from conftest import images, make_tiny_net

from maskcorrect_adapters.callable_ import CallableMethod
from maskcorrect_plugin import AttributionBackend, MethodInfo, ProbabilityCorrector, create_attribution, testing
from maskcorrect_plugin.describing import describe


def saliency(model, inputs, targets, power=1):
    scores = model(inputs)
    scores.gather(1, targets[:, None]).sum().backward()  # fills gradients, which must not stay
    return inputs.grad.abs().pow(power)


class FunctionBackend(AttributionBackend):
    """The function under a name, for the conformance checks."""

    name = "function"

    def methods(self):
        return ("saliency",)

    def info(self, method):
        return MethodInfo(method, "absolute input gradients", forwards="K", backwards="K")

    def create(self, method, model, target_layer=None, **options):
        return CallableMethod(model, saliency)


@pytest.mark.parametrize(("name", "check"), testing.iter_checks(FunctionBackend()))
def test_the_contract(name, check):
    check()


def test_a_function_equals_the_method_that_it_computes():
    net, inputs = make_tiny_net(), images()
    targets = torch.tensor([2, 0, 3])
    found = create_attribution(saliency, net).attribute(inputs, targets)
    expected = create_attribution("captum:Saliency", net).attribute(inputs, targets)
    assert torch.allclose(found, expected, atol=1e-6)
    squared = create_attribution(functools.partial(saliency, power=2), net)
    assert squared.settings == {"method": "callable:saliency", "power": 2, "function": describe(squared.function)}
    cubed = create_attribution(functools.partial(saliency, power=3), net)
    assert cubed.settings["function"] != squared.settings["function"]
    assert not torch.allclose(squared.attribute(inputs, targets), found, atol=1e-3)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5)])
@pytest.mark.parametrize("array", [False, True])
def test_maps_of_every_shape_are_summed_cut_upsampled_and_scaled(shape, array):
    values = torch.arange(-4.0, 16.0).reshape(4, 5).expand(2, *shape).contiguous()
    maps = create_attribution(lambda *_: values.numpy() if array else values, make_tiny_net()).attribute(images(2), 0)
    assert maps.shape == (2, 1, 16, 20) and maps.amin() == 0 and maps.amax() == 1
    assert (maps[:, :, :2, :14] == 0).all() and maps[0, 0, -1, -1] == 1


def test_a_flat_or_nan_map_is_zero_and_flagged():
    def nothing(model, inputs, targets):
        maps = inputs.new_ones(len(inputs), 4, 4)
        maps[0, 0, 0] = float("nan")
        return maps

    result = ProbabilityCorrector(make_tiny_net(), nothing, top_k=2).correct(images(2), keep=("attributions",))
    assert result.flat.all() and (result.attributions == 0).all()
    assert torch.allclose(result.corrected_probs, result.probs, atol=1e-6)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.ones(2, 4), r"callable:.* must return maps \(2,h,w\) or \(2,C,h,w\), got \(2, 4\)"),
        (torch.ones(3, 4, 4), r"got \(3, 4, 4\)"),
        (torch.ones(2, 4, 4, dtype=torch.int64), "floating-point maps as tensor or array, got torch.int64"),
        (np.ones((2, 4, 4), dtype=bool), "got torch.bool"),
        ([[1.0]], "got list"),
    ],
)
def test_a_function_that_returns_something_else_is_told_so(maps, message):
    with pytest.raises((ValueError, TypeError), match=message):
        create_attribution(lambda *_: maps, make_tiny_net()).attribute(images(2), 0)


@pytest.mark.parametrize("obj", [lambda model: None, torch.nn.ReLU(), torch.nn.ReLU, object(), 3])
def test_what_cannot_be_called_with_model_inputs_and_targets_is_no_method(obj):
    with pytest.raises(TypeError, match=r"method must be a name, .* got "):
        create_attribution(obj, make_tiny_net())
