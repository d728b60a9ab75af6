"""Native Score-CAM against loops from the formulas, the libraries that it is named after, and Captum's interface."""

import copy

import pytest
import reference
import torch
from conftest import Counter, images, make_tiny_net
from passes import Synchronisations
from torch import nn

from maskcorrect_adapters.presets import PRESETS
from maskcorrect_plugin import ScoreCAM, create_attribution
from maskcorrect_plugin.functional import scale_maps, upsample


def maps_of(net, inputs, candidates, **options):
    return create_attribution("ScoreCAM", net, "act", **options).attribute_candidates(inputs, candidates)


def candidates_for(inputs, *classes):
    return torch.tensor([classes] * len(inputs), device=inputs.device)


@pytest.mark.parametrize("preset", ["official", "paper_v2"])
@pytest.mark.parametrize("dead", [True, False])
def test_equals_the_float64_loop(device, preset, dead):
    net = make_tiny_net(dead=dead)
    inputs = images()
    loop = {"official": reference.score_cam, "paper_v2": reference.score_cam_paper_v2}[preset]
    exact_net = copy.deepcopy(net).double()
    maps = maps_of(net.to(device), inputs.to(device), candidates_for(inputs.to(device), 0, 3, 4), preset=preset).cpu()
    for row, image in enumerate(inputs.double()):
        for column, target in enumerate((0, 3, 4)):
            expected = loop(exact_net, exact_net.act, image, target)
            assert expected is not None
            torch.testing.assert_close(maps[row, column].double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dead", [True, False])
def test_preset_grad_cam_equals_that_library(dead):
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, inputs = make_tiny_net(dead=dead), images()
    maps = maps_of(net, inputs, candidates_for(inputs, 2), preset="grad_cam")
    theirs = library.ScoreCAM(net, [net.act])(inputs, [ClassifierOutputTarget(2)] * len(inputs))
    torch.testing.assert_close(maps[:, 0], torch.as_tensor(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dead", [True, False])
def test_preset_torchcam_equals_that_library(dead):
    methods = pytest.importorskip("torchcam.methods")
    net, inputs = make_tiny_net(dead=dead), images()
    maps = maps_of(net, inputs, candidates_for(inputs, 2), preset="torchcam")
    with methods.ScoreCAM(net, "act", input_shape=(3, 16, 20)) as extractor, torch.no_grad():
        scores = net(inputs)
        theirs = extractor(2, scores)[0]
    theirs = torch.nn.functional.interpolate(theirs[:, None], (16, 20), mode="bilinear")
    torch.testing.assert_close(maps, theirs, rtol=0, atol=1e-5)


def test_the_presets_are_different_functions():
    net, inputs = make_tiny_net(), images()
    maps = {name: maps_of(net, inputs, candidates_for(inputs, 1), preset=name) for name in PRESETS}
    names = list(maps)
    for first in range(len(names)):
        for second in range(first):
            assert (maps[names[first]] - maps[names[second]]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("preset", "dead_forwards"), [("official", 0), ("paper_v2", 0), ("grad_cam", 1), ("torchcam", 1)]
)
def test_forwards_are_one_per_live_channel_whatever_k(tiny_net, tiny_images, preset, dead_forwards):
    """Five of six channels are live; the libraries' softmax counts the dead one, by one forward of the zero input."""
    counter = Counter(tiny_net)
    for top_k in (1, 5):
        counter.reset()
        maps_of(tiny_net, tiny_images, candidates_for(tiny_images, *range(top_k)), preset=preset)
        assert counter.inputs == len(tiny_images) * (1 + 5 + dead_forwards)


def test_passes_of_several_images_are_packed_together(tiny_net, tiny_images):
    counter = Counter(tiny_net)
    ScoreCAM(tiny_net, tiny_net.act).attribute(tiny_images, 0, perturbations_per_eval=4)
    assert counter.batches == [3, 4, 4, 4, 3]  # 15 passes of three images, not 3 * (4 + 1)


def test_no_hook_is_armed_during_the_passes(tiny_net, tiny_images):
    armed = []
    handle = tiny_net.register_forward_pre_hook(lambda m, i: armed.append(len(tiny_net.act._forward_hooks)))
    ScoreCAM(tiny_net, tiny_net.act).attribute(tiny_images, 0)
    handle.remove()
    assert armed == [1] + [0] * (len(armed) - 1) and len(armed) > 1


def test_the_host_waits_equally_often_for_few_channels_and_for_many(tiny_images):
    waits = []
    for channels in (6, 48):
        net = make_tiny_net(channels=channels).to(tiny_images.device)
        method = create_attribution("ScoreCAM", net, "act")
        with Synchronisations() as during:
            method.attribute_candidates(tiny_images, candidates_for(tiny_images, 0, 1))
        waits.append(during.count)
    assert waits[0] == waits[1] <= 12


def test_pytorch_grad_cam_waits_once_for_each_channel():
    pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam")
    waits = []
    for channels in (6, 48):
        net = make_tiny_net(channels=channels)
        with pytorch_grad_cam.ScoreCAM(net, [net.act]) as cam, Synchronisations() as during:
            cam(images(1), None)
        waits.append(during.count)
    assert waits[1] - waits[0] >= 48 - 6


def test_an_in_place_relu_after_the_layer_does_not_change_the_map(device):
    net = make_tiny_net().to(device)
    inputs = images().to(device)
    expected = create_attribution("ScoreCAM", net, "body").attribute(inputs, 1)
    net.act = nn.ReLU(inplace=True)
    torch.testing.assert_close(create_attribution("ScoreCAM", net, "body").attribute(inputs, 1), expected)


def test_all_channels_dead_gives_an_all_zero_map(tiny_net, tiny_images):
    tiny_net.body.weight.data.zero_()
    tiny_net.body.bias.data.fill_(0.37)  # bilinear rounding of a constant must not become a mask
    for preset in PRESETS:
        maps = maps_of(tiny_net, tiny_images, candidates_for(tiny_images, 0), preset=preset)
        assert torch.isfinite(maps).all()
        assert (maps.amax((-2, -1)) == maps.amin((-2, -1))).all(), preset


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("preset", list(PRESETS))
def test_half_precision_with_dead_channels_is_finite_and_near_the_exact_map(device, dtype, preset):
    net = make_tiny_net().to(device)
    inputs = images().to(device)
    exact = maps_of(net, inputs, candidates_for(inputs, 0, 1), preset=preset)
    maps = maps_of(net.to(dtype), inputs, candidates_for(inputs, 0, 1), preset=preset)
    assert maps.dtype == torch.float32 and torch.isfinite(maps).all()
    assert (maps - exact).abs().mean() < 0.05


def test_float64_models_give_float64_maps(device):
    net = make_tiny_net().to(device).double()
    assert maps_of(net, images().to(device).double(), candidates_for(images().to(device), 0)).dtype == torch.float64


def test_models_that_return_probabilities(tiny_net, tiny_images):
    with_softmax = nn.Sequential(tiny_net, nn.Softmax(-1))
    expected = ScoreCAM(tiny_net, tiny_net.act).attribute(tiny_images, 1)
    maps = ScoreCAM(with_softmax, tiny_net.act, output="probs").attribute(tiny_images, 1)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5)


# Captum's interface


def test_tensor_in_tensor_out_tuple_in_tuple_out(tiny_net, tiny_images):
    cam = ScoreCAM(tiny_net, tiny_net.act)
    single = cam.attribute(tiny_images, 1)
    (first,) = cam.attribute((tiny_images,), 1)
    assert single.shape == (3, 1, 16, 20) and torch.equal(single, first)


def test_targets_of_every_kind(tiny_net, tiny_images):
    cam = ScoreCAM(tiny_net, tiny_net.act)
    one = cam.attribute(tiny_images, 1)
    for target in (torch.tensor(1), torch.tensor([1, 1, 1]), [1, 1, 1], torch.tensor([1])):
        assert torch.equal(cam.attribute(tiny_images, target), one)
    mixed = cam.attribute(tiny_images, [1, 0, 1])
    torch.testing.assert_close(mixed[0], one[0])
    assert not torch.allclose(mixed[1], one[1])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (None, "target must be given: the model has 5 classes"),
        (5, "from 0 to 4, got 5"),
        (-1, "from 0 to 4, got -1"),
        ([0, 1], r"one class per image \(3\), got \(2,\)"),
        (torch.tensor([0.5]), "must hold integers"),
        ((1, 2), "one class per image"),
        (True, "target must be an int"),
    ],
)
def test_wrong_targets_are_refused(tiny_net, tiny_images, target, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ScoreCAM(tiny_net, tiny_net.act).attribute(tiny_images, target)


def test_target_none_is_for_models_with_one_score(tiny_net, tiny_images):
    class Single(nn.Module):
        def forward(self, scores):
            return scores[:, 1:2].exp()

    class Constant(nn.Module):
        def forward(self, scores):
            return torch.ones_like(scores[:, :1])

    net = nn.Sequential(tiny_net, Single())
    maps = ScoreCAM(net, tiny_net.act).attribute(tiny_images)
    assert maps.shape == (3, 1, 16, 20) and (maps.amax((-2, -1)) == 1).all()
    # The score itself is the weight: a constant score weighs all channels alike.
    constant = ScoreCAM(nn.Sequential(tiny_net, Constant()), tiny_net.act).attribute(tiny_images)
    activations = []
    with tiny_net.act.register_forward_hook(lambda m, i, o: activations.append(o)), torch.no_grad():
        tiny_net(tiny_images)
    torch.testing.assert_close(constant, scale_maps(upsample(activations[0].sum(1, keepdim=True), (16, 20))))


def test_additional_forward_args_go_along_row_by_row(tiny_net, tiny_images):
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = tiny_net

        def forward(self, inputs, scale, power):
            assert scale.shape == (len(inputs), 1)
            return self.net(inputs) * scale**power

    scale = torch.tensor([[0.5], [1.0], [2.0]], device=tiny_images.device)
    cam = ScoreCAM(Scaled(), tiny_net.act)
    together = cam.attribute(tiny_images, 1, additional_forward_args=(scale, 2))
    for row in range(3):
        alone = cam.attribute(tiny_images[row : row + 1], 1, additional_forward_args=(scale[row : row + 1], 2))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)


def test_several_inputs_are_all_masked(tiny_net, tiny_images):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = tiny_net

        def forward(self, left, right):
            return self.net(left) + right.mean(dim=(-2, -1)) @ torch.eye(3, 5, device=left.device)

    small = images(size=(8, 10), seed=5).to(tiny_images.device)
    left, right = ScoreCAM(Pair(), tiny_net.act).attribute((tiny_images, small), 0)
    assert left.shape == (3, 1, 16, 20) and right.shape == (3, 1, 8, 10)


def test_noise_tunnel_runs_and_smooths(tiny_net, tiny_images):
    from captum.attr import NoiseTunnel

    tunnel = NoiseTunnel(ScoreCAM(tiny_net, tiny_net.act))
    still = tunnel.attribute(tiny_images, nt_samples=2, stdevs=0.0, target=1)
    torch.testing.assert_close(still, ScoreCAM(tiny_net, tiny_net.act).attribute(tiny_images, 1), rtol=0, atol=1e-5)
    noisy = tunnel.attribute(tiny_images, nt_samples=4, stdevs=0.5, target=1)
    assert noisy.shape == still.shape and not torch.allclose(noisy, still, atol=1e-3)


def test_captum_metrics(tiny_net, tiny_images):
    from captum.metrics import infidelity, sensitivity_max

    cam = ScoreCAM(tiny_net, tiny_net.act)
    sensitivity = sensitivity_max(cam.attribute, tiny_images, target=1, n_perturb_samples=2)
    assert sensitivity.shape == (3,) and (sensitivity > 0).all()

    def perturb(inputs):
        noise = 0.1 * torch.randn_like(inputs)
        return noise, inputs - noise

    expanded = cam.attribute(tiny_images, 1).expand_as(tiny_images)
    assert infidelity(tiny_net, perturb, tiny_images, expanded, target=1).shape == (3,)


def test_progress_goes_to_stderr_only_when_asked(tiny_net, tiny_images, capsys):
    cam = ScoreCAM(tiny_net, tiny_net.act)
    cam.attribute(tiny_images, 0)
    assert capsys.readouterr() == ("", "")
    cam.attribute(tiny_images, 0, show_progress=True)
    captured = capsys.readouterr()
    assert captured.out == "" and "Score-CAM" in captured.err


@pytest.mark.parametrize(
    ("layer", "message"),
    [("head", r"feature maps \(N,C,h,w\), but it gives shape \(3, 5\)"), ("unused", "did not run")],
)
def test_layers_without_feature_maps_are_refused(tiny_net, tiny_images, layer, message):
    tiny_net.unused = nn.Conv2d(3, 3, 3)
    with pytest.raises(ValueError, match=message):
        create_attribution("ScoreCAM", tiny_net, layer).attribute(tiny_images, 0)


def test_the_model_is_left_as_found_also_after_a_failing_forward(tiny_net, tiny_images):
    tiny_net.train()
    tiny_net.norm.eval()
    tiny_net.stem.weight.requires_grad_(False)
    tiny_net.head.weight.grad = torch.ones_like(tiny_net.head.weight)
    tiny_images.requires_grad_(True)
    state = {name: value.clone() for name, value in tiny_net.state_dict().items()}
    flags = [module.training for module in tiny_net.modules()]
    random_state = torch.get_rng_state()
    calls = []

    def failing_later(_module, _inputs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyError("the third forward fails")

    cam = ScoreCAM(tiny_net, tiny_net.act)
    cam.attribute(tiny_images, 1, perturbations_per_eval=4)
    handle = tiny_net.register_forward_pre_hook(failing_later)
    with pytest.raises(KeyError):
        cam.attribute(tiny_images, 1, perturbations_per_eval=4)
    handle.remove()
    assert [module.training for module in tiny_net.modules()] == flags
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in tiny_net.modules())
    assert all(torch.equal(tiny_net.state_dict()[name], value) for name, value in state.items())
    assert not tiny_net.stem.weight.requires_grad and tiny_net.body.weight.requires_grad
    assert torch.equal(tiny_net.head.weight.grad, torch.ones_like(tiny_net.head.weight))
    assert tiny_net.body.weight.grad is None and tiny_images.grad is None
    assert torch.equal(torch.get_rng_state(), random_state) and torch.is_grad_enabled()


def test_one_image_does_not_depend_on_its_batch(tiny_net, tiny_images):
    together = maps_of(tiny_net, tiny_images, candidates_for(tiny_images, 0, 2))
    for row in range(3):
        alone = maps_of(tiny_net, tiny_images[row : row + 1], candidates_for(tiny_images[:1], 0, 2))
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-5)
