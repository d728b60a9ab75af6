"""torchcam through the adapter: the contract, parity within 1e-6, and the library's faults."""

import subprocess
import sys

import pytest
import torch
from conftest import images, make_tiny_net
from passes import Largest, PassCounter
from torch import nn

torchcam_methods = pytest.importorskip("torchcam.methods")

from maskcorrect_adapters.torchcam_ import OTHERS, TorchcamBackend  # noqa: E402
from maskcorrect_plugin import ProbabilityCorrector, create_attribution, testing  # noqa: E402
from maskcorrect_plugin.functional import scale_maps, upsample  # noqa: E402

BACKEND = TorchcamBackend()
METHODS = BACKEND.methods()
RANDOM = ("SmoothGradCAMpp", "SSCAM")
TARGETS = torch.tensor([3, 0, 4])
CHANNELS = 6


@pytest.mark.parametrize(("name", "check"), testing.iter_checks(BACKEND))
def test_the_contract(name, check):
    check()


def test_the_contract_on_the_chosen_device(device):
    testing.check_backend(BACKEND, METHODS if device.type != "cpu" else ["GradCAM"], device=device)


def direct(name, net, layer, inputs, targets, **options):
    """The library alone, as its README says, upsampled."""
    if name == "CAM":
        options["fc_layer"] = "head"
    with getattr(torchcam_methods, name)(net, layer, **options) as extractor:
        scores = net(inputs)
        maps = extractor(class_idx=targets.tolist(), scores=scores)
        fused = maps[0] if len(maps) == 1 else extractor.fuse_cams(maps)
    return upsample(fused.unsqueeze(1), inputs.shape[-2:]).detach()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in RANDOM])
@pytest.mark.parametrize("layer", ["act", "body"])
def test_a_batch_of_classes_equals_the_library(name, layer):
    net, inputs = make_tiny_net(), images()
    found = create_attribution(f"torchcam:{name}", net, layer).attribute(inputs, TARGETS)
    expected = direct(name, net, layer, inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0), (found - expected).abs().max()
    assert found.amax() > 0.5


@pytest.mark.parametrize("name", RANDOM)
def test_random_methods_equal_the_library_from_the_same_seed(name):
    net, inputs = make_tiny_net(), images(1)
    found = create_attribution(f"torchcam:{name}", net, "act", seed=3, num_samples=3).attribute(inputs, 2)
    torch.manual_seed(3)
    expected = direct(name, net, "act", inputs, TARGETS[:1] * 0 + 2, num_samples=3)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    other = create_attribution(f"torchcam:{name}", net, "act", seed=4, num_samples=3).attribute(inputs, 2)
    assert not torch.allclose(found, other, atol=1e-4)


@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM", "ScoreCAM"])
def test_several_layers_are_fused_as_the_library_does(name):
    net, inputs = make_tiny_net(), images()
    expected = direct(name, net, ["norm", "act"], inputs, TARGETS)
    found = create_attribution(f"torchcam:{name}", net, target_layers=["norm", "act"]).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)


def test_options_reach_the_library():
    net, inputs = make_tiny_net(), images()
    expected = direct("ISCAM", net, "act", inputs, TARGETS, num_samples=2)
    found = create_attribution("torchcam:ISCAM", net, "act", num_samples=2).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)
    expected = direct("FinerCAM", net, "act", inputs, TARGETS, gamma=0.2, base_method=torchcam_methods.LayerCAM)
    method = create_attribution("torchcam:FinerCAM", net, "act", gamma=0.2, base_method=torchcam_methods.LayerCAM)
    assert torch.allclose(method.attribute(inputs, TARGETS), expected, atol=1e-6, rtol=0)
    assert method.settings == {
        "method": "torchcam:FinerCAM",
        "gamma": 0.2,
        "base_method": "torchcam.methods.gradient.LayerCAM",
        "target_layer": "act",
    }


@pytest.mark.parametrize("name", [name for name in METHODS if name not in RANDOM])
def test_the_user_s_own_extractor(name):
    net, inputs = make_tiny_net(), images()
    options = {"fc_layer": "head"} if name == "CAM" else {}
    with getattr(torchcam_methods, name)(net, "act", **options) as extractor:
        found = create_attribution(extractor, net).attribute(inputs, TARGETS)
        assert torch.allclose(found, direct(name, net, "act", inputs, TARGETS), atol=1e-6, rtol=0)
        again = extractor(class_idx=TARGETS.tolist(), scores=net(inputs))[0]  # it goes on working by itself
        assert torch.allclose(upsample(again.unsqueeze(1), (16, 20)), found, atol=1e-6, rtol=0)


def test_a_refine_cam_object():
    net, inputs = make_tiny_net(), images()
    expected = direct("RefineCAM", net, ["norm", "act"], inputs, TARGETS)
    with torchcam_methods.RefineCAM(net, ["norm", "act"]) as extractor:
        found = create_attribution(extractor, net).attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0)


def test_native_score_cam_with_the_library_s_preset():
    net, inputs = make_tiny_net(), images()
    expected = direct("ScoreCAM", net, "act", inputs, TARGETS)
    found = create_attribution("ScoreCAM", net, "act", preset="torchcam").attribute(inputs, TARGETS)
    assert torch.allclose(found, expected, atol=1e-5, rtol=0)


def test_the_bare_library_repeats_score_cam_s_passes_for_every_class():
    net, inputs = make_tiny_net(), images(1)
    counter = PassCounter(net)
    with torchcam_methods.ScoreCAM(net, "act") as extractor:
        net(inputs)
        for target in range(5):
            extractor(class_idx=target)
    assert counter.inputs == 1 + 5 * (1 + CHANNELS)


def test_channels_which_the_bare_library_upsamples_for_the_whole_batch_at_once():
    net, inputs = make_tiny_net(channels=24), images(3)
    with Largest() as bare:
        direct("ISCAM", net, "act", inputs, TARGETS, batch_size=1)
    with Largest() as ours:
        create_attribution("torchcam:ISCAM", net, "act", batch_size=1).attribute(inputs, TARGETS)
    assert bare.numel == 24 * inputs[:, 0].numel()  # the bare library's fault
    assert ours.numel == 24 * inputs[0, 0].numel()


def test_grad_cam_and_xgrad_cam_are_cam_before_a_linear_head():
    """With the ReLU, which the library's own CAM does without; scaled at the layer's resolution, as it does."""
    net, inputs = make_tiny_net(), images()
    with torch.no_grad():
        maps = net.act(net.body(torch.relu(net.norm(net.stem(inputs)))))
        cam = torch.einsum("nc,nchw->nhw", net.head.weight[TARGETS], maps)
    cam = upsample(scale_maps(cam.relu()).unsqueeze(1), (16, 20))
    for name in ("GradCAM", "XGradCAM"):
        found = create_attribution(f"torchcam:{name}", net, "act").attribute(inputs, TARGETS)
        assert torch.allclose(found, cam, atol=1e-5, rtol=0), name


class InPlace(nn.Module):
    """A functional in-place ReLU behind the hooked layer, or the same out of place."""

    def __init__(self, inplace):
        super().__init__()
        self.net = make_tiny_net()
        self.inplace = inplace

    def forward(self, inputs):
        maps = self.net.body(torch.relu(self.net.norm(self.net.stem(inputs))))
        maps = nn.functional.relu(maps, inplace=self.inplace)
        return self.net.head(maps.mean(dim=(-2, -1)))


@pytest.mark.parametrize("method", ["GradCAM", "ScoreCAM", "GradCAMpp"])
def test_an_in_place_relu_which_overwrites_what_the_bare_library_stored(method):
    inputs, bare, found = images(), [], []
    for inplace in (False, True):
        net = InPlace(inplace)
        bare.append(direct(method, net, "net.body", inputs, TARGETS))
        found.append(create_attribution(f"torchcam:{method}", net, "net.body").attribute(inputs, TARGETS))
    assert torch.allclose(found[0], found[1], atol=1e-6)
    assert not torch.allclose(bare[0], bare[1], atol=1e-3)  # the bare library's fault


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_models_give_finite_float32_maps(method, dtype):
    maps = create_attribution(f"torchcam:{method}", make_tiny_net().to(dtype), "act").attribute(images(2), 1)
    assert maps.dtype == torch.float32 and torch.isfinite(maps).all() and maps.amax() > 0.5


def test_dead_channels_in_float16_which_give_the_bare_library_nan():
    net, inputs = make_tiny_net().half(), images().half()
    assert torch.isnan(direct("ScoreCAM", net, "act", inputs, TARGETS)).all()  # the bare library's fault
    maps = create_attribution("torchcam:ScoreCAM", net, "act").attribute(inputs, TARGETS)
    assert torch.isfinite(maps).all() and (maps.amax(dim=(1, 2, 3)) > 0.5).all()


@pytest.mark.parametrize("method", METHODS)
def test_corrections_run_and_say_nothing(method, capfd, caplog):
    result = ProbabilityCorrector(make_tiny_net(), f"torchcam:{method}", top_k=2).correct(images(2))
    assert torch.allclose(result.corrected_probs.sum(dim=1), torch.ones(2))
    assert capfd.readouterr() == ("", "") and not caplog.records


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("ScoreCAM", {"steps": 3}, "ScoreCAM has no option steps; it takes batch_size"),
        ("GradCAM", {"target_layer": "act", "target_layers": ["act"]}, "must not both be given"),
        ("GradCAM", {"target_layer": "acts"}, "target_layer 'acts' is not a module"),
    ],
)
def test_wrong_options_are_refused(method, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        create_attribution(f"torchcam:{method}", make_tiny_net(), **options)


def test_every_extractor_of_the_installed_version_is_offered_or_left_out_for_a_reason():
    from torchcam.methods.core import _CAM
    from torchcam.methods.gradient import _CAMWrapper

    classes = {
        name
        for name, value in vars(torchcam_methods).items()
        if isinstance(value, type) and issubclass(value, _CAM | _CAMWrapper) and not name.startswith("_")
    }
    assert classes == set(METHODS) | set(OTHERS)


def test_importing_the_backend_does_not_import_the_library():
    code = "import maskcorrect_adapters.torchcam_ as m, sys; m.TorchcamBackend().methods(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torchcam" not in done.stdout.split()
