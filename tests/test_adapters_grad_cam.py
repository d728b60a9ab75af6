"""What the adapter of pytorch-grad-cam guarantees, and the faults of the bare library that it keeps away."""

import contextlib
import sys
import warnings

import pytest
import torch
from torch import nn

pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")

from conftest import images, make_tiny_net  # noqa: E402
from passes import Largest, PassCounter  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

from maskcorrect_adapters.pytorch_grad_cam_ import GradCamBackend  # noqa: E402
from maskcorrect_plugin import ProbabilityCorrector, create_attribution, make_correctors, testing  # noqa: E402
from maskcorrect_plugin.recipe import PAPER  # noqa: E402
from maskcorrect_plugin.together import correct_together  # noqa: E402

BACKEND = GradCamBackend()
METHODS = BACKEND.methods()
CHANNELS = 6


@pytest.mark.parametrize(("name", "check"), testing.iter_checks(BACKEND))
def test_the_contract(name, check):
    check()


def test_the_contract_on_the_chosen_device(device):
    testing.check_backend(BACKEND, METHODS if device.type != "cpu" else ["GradCAM"], device=device)


def test_the_bare_library_repeats_score_cam_s_passes_for_every_class():
    net, inputs = make_tiny_net(), images(1)
    counter = PassCounter(net)
    with pytorch_grad_cam.ScoreCAM(net, [net.act]) as cam:
        for target in range(5):
            cam(inputs, [ClassifierOutputTarget(target)])
    assert counter.inputs == 5 * (1 + CHANNELS)


def test_masked_images_which_the_bare_library_makes_for_the_whole_batch_at_once():
    net, inputs = make_tiny_net(), images(3)
    with Largest() as bare, pytorch_grad_cam.ScoreCAM(net, [net.act]) as cam:
        cam(inputs, [ClassifierOutputTarget(0)] * 3)
    with Largest() as ours:
        create_attribution("pytorch_grad_cam:ScoreCAM", net, "act").attribute(inputs, 0)
    assert bare.numel == CHANNELS * inputs.numel()  # the bare library's fault
    assert ours.numel == CHANNELS * inputs[0].numel()


def test_the_model_s_mode_and_gradients_which_the_bare_library_changes():
    net, inputs = make_tiny_net().train(), images(1)
    with pytorch_grad_cam.GradCAM(net, [net.act]) as cam:
        cam(inputs, [ClassifierOutputTarget(0)])
    assert not net.training and net.head.weight.grad is not None  # the bare library's faults
    net = make_tiny_net().train()
    create_attribution("pytorch_grad_cam:GradCAM", net, "act").attribute(inputs, 0)
    assert net.training and all(parameter.grad is None for parameter in net.parameters())


def test_an_index_error_which_the_bare_library_swallows():
    net, inputs = make_tiny_net(), images(1)
    after = False
    with pytorch_grad_cam.GradCAM(net, [net.act]):
        raise IndexError("lost")
    after = True
    assert after  # the bare library's fault: the line above is reached
    net.head.register_forward_pre_hook(lambda *_: [][0])
    with pytest.raises(IndexError):
        create_attribution("pytorch_grad_cam:GradCAM", net, "act").attribute(inputs, 0)


def test_one_target_for_two_images_which_gives_the_bare_library_a_map_of_zeros():
    net, inputs = make_tiny_net(), images(2)
    with pytorch_grad_cam.GradCAM(net, [net.act]) as cam:
        bare = cam(inputs, [ClassifierOutputTarget(0)])
    assert bare[0].max() > 0.9 and bare[1].max() == 0  # the bare library's fault
    maps = create_attribution("pytorch_grad_cam:GradCAM", net, "act").attribute(inputs, 0)
    assert (maps.amax(dim=(1, 2, 3)) > 0.9).all()


class FailsAfter(nn.Module):
    """The tiny network, whose forward number `count` raises."""

    def __init__(self, count):
        super().__init__()
        self.net = make_tiny_net()
        self.count = count

    def forward(self, inputs):
        self.count -= 1
        if self.count < 0:
            raise RuntimeError("this forward fails")
        return self.net(inputs)


def test_a_failing_forward_after_which_the_bare_library_leaves_its_proxy_in_the_model():
    model, inputs = FailsAfter(2), images(1)
    original = model.net.act
    with pytorch_grad_cam.AblationCAM(model, [original]) as cam, pytest.raises(RuntimeError):
        cam(inputs, [ClassifierOutputTarget(0)])
    assert model.net.act is not original  # the bare library's fault
    for count in range(4):
        model = FailsAfter(count)
        original = model.net.act
        with contextlib.suppress(RuntimeError):
            create_attribution("pytorch_grad_cam:AblationCAM", model, "net.act").attribute(inputs, 0)
        assert model.net.act is original and not original._forward_hooks


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_models_with_which_the_bare_library_crashes_or_gives_nan(method, dtype):
    net, inputs = make_tiny_net().to(dtype), images(2)
    if dtype == torch.bfloat16:
        with pytorch_grad_cam.GradCAM(net, [net.act]) as cam, pytest.raises(TypeError, match="BFloat16"):
            cam(inputs.to(dtype), [ClassifierOutputTarget(0)] * 2)
    bound = create_attribution(f"pytorch_grad_cam:{method}", net, "act")
    if method in ("FullGrad", "ShapleyCAM"):
        with pytest.raises(ValueError, match=rf"pytorch_grad_cam:{method} cannot work with a {dtype} model"):
            bound.attribute(inputs, 1)
        return
    maps = bound.attribute(inputs, 1)
    assert maps.dtype == torch.float32 and torch.isfinite(maps).all() and maps.amax() > 0.9


def test_dead_channels_in_float16_which_give_the_bare_library_nan():
    net, inputs = make_tiny_net().half(), images(2).half()
    with pytorch_grad_cam.ScoreCAM(net, [net.act]) as cam, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of what it is given
        bare = cam(inputs, [ClassifierOutputTarget(1)] * 2)
    assert not (bare > 0).any()  # the bare library's fault: NaN, or what OpenCV makes of it
    maps = create_attribution("pytorch_grad_cam:ScoreCAM", net, "act").attribute(inputs, 1)
    assert torch.isfinite(maps).all() and (maps.amax(dim=(1, 2, 3)) > 0.9).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_augmentation_smoothing_of_half_precision_models_is_refused(dtype):
    method = create_attribution("pytorch_grad_cam:GradCAM", make_tiny_net().to(dtype), "act", aug_smooth=True)
    with pytest.raises(ValueError, match=rf"cannot work with a {dtype} model"):
        method.attribute(images(1), 0)


def test_autocast_with_which_the_bare_library_crashes():
    net, inputs = make_tiny_net(), images(2)
    with (
        torch.autocast("cpu", torch.bfloat16),
        pytorch_grad_cam.GradCAM(net, [net.body]) as cam,
        pytest.raises(TypeError, match="BFloat16"),
    ):
        cam(inputs, [ClassifierOutputTarget(0)] * 2)
    corrector = ProbabilityCorrector(net, "pytorch_grad_cam:GradCAM", "body", top_k=2, precision="bfloat16")
    result = corrector.correct(inputs, keep=("attributions",))
    exact = create_attribution("pytorch_grad_cam:GradCAM", net, "body").attribute_candidates(inputs, result.candidates)
    assert (result.attributions - exact).abs().max() < 0.1


class InPlace(nn.Module):
    """A functional in-place ReLU behind the hooked layer, as in torchvision's DenseNet, or the same out of place."""

    def __init__(self, inplace):
        super().__init__()
        self.net = make_tiny_net()
        self.inplace = inplace

    def forward(self, inputs):
        maps = self.net.body(torch.relu(self.net.norm(self.net.stem(inputs))))
        maps = nn.functional.relu(maps, inplace=self.inplace)
        return self.net.head(maps.mean(dim=(-2, -1)))


@pytest.mark.parametrize("method", ["GradCAM", "XGradCAM", "EigenCAM", "ScoreCAM", "GradCAMPlusPlus"])
def test_an_in_place_relu_which_overwrites_what_the_bare_library_stored(method):
    inputs = images(2)
    bare, found = [], []
    for inplace in (False, True):
        net = InPlace(inplace)
        with getattr(pytorch_grad_cam, method)(net, [net.net.body]) as cam:
            bare.append(torch.from_numpy(cam(inputs, [ClassifierOutputTarget(1)] * 2)))
        found.append(create_attribution(f"pytorch_grad_cam:{method}", net, "net.body").attribute(inputs, 1))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert not torch.allclose(bare[0], bare[1], atol=1e-3)  # the bare library's fault


def test_hooks_which_stay_armed_in_the_bare_library():
    net, inputs = make_tiny_net(), images(1)
    seen = []
    with pytorch_grad_cam.ScoreCAM(net, [net.act]) as cam:
        cam(inputs, [ClassifierOutputTarget(0)])
        assert len(cam.activations_and_grads.activations) > 1  # the bare library keeps those of masked forwards, too
    net.head.register_forward_hook(lambda *_: seen.append(len(net.act._forward_hooks)))
    create_attribution("pytorch_grad_cam:ScoreCAM", net, "act").attribute(inputs, 0)
    assert len(seen) > 1 and seen[0] == 1 and not any(seen[1:])  # ours, in the first forward only


def test_a_user_s_object_no_longer_records_the_corrector_s_forwards():
    net, inputs = make_tiny_net(), images(2)
    cam = pytorch_grad_cam.GradCAM(net, [net.act])
    corrector = ProbabilityCorrector(net, cam, top_k=3)
    assert not net.act._forward_hooks
    corrector.correct(inputs)
    assert not net.act._forward_hooks and not cam.activations_and_grads.activations
    assert create_attribution(cam, net).settings["target_layer"] == "act"
    with pytest.raises(ValueError, match="must be bound to the model that is corrected"):
        create_attribution(cam, make_tiny_net())


def test_a_user_s_own_cam_class():
    class MeanGradient(pytorch_grad_cam.GradCAM):
        def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):
            return abs(grads).mean(axis=(2, 3))

    net, inputs = make_tiny_net(), images(2)
    cam = MeanGradient(net, [net.act])
    expected = torch.from_numpy(cam(inputs, [ClassifierOutputTarget(2)] * 2)).unsqueeze(1)
    assert torch.allclose(create_attribution(cam, net).attribute(inputs, 2), expected, atol=1e-5)


@pytest.mark.parametrize("method", ["ScoreCAM", "AblationCAM", "FullGrad", "HiResCAM"])
def test_nothing_is_printed(method, capfd):
    net = make_tiny_net()
    options = {"eigen_smooth": True} if method == "HiResCAM" else {}
    create_attribution(f"pytorch_grad_cam:{method}", net, "act", **options).attribute(images(2), 0)
    assert capfd.readouterr() == ("", "")


def test_methods_that_ignore_the_class_say_so_and_are_computed_once(monkeypatch):
    unaware = {name for name in METHODS if not BACKEND.info(name).class_aware}
    assert unaware == {"EigenCAM", "KPCA_CAM", "FEM", "RandomCAM"}
    calls = []
    original = pytorch_grad_cam.EigenCAM.get_cam_image
    monkeypatch.setattr(
        pytorch_grad_cam.EigenCAM, "get_cam_image", lambda *args, **kwargs: calls.append(1) or original(*args, **kwargs)
    )
    maps = create_attribution("pytorch_grad_cam:EigenCAM", make_tiny_net(), "act").attribute_candidates(
        images(2), torch.tensor([[0, 1, 2], [2, 3, 4]])
    )
    assert len(calls) == 1 and torch.equal(maps[:, 0], maps[:, 2])


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("GradCAM", {"steps": 3}, "GradCAM has no option steps; it takes aug_smooth, eigen_smooth"),
        ("GradCAM", {"target_layer": "act", "target_layers": ["act"]}, "must not both be given"),
        ("GradCAM", {"target_layer": "acts"}, "target_layer 'acts' is not a module of TinyNet; did you mean 'act'"),
        ("FinerCAM", {"aug_smooth": True}, "aug_smooth must be False for FinerCAM"),
        ("GradCAM", {"reshape_transform": "vitt"}, "reshape_transform must be one of 'auto', 'vit', 'swin'"),
    ],
)
def test_wrong_options_are_refused(method, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        create_attribution(f"pytorch_grad_cam:{method}", make_tiny_net(), **options)


def test_gradient_methods_that_watch_one_forward_give_what_each_gives_alone():
    net, inputs = make_tiny_net(), images(2)
    layers = {"GradCAM": "act", "GradCAMPlusPlus": "act", "HiResCAM": "body", "LayerCAM": "act", "EigenCAM": "act"}
    recipes = {name: PAPER.replace(method=f"pytorch_grad_cam:{name}", target_layer=at) for name, at in layers.items()}
    together = correct_together(make_correctors(net, recipes), inputs, keep=["attributions"])
    for name, recipe in recipes.items():
        alone = ProbabilityCorrector(net, recipe=recipe).correct(inputs, keep=["attributions"])
        torch.testing.assert_close(together[name].attributions, alone.attributions, rtol=0, atol=1e-6)
        assert not together[name].flat.all()


def test_importing_the_backend_does_not_import_the_library():
    import subprocess

    code = "import maskcorrect_adapters.pytorch_grad_cam_ as m, sys; m.GradCamBackend().methods(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pytorch_grad_cam", "cv2", "sklearn"} & set(done.stdout.split())
