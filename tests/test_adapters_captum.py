"""Captum through the adapter: the contract, parity within 1e-6, and the library's faults kept away."""

import functools
import subprocess
import sys

import captum.attr
import pytest
import torch
from captum.attr import LayerAttribution
from conftest import images, make_tiny_net
from torch import nn

from maskcorrect_adapters.captum_ import CaptumBackend
from maskcorrect_adapters.captum_defaults import grid
from maskcorrect_plugin import ProbabilityCorrector, create_attribution, testing
from maskcorrect_plugin.functional import scale_maps

BACKEND = CaptumBackend()
METHODS = BACKEND.methods()
TARGETS = torch.tensor([3, 0, 4])


@pytest.mark.parametrize(("name", "check"), testing.iter_checks(BACKEND))
def test_the_contract(name, check):
    check()


def test_the_contract_on_the_chosen_device(device):
    testing.check_backend(BACKEND, METHODS if device.type != "cpu" else ["Saliency"], device=device)


def positive(values):
    return scale_maps(values.sum(dim=1, keepdim=True).relu()).detach()


def absolute(values):
    return scale_maps(values.abs().sum(dim=1, keepdim=True)).detach()


def modules_only():
    """The network of the conformance checks: no functional ReLU, which several of Captum's methods cannot see."""
    return testing.tiny_network()


def grad_cam(net, inputs, targets):
    values = captum.attr.LayerGradCam(net, net.relu2).attribute(inputs, targets)
    return positive_layer(values)


def positive_layer(values):
    """Layer-level values: what speaks for the class, upsampled."""
    return positive(LayerAttribution.interpolate(values.sum(dim=1, keepdim=True).relu(), (16, 20), "bilinear"))


def occlusion(net, inputs, targets):
    method = captum.attr.Occlusion(net)
    return positive(method.attribute(inputs, (3, 2, 2), (3, 1, 1), target=targets, perturbations_per_eval=8))


PARITY = {
    "LayerGradCam": grad_cam,
    "GuidedGradCam": lambda n, x, t: positive(captum.attr.GuidedGradCam(n, n.relu2).attribute(x, t)),
    "Saliency": lambda n, x, t: absolute(captum.attr.Saliency(n).attribute(x, t)),
    "InputXGradient": lambda n, x, t: positive(captum.attr.InputXGradient(n).attribute(x, t)),
    "IntegratedGradients": lambda n, x, t: positive(captum.attr.IntegratedGradients(n).attribute(x, 0, t)),
    "DeepLift": lambda n, x, t: positive(captum.attr.DeepLift(n).attribute(x, 0, t)),
    "GuidedBackprop": lambda n, x, t: absolute(captum.attr.GuidedBackprop(n).attribute(x, t)),
    "Deconvolution": lambda n, x, t: absolute(captum.attr.Deconvolution(n).attribute(x, t)),
    "Occlusion": occlusion,
    "FeatureAblation": lambda n, x, t: positive(
        captum.attr.FeatureAblation(n).attribute(x, 0, t, feature_mask=grid(16, 20, x.device), perturbations_per_eval=8)
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning:captum")
@pytest.mark.parametrize("method", PARITY)
def test_a_batch_of_classes_equals_the_library(method):
    net, inputs = modules_only(), images()
    found = create_attribution(f"captum:{method}", net).attribute(inputs, TARGETS)
    expected = PARITY[method](net, inputs.clone().requires_grad_(), TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0), (found - expected).abs().max()
    assert found.amax() == 1


def test_lrp_equals_the_library_on_a_network_of_supported_modules():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    torch.manual_seed(0)
    net.append(nn.Conv2d(6, 5, 1))

    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, inputs):
            return self.net(inputs).flatten(1)

    model, inputs = Squeezed().eval(), images()
    expected = positive(captum.attr.LRP(model).attribute(inputs.clone().requires_grad_(), TARGETS))
    found = create_attribution("captum:LRP", model).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("base", ["Saliency", "IntegratedGradients", "LayerGradCam"])
def test_noise_tunnel_around_a_method_equals_the_library_from_the_same_seed(base):
    net, inputs = modules_only(), images(1)
    extra = {"n_steps": 4} if base == "IntegratedGradients" else {}
    method = create_attribution("captum:NoiseTunnel", net, base=base, seed=3, nt_samples=4, stdevs=0.1, **extra)
    found = method.attribute(inputs, 2)
    arguments = (net.relu2,) if base == "LayerGradCam" else ()
    torch.manual_seed(3)
    tunnel = captum.attr.NoiseTunnel(getattr(captum.attr, base)(net, *arguments))
    values = tunnel.attribute(inputs, nt_samples=4, stdevs=0.1, target=2, **extra)
    expected = {"Saliency": absolute, "LayerGradCam": positive_layer}.get(base, positive)(values)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    assert method.settings["base"] == base and method.settings["nt_samples"] == 4


def test_gradient_shap_equals_the_library_from_the_same_seed():
    import numpy as np

    net, inputs = modules_only(), images(1)
    found = create_attribution("captum:GradientShap", net, seed=4).attribute(inputs, 2)
    torch.manual_seed(4)
    np.random.seed(4)
    values = captum.attr.GradientShap(net).attribute(inputs, torch.zeros_like(inputs), n_samples=8, target=2)
    assert torch.allclose(found, positive(values), atol=1e-6, rtol=0)
    other = create_attribution("captum:GradientShap", net, seed=5).attribute(inputs, 2)
    assert not torch.allclose(found, other, atol=1e-3)


def test_the_user_s_own_objects_with_their_arguments():
    net, inputs = modules_only(), images(2)
    gradients = captum.attr.IntegratedGradients(net)
    expected = positive(gradients.attribute(inputs, float(inputs.mean()), 1, n_steps=7))
    partial = functools.partial(gradients.attribute, baselines=float(inputs.mean()), n_steps=7)
    method = create_attribution(partial, net)
    assert torch.allclose(method.attribute(inputs, 1), expected, atol=1e-6, rtol=0)
    assert method.settings["n_steps"] == 7 and method.settings["method"] == "captum:IntegratedGradients"
    grad_cam_object = captum.attr.LayerGradCam(net, net.relu2)
    by_name = create_attribution("captum:LayerGradCam", net, "relu2").attribute(inputs, 1)
    for obj in (grad_cam_object, grad_cam_object.attribute):
        assert torch.equal(create_attribution(obj, net).attribute(inputs, 1), by_name)
    assert create_attribution(grad_cam_object, net).settings["target_layer"] == "relu2"
    tunnel = functools.partial(captum.attr.NoiseTunnel(grad_cam_object).attribute, nt_samples=3, stdevs=0.1)
    assert create_attribution(tunnel, net).attribute(inputs, 1).shape == (2, 1, 16, 20)


def test_a_method_of_captum_that_has_no_name_here():
    net, inputs = modules_only(), images(2)
    values = captum.attr.LayerGradientXActivation(net, net.relu2).attribute(inputs, 1)
    expected = positive_layer(values)
    found = create_attribution(captum.attr.LayerGradientXActivation(net, net.relu2), net).attribute(inputs, 1)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)


def test_objects_that_cannot_be_taken_are_refused():
    net = modules_only()
    with pytest.raises(ValueError, match="must be bound to the model itself"):
        create_attribution(captum.attr.Saliency(net.forward), net)
    with pytest.raises(ValueError, match="must be given by name"):
        create_attribution(functools.partial(captum.attr.Saliency(net).attribute, images()), net)
    with pytest.raises(ValueError, match="target must be left out"):
        create_attribution(functools.partial(captum.attr.Saliency(net).attribute, target=1), net)


@pytest.mark.parametrize("sign", ["positive", "absolute"])
def test_the_reduction_over_colours_and_sign(sign):
    net, inputs = modules_only(), images(2)
    values = captum.attr.InputXGradient(net).attribute(inputs.clone().requires_grad_(), 1)
    expected = positive(values) if sign == "positive" else absolute(values)
    found = create_attribution("captum:InputXGradient", net, sign=sign).attribute(inputs, 1)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("IntegratedGradients", {"steps": 3}, "IntegratedGradients has no option steps; it takes .*n_steps"),
        ("Saliency", {"sign": "negative"}, "sign must be one of 'positive', 'absolute'; got 'negative'"),
        ("NoiseTunnel", {"base": "Salience"}, "base must be one of .*got 'Salience'; did you mean 'Saliency'"),
        ("LayerGradCam", {"target_layer": "relu3"}, "target_layer 'relu3' is not a module"),
    ],
)
def test_wrong_options_are_refused(method, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        create_attribution(f"captum:{method}", modules_only(), **options)


def test_a_wrong_target_for_which_the_bare_library_raises_errors_of_three_kinds():
    net, inputs = modules_only(), images(2)
    with pytest.raises(IndexError):
        captum.attr.Saliency(net).attribute(inputs.clone().requires_grad_(), 9)
    with pytest.raises(AssertionError):
        captum.attr.Saliency(net).attribute(inputs.clone().requires_grad_(), [1, 2, 3])
    for target in (9, [1, 2, 3]):
        with pytest.raises(ValueError, match="target"):
            create_attribution("captum:Saliency", net).attribute(inputs, target)


def test_a_tuple_which_the_bare_library_takes_for_one_index_of_all_images():
    net, inputs = modules_only(), images(2)
    bare = captum.attr.Saliency(net)
    with pytest.raises(AssertionError):  # one index of two parts, for an output that has one part
        bare.attribute(inputs.clone().requires_grad_(), (3, 0))
    ours = create_attribution("captum:Saliency", net)
    expected = torch.cat([ours.attribute(inputs[:1], 3), ours.attribute(inputs[1:], 0)])
    assert torch.allclose(ours.attribute(inputs, (3, 0)), expected, atol=1e-6)


def test_layer_grad_cam_which_gives_the_bare_library_signed_maps_of_the_layer_s_size():
    net, inputs = modules_only(), images(2)
    bare = captum.attr.LayerGradCam(net, net.relu2).attribute(inputs, 1)
    assert bare.shape == (2, 1, 8, 10) and bare.min() < 0 < bare.max()
    maps = create_attribution("captum:LayerGradCam", net, "relu2").attribute(inputs, 1)
    assert maps.shape == (2, 1, 16, 20) and maps.min() == 0 and maps.max() == 1


def test_in_place_relus_make_no_difference():
    net, inputs = modules_only(), images(2)
    expected = {name: create_attribution(f"captum:{name}", net).attribute(inputs, 1) for name in METHODS}
    net.relu1.inplace = net.relu2.inplace = True
    for name in METHODS:
        found = create_attribution(f"captum:{name}", net).attribute(inputs, 1)
        assert torch.allclose(found, expected[name], atol=1e-5), name
    assert net.relu1.inplace and net.relu2.inplace


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_models_give_finite_float32_maps(method, dtype):
    maps = create_attribution(f"captum:{method}", modules_only().to(dtype)).attribute(images(2), 1)
    assert maps.dtype == torch.float32 and torch.isfinite(maps).all() and maps.amax() == 1


@pytest.mark.parametrize("method", METHODS)
def test_corrections_run_and_say_nothing(method, capfd):
    result = ProbabilityCorrector(modules_only(), f"captum:{method}", top_k=2).correct(images(2))
    assert torch.allclose(result.corrected_probs.sum(dim=1), torch.ones(2))
    assert capfd.readouterr() == ("", "")


def test_grad_cam_is_cam_before_a_linear_head():
    net, inputs = make_tiny_net(), images()
    cam = create_attribution("CAM", net, "act").attribute(inputs, TARGETS)
    found = create_attribution("captum:LayerGradCam", net, "act").attribute(inputs, TARGETS)
    assert torch.allclose(found, cam, atol=1e-5, rtol=0)


def test_importing_the_backend_does_not_import_the_library():
    code = "import maskcorrect_adapters.captum_ as m, sys; m.CaptumBackend().methods(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "captum" not in done.stdout.split()
