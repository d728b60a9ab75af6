"""Transformers: tokens become feature maps, the layer is found by itself, and CAM methods run on them."""

import pytest
import torch
import torchvision
from conftest import make_tiny_net
from torch import nn

from maskcorrect_adapters.reshape import Reshape, find_layer, make_reshape
from maskcorrect_plugin import ProbabilityCorrector, create_attribution


def torchvision_vit():
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=7)
    nn.init.normal_(net.heads.head.weight)  # it starts at zero, where no class has a gradient
    return net


def torchvision_swin():
    return torchvision.models.SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=7)


def timm_vit():
    timm = pytest.importorskip("timm")
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", num_classes=7, reg_tokens=3, **size)


def timm_swin():
    timm = pytest.importorskip("timm")
    size = {"img_size": 32, "patch_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
    return timm.create_model("swin_tiny_patch4_window7_224", num_classes=7, **size)


def hugging_face(name, **settings):
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{name}Config")(image_size=32, num_labels=7, **settings)
    return getattr(transformers, f"{name}ForImageClassification")(config)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "patch_size": 8}
FAMILIES = {
    "torchvision ViT": (torchvision_vit, "encoder.layers.encoder_layer_1.ln_1", (16, 4, 4)),
    "torchvision Swin": (torchvision_swin, "features.3.0.norm1", (16, 4, 4)),
    "timm ViT with registers": (timm_vit, "blocks.1.norm1", (16, 4, 4)),
    "timm Swin": (timm_swin, "layers.1.blocks.0.norm1", (16, 4, 4)),
    "HF ViT": (lambda: hugging_face("ViT", **SMALL), None, (16, 4, 4)),
    "HF DeiT": (lambda: hugging_face("DeiT", **SMALL), None, (16, 4, 4)),
    "HF Dinov2": (lambda: hugging_face("Dinov2", **{k: v for k, v in SMALL.items() if k[0] != "i"}), None, (16, 4, 4)),
    "HF Swin": (
        lambda: hugging_face("Swin", embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4, patch_size=4),
        None,
        (16, 4, 4),
    ),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES.keys())
def family(request):
    make, layer, shape = request.param
    torch.manual_seed(0)
    return make().eval(), layer, shape


def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.filterwarnings("ignore")  # of the model libraries
def test_every_family_gives_feature_maps_by_itself(family):
    net, layer, shape = family
    name = find_layer(net, images())
    assert layer is None or name == layer
    reshape = make_reshape("auto", net).sized(images())
    seen = []
    net.get_submodule(name).register_forward_hook(lambda module, inputs, output: seen.append(reshape(output)))
    with torch.no_grad():
        net(images())
    assert seen[-1].shape == (2, *shape)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "method",
    ["pytorch_grad_cam:GradCAM", "pytorch_grad_cam:AblationCAM", "pytorch_grad_cam:EigenCAM", "torchcam:LayerCAM"],
)
def test_cam_methods_and_the_corrector_run_on_every_family(family, method):
    pytest.importorskip(method.split(":")[0])
    net, _, _ = family
    result = ProbabilityCorrector(net, method, top_k=2).correct(images(), keep=("attributions",))
    assert torch.allclose(result.corrected_probs.sum(dim=1), torch.ones(2))
    assert (result.attributions.amax(dim=(-2, -1)) > 0.5).any()


def test_patches_come_back_where_they_are():
    """Each token carries the number of its patch; class and register tokens carry -1."""
    tokens = torch.cat([torch.full((3,), -1.0), torch.arange(12.0)]).reshape(1, 15, 1)
    maps = Reshape("vit").sized(torch.zeros(1, 3, 24, 32))(tokens)
    assert torch.equal(maps, torch.arange(12.0).reshape(1, 1, 3, 4))
    last = torch.arange(24.0).reshape(1, 3, 4, 2)
    assert torch.equal(Reshape("swin").sized(torch.zeros(1, 3, 24, 32))(last), last.permute(0, 3, 1, 2))


def test_pytorch_grad_cam_s_own_reshape_gives_the_same_maps():
    transforms = pytest.importorskip("pytorch_grad_cam.utils.reshape_transforms")
    torch.manual_seed(0)
    net = torchvision_vit().eval()

    def theirs(tokens):
        return transforms.vit_reshape_transform(tokens, height=4, width=4)

    layer = "encoder.layers.encoder_layer_1.ln_1"
    by_name = create_attribution("pytorch_grad_cam:GradCAM", net, layer, reshape_transform="vit")
    by_callable = create_attribution("pytorch_grad_cam:GradCAM", net, layer, reshape_transform=theirs)
    assert torch.equal(by_name.attribute(images(), 1), by_callable.attribute(images(), 1))


def test_cnns_are_left_as_they_are():
    assert make_reshape("auto", make_tiny_net()) is None
    assert make_reshape("auto", torchvision.models.convnext_tiny(num_classes=4)) is None


def test_what_cannot_be_reshaped_is_told_so():
    with pytest.raises(ValueError, match=r"15 tokens make no grid of patches .* 10 x 70 images; pass"):
        Reshape("vit", prefix=1).sized(torch.zeros(1, 3, 10, 70))(torch.zeros(1, 15, 4))
    with pytest.raises(ValueError, match=r"understands tokens \(N,T,C\), got \(1, 4\)"):
        Reshape("vit")(torch.zeros(1, 4))
    pytest.importorskip("pytorch_grad_cam")
    mlp = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 7))
    with pytest.raises(ValueError, match="no Conv2d with a spatial output was found"):
        create_attribution("pytorch_grad_cam:GradCAM", mlp).attribute(images(), 1)
