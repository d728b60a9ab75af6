"""pytorch-grad-cam through the adapter equals pytorch-grad-cam called directly, and min-max scaled, within 1e-6."""

import contextlib
import io

import numpy as np
import pytest
import torch

pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")

from conftest import images, make_tiny_net  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

from maskcorrect_adapters.pytorch_grad_cam_ import GradCamBackend  # noqa: E402
from maskcorrect_plugin import create_attribution  # noqa: E402
from maskcorrect_plugin.functional import scale_maps  # noqa: E402

TARGETS = torch.tensor([3, 0, 4])
METHODS = [name for name in GradCamBackend().methods() if name not in ("RandomCAM", "FinerCAM")]


def direct(name, net, layers, inputs, targets, call=None, **options):
    """The library alone, as its README says."""
    with contextlib.redirect_stdout(io.StringIO()), getattr(pytorch_grad_cam, name)(net, layers, **options) as cam:
        maps = cam(inputs, [ClassifierOutputTarget(int(target)) for target in targets], **(call or {}))
    net.zero_grad()
    return scale_maps(torch.from_numpy(maps)).unsqueeze(1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("layer", ["act", "body"])
def test_a_batch_of_classes_equals_the_library(name, layer):
    net, inputs = make_tiny_net(), images()
    layers = [] if name == "FullGrad" else [net.get_submodule(layer)]
    expected = direct(name, net, layers, inputs, TARGETS)
    found = create_attribution(f"pytorch_grad_cam:{name}", net, layer).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0), (found - expected).abs().max()
    assert found.amax() > 0.99  # nothing is compared that is only zeros


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FEM", {"k": 1}),
        ("KPCA_CAM", {"kernel": "rbf", "gamma": 0.2}),
        ("AblationCAM", {"batch_size": 2, "ratio_channels_to_ablate": 0.4}),
    ],
)
def test_options_of_the_constructor_reach_the_library(name, options):
    net, inputs = make_tiny_net(dead=False), images()  # the library divides by the maximum of a dead channel
    expected = direct(name, net, [net.act], inputs, TARGETS, **options)
    found = create_attribution(f"pytorch_grad_cam:{name}", net, "act", **options).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    default = create_attribution(f"pytorch_grad_cam:{name}", net, "act").attribute(inputs, TARGETS)
    assert not torch.allclose(found, default, atol=1e-3)


@pytest.mark.parametrize("smoothing", ["eigen_smooth", "aug_smooth"])
@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM"])
def test_the_library_s_own_smoothing(name, smoothing):
    net, inputs = make_tiny_net(), images()
    expected = direct(name, net, [net.act], inputs, TARGETS, call={smoothing: True})
    method = create_attribution(f"pytorch_grad_cam:{name}", net, "act", **{smoothing: True})
    assert torch.allclose(method.attribute(inputs, TARGETS), expected, atol=1e-6, rtol=0)
    assert method.settings[smoothing] is True


@pytest.mark.parametrize("name", ["GradCAM", "GradCAMPlusPlus", "EigenCAM", "ScoreCAM"])
def test_several_layers_are_averaged_as_the_library_does(name):
    net, inputs = make_tiny_net(), images()
    expected = direct(name, net, [net.norm, net.act], inputs, TARGETS)
    method = create_attribution(f"pytorch_grad_cam:{name}", net, target_layers=["norm", "act"])
    assert torch.allclose(method.attribute(inputs, TARGETS), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"alpha": 0.5, "comparison_categories": [1, 2]}])
def test_finer_cam_equals_the_library_image_by_image(options):
    net, inputs = make_tiny_net(), images()
    found = create_attribution("pytorch_grad_cam:FinerCAM", net, "act", **options).attribute(inputs, TARGETS)
    for row, target in enumerate(TARGETS):  # the library takes one target for the whole batch
        with pytorch_grad_cam.FinerCAM(net, [net.act]) as cam:
            maps = cam(inputs[row : row + 1], target_idx=int(target), **options)
        assert torch.allclose(found[row], scale_maps(torch.from_numpy(maps)), atol=1e-6, rtol=0)


def test_random_cam_equals_the_library_from_the_same_seed():
    net, inputs = make_tiny_net(), images(1)
    np.random.seed(5)
    expected = direct("RandomCAM", net, [net.act], inputs, [2])
    found = create_attribution("pytorch_grad_cam:RandomCAM", net, "act", seed=5).attribute(inputs, 2)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    other = create_attribution("pytorch_grad_cam:RandomCAM", net, "act", seed=6).attribute(inputs, 2)
    assert not torch.allclose(found, other, atol=1e-3)


@pytest.mark.parametrize("name", METHODS)
def test_the_user_s_own_object(name):
    net, inputs = make_tiny_net(), images()
    layers = [] if name == "FullGrad" else [net.act]
    with contextlib.redirect_stdout(io.StringIO()):
        cam = getattr(pytorch_grad_cam, name)(net, layers)
    expected = direct(name, net, layers, inputs, TARGETS)
    found = create_attribution(cam, net).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    targets = [ClassifierOutputTarget(int(target)) for target in TARGETS]
    again = scale_maps(torch.from_numpy(cam(inputs, targets))).unsqueeze(1)  # it goes on working by itself
    assert torch.allclose(again, expected, atol=1e-6, rtol=0)


def test_native_score_cam_with_the_library_s_preset():
    net, inputs = make_tiny_net(), images()
    expected = direct("ScoreCAM", net, [net.act], inputs, TARGETS)
    found = create_attribution("ScoreCAM", net, "act", preset="grad_cam").attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-5, rtol=0)


def test_grad_cam_hires_cam_and_xgrad_cam_are_cam_before_a_linear_head():
    net, inputs = make_tiny_net(), images()
    cam = create_attribution("CAM", net, "act").attribute(inputs, TARGETS)
    for name in ("GradCAM", "HiResCAM", "XGradCAM"):
        found = create_attribution(f"pytorch_grad_cam:{name}", net, "act").attribute(inputs, TARGETS)
        assert torch.allclose(found, cam, atol=1e-5, rtol=0), name


def test_every_cam_class_of_the_installed_version_is_offered_or_left_out_for_a_reason():
    from maskcorrect_adapters.pytorch_grad_cam_ import OTHERS

    classes = {name for name, value in vars(pytorch_grad_cam).items() if isinstance(value, type)}
    parts = {"ActivationsAndGradients", "AblationLayer", "AblationLayerVit", "AblationLayerFasterRCNN"}
    assert classes - parts == set(GradCamBackend().methods()) | set(OTHERS)
