"""Transforms: equal to torchvision's presets, changed by what is given, and told apart by what they do."""

import pickle

import pytest
import torch
from PIL import Image
from torchvision import models, transforms
from torchvision.transforms import v2

from maskcorrect_plugin.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, ResizeCrop


def photo(size=(300, 260)):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (3, 13, 15), generator=generator, dtype=torch.uint8)
    return v2.functional.to_pil_image(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", ["vgg16", "inception_v3", "efficientnet_b0", "mobilenet_v2"])
def test_it_equals_the_preset_of_torchvision(name):
    preset = models.get_model_weights(name).DEFAULT.transforms()
    ours = ResizeCrop(
        preset.crop_size[0], preset.resize_size[0], tuple(preset.mean), tuple(preset.std), preset.interpolation.value
    )
    assert torch.allclose(ours.prepare().transform(photo()), preset(photo()), rtol=0, atol=1e-6)


def test_size_sets_crop_and_resize_in_proportion():
    assert (ResizeCrop().size, ResizeCrop().resize) == (224, 256)
    for size, resize in ((224, 256), (299, 342), (96, 110), (65, 74)):
        changed = ResizeCrop(interpolation="bicubic").changed(size)
        assert (changed.size, changed.resize, changed.interpolation) == (size, resize, "bicubic")
        assert changed.prepare().transform(photo()).shape == (3, size, size)


def test_small_sizes_resize_the_whole_image_without_a_crop():
    prepared = ResizeCrop().changed(32, (0, 0, 0), (1, 1, 1)).prepare()
    expected = v2.functional.pil_to_tensor(v2.functional.resize(photo(), [32, 32], antialias=True)) / 255
    assert torch.allclose(prepared.transform(photo()), expected)
    assert ResizeCrop().changed(64).resize is None
    assert ResizeCrop().changed(65).resize is not None


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_of_image_is_accepted(mode):
    tensor = ResizeCrop().prepare().transform(Image.new(mode, (50, 40)))
    assert tensor.shape == (3, 224, 224)
    assert tensor.dtype == torch.float32
    assert type(tensor) is torch.Tensor


def test_transforms_can_be_sent_to_worker_processes():
    transform = ResizeCrop().prepare().transform
    assert torch.equal(pickle.loads(pickle.dumps(transform))(photo()), transform(photo()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": 22.5}, "size must be an integer, got 22.5"),
        ({"size": (224, 224)}, "size must be an integer"),
        ({"mean": (0.5, 0.5)}, r"mean must be three numbers in \[0,1\].*got \(0.5, 0.5\)"),
        ({"mean": (123.7, 116.3, 103.5)}, r"mean must be .*\(divide values for 0..255 by 255\)"),
        ({"mean": (0.5, 0.5, -0.1)}, "mean must be three numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean must be three numbers"),
        ({"mean": 0.5}, "mean must be three numbers, one for each"),
        ({"mean": "abc"}, "mean must be three numbers, one for each"),
        ({"std": (0.2, 0.2, 0)}, "std must be three numbers above 0"),
        ({"std": (0.2, 0.2, float("inf"))}, "std must be three numbers above 0"),
    ],
)
def test_what_is_not_allowed_is_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ResizeCrop().changed(**arguments)


def normalize(mean, std):
    return transforms.Compose([transforms.Resize((9, 9)), transforms.ToTensor(), transforms.Normalize(mean, std)])


@pytest.mark.parametrize(
    ("mean", "std"),
    [(IMAGENET_MEAN, IMAGENET_STD), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), ((0.5, 0.4, 0.3), (0.2, 1 / 255, 0.25))],
)
def test_a_normalisation_is_read_off_what_a_transform_does(mean, std):
    prepared = Preprocessing.of(normalize(mean, std))
    assert prepared.mean == pytest.approx(mean, abs=1e-6)
    assert prepared.std == pytest.approx(std, rel=1e-5)


@pytest.mark.parametrize(
    "step",
    [
        lambda image: normalize((0.5,) * 3, (0.5,) * 3)(image).square(),
        lambda image: -normalize((0.5,) * 3, (0.5,) * 3)(image),
        lambda image: torch.zeros(3, 4, 4),
        lambda image: torch.nn.functional.pad(normalize((0.5,) * 3, (0.5,) * 3)(image), (1, 1)),
        lambda image: normalize((0.5,) * 3, (0.5,) * 3)(image) * torch.linspace(1, 2, 9),
    ],
    ids=["gamma", "negative", "constant", "padded", "vignette"],
)
def test_other_transforms_have_no_normalisation_to_tell(step):
    prepared = Preprocessing.of(step)
    assert (prepared.transform, prepared.mean, prepared.std) == (step, None, None)
