import pytest
import reference
import torch
import torchvision
from conftest import Counter, images, make_tiny_net
from torch import nn

from maskcorrect_plugin import create_attribution


def test_equals_the_closed_form_by_a_loop(tiny_net, tiny_images):
    maps = create_attribution("CAM", tiny_net, "act").attribute_candidates(tiny_images, torch.tensor([[0, 4]] * 3))
    weight = tiny_net.head.weight.detach().cpu().double()
    for row, image in enumerate(tiny_images):
        activations = reference.activations_of(tiny_net, tiny_net.act, image).cpu().double()
        for column, target in enumerate((0, 4)):
            expected = reference.cam(weight, activations, target, (16, 20))
            torch.testing.assert_close(maps[row, column].cpu().double(), expected, rtol=0, atol=1e-5)


def test_by_hand():
    """One pixel of each channel is lit: the map is the row of the head, cut below zero and scaled."""
    net = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False))
    net[3].weight.data = torch.tensor([[4.0, 1.0], [-2.0, 3.0]])
    image = torch.zeros(1, 2, 1, 4)
    image[0, 0, 0, 0], image[0, 1, 0, 2] = 1.0, 1.0
    maps = create_attribution("CAM", net, "0").attribute_candidates(image, torch.tensor([[0, 1]]))
    assert torch.equal(maps[0, :, 0], torch.tensor([[1.0, 0.0, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0]]))
    signed = create_attribution("CAM", net, "0", relu=False).attribute(image, 1)  # Zhou et al. keep the negative part
    torch.testing.assert_close(signed[0, 0, 0], torch.tensor([0.0, 0.4, 1.0, 0.4]))


def test_needs_no_forward_but_the_one_that_it_observes(tiny_net, tiny_images):
    method = create_attribution("CAM", tiny_net, "act")
    with method.observe(tiny_images) as observation, torch.no_grad():
        tiny_net(tiny_images)
    counter = Counter(tiny_net)
    candidates = torch.tensor([[0, 1, 2]] * 3, device=tiny_images.device)
    observed = method.attribute_candidates(tiny_images, candidates, observation)
    assert counter.inputs == 0
    torch.testing.assert_close(observed, method.attribute_candidates(tiny_images, candidates))
    assert counter.inputs == len(tiny_images)
    rows = torch.tensor([2, 0], device=tiny_images.device)
    chosen = method.attribute_candidates(tiny_images[rows], candidates[rows], observation.select(rows))
    torch.testing.assert_close(chosen, observed[rows])


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "googlenet"])
def test_works_on_networks_with_global_average_pooling(name):
    extra = {"init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torchvision.models.get_model(name, weights=None, **extra)
    maps = create_attribution("CAM", net).attribute(images(1, (96, 96)), 3)
    assert maps.shape == (1, 1, 96, 96) and torch.isfinite(maps).all()


def test_the_squeezenet_head_is_a_convolution_on_the_same_maps():
    """Its class map before pooling is the head's own output, up to the bias and the ReLU."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torchvision.models.squeezenet1_1(weights=None, num_classes=4).eval()
    net.classifier[1].bias.data.zero_()
    image = images(1, (96, 96))
    with torch.no_grad():
        head = net.classifier[1](net.features(image)).relu()
    maps = create_attribution("CAM", net).attribute(image, 2)
    expected = torch.nn.functional.interpolate(head[:, 2:3], (96, 96), mode="bilinear")
    expected = expected - expected.min()
    torch.testing.assert_close(maps, expected / expected.max(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg11", "mobilenet_v3_small"])
def test_other_networks_are_refused_with_what_to_use_instead(name):
    net = torchvision.models.get_model(name, weights=None)
    with pytest.raises(ValueError, match=r"CAM needs a network .* Use ScoreCAM"):
        create_attribution("CAM", net).attribute(images(1, (64, 64)), 0)


def test_a_layer_that_is_not_the_pooled_one_is_refused(tiny_net, tiny_images):
    with pytest.raises(ValueError, match="target_layer 'stem' it does not"):
        create_attribution("CAM", tiny_net, "stem").attribute(tiny_images, 0)


def test_classes_outside_the_head_are_refused(tiny_net, tiny_images):
    with pytest.raises(ValueError, match="from 0 to 4, got 7"):
        create_attribution("CAM", tiny_net, "act").attribute(tiny_images, 7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models(device, dtype):
    net, inputs = make_tiny_net().to(device), images().to(device)
    exact = create_attribution("CAM", net, "act").attribute(inputs, 1)
    maps = create_attribution("CAM", net.to(dtype), "act").attribute(inputs, 1)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, exact, rtol=0, atol=0.05)


def test_hooks_are_removed_also_after_a_failing_forward(tiny_net, tiny_images):
    method = create_attribution("CAM", tiny_net, "act")
    with pytest.raises(RuntimeError):
        method.attribute(torch.rand(2, 4, 16, 20, device=tiny_images.device), 0)
    assert not any(module._forward_hooks for module in tiny_net.modules())
