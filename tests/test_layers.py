import pytest
import torch
import torchvision
from conftest import images, make_tiny_net
from torch import nn

from maskcorrect_plugin.layers import find_target_layer, get_layer

TORCHVISION = {
    "vgg16": "features.29",  # the last ReLU; the pooling after it has another size
    "vgg16_bn": "features.42",
    "resnet18": "layer4",
    "resnet50": "layer4",
    "densenet121": "features",
    "mobilenet_v2": "features",
    "mobilenet_v3_large": "features",
    "squeezenet1_1": "features",  # not the 1x1 class head in the classifier
    "inception_v3": "Mixed_7c",
    "googlenet": "inception5b",
    "convnext_tiny": "features",
    "efficientnet_b0": "features",
}
SMALL = {"inception_v3": 299}


def build(name):
    extra = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
    with torch.device("meta"):  # shapes are all that counts
        return torchvision.models.get_model(name, weights=None, **extra)


@pytest.mark.parametrize("name", TORCHVISION)
def test_finds_the_last_feature_map_of_every_family(name):
    size = SMALL.get(name, 224)
    model = build(name)
    image = torch.zeros(1, 3, size, size, device="meta")
    assert find_target_layer(model, image) == TORCHVISION[name]


@pytest.mark.parametrize(("name", "layer"), [("tf_efficientnet_b8", "bn2"), ("resnest269e", "layer4")])
def test_finds_it_in_the_large_timm_networks(name, layer):
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model(name, pretrained=False)
    assert find_target_layer(model, torch.zeros(1, 3, 224, 224, device="meta")) == layer


def test_finds_it_in_resnet152():
    assert find_target_layer(build("resnet152"), torch.zeros(1, 3, 224, 224, device="meta")) == "layer4"


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
def test_transformers_are_refused_with_what_to_pass(name):
    model = torchvision.models.get_model(name, weights=None)
    with pytest.raises(ValueError, match=r"looks like a transformer: .* pass target_layer"):
        find_target_layer(model, torch.zeros(1, 3, 224, 224))


def test_the_layer_depends_on_the_size_of_the_input():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=4), nn.ReLU())
    net = nn.Sequential(*net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert find_target_layer(net, torch.rand(1, 3, 64, 64)) == "3"
    assert find_target_layer(net, torch.rand(1, 3, 16, 16)) == "1"  # the second convolution is down to one pixel


def test_identity_dropout_and_pooling_are_passed_over():
    pooling = nn.AvgPool2d(3, stride=1, padding=1)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Identity(), nn.Dropout2d(), pooling)
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)])
    assert find_target_layer(net, torch.rand(1, 3, 16, 16)) == "1"


def test_a_network_without_convolutions_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.Linear(27, 3))
    with pytest.raises(ValueError, match="no Conv2d with a spatial output"):
        find_target_layer(net, torch.rand(1, 3, 3, 3))


def test_finding_leaves_the_model_as_it_was_also_when_the_forward_fails(tiny_net, tiny_images):
    tiny_net.train()
    find_target_layer(tiny_net, tiny_images)
    with pytest.raises(RuntimeError):
        find_target_layer(tiny_net, torch.rand(1, 4, 16, 16, device=tiny_images.device))
    assert all(module.training for module in tiny_net.modules())
    assert not any(module._forward_hooks for module in tiny_net.modules())


def test_layers_by_name_and_by_module():
    net = make_tiny_net()
    assert get_layer(net, "body") is net.body
    assert get_layer(net, net.act) is net.act
    with pytest.raises(ValueError, match=r"target_layer 'bodi' is not a module of TinyNet; did you mean 'body'"):
        get_layer(net, "bodi")
    with pytest.raises(ValueError, match=r"for example one of: 'stem', 'body'"):
        get_layer(net, "xxxxxxxxx")
    with pytest.raises(ValueError, match="not part of TinyNet"):
        get_layer(net, nn.Conv2d(3, 3, 3))
    with pytest.raises(TypeError, match="got int"):
        get_layer(net, 3)
    assert images().ndim == 4
