"""Where a network's input lies in a picture: read off what is known, found for anything else, refused with a reason."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn
from torchvision import models, transforms
from torchvision.transforms import v2

from maskcorrect_plugin import Preprocessing, load_model
from maskcorrect_plugin.datasets import as_image_dataset
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.evaluate import _bare_model
from maskcorrect_plugin.models.geometry import Chain, known_geometry
from maskcorrect_plugin.models.preprocessing import ResizeCrop
from maskcorrect_plugin.models.probing import REPEATS, Probed
from maskcorrect_plugin.pictures import Box
from maskcorrect_plugin.rgb import to_rgb

TO_TENSOR = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
NORMALIZE = v2.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
SIZES = [(500, 375), (333, 500), (300, 300), (1280, 720), (90, 64), (40, 30), (3, 5), (2600, 1950)]


def preset(name):
    return models.get_model_weights(name).DEFAULT.transforms()


def agree(known, transform, sizes=SIZES, share=0.003):
    """What is known and what is found differ by less than that share of the picture, for each size."""
    probed = Probed(transform)
    for size in sizes:
        apart = [abs(a - b) for a, b in zip(known.locate(size), probed.locate(size), strict=True)]
        assert max(apart[0::2]) < share * size[0] and max(apart[1::2]) < share * size[1], (size, apart)


@pytest.mark.parametrize(
    ("name", "interpolation"),
    [("vgg16", "bilinear"), ("efficientnet_b0", "bicubic"), ("inception_v3", "bilinear"), ("swin_t", "bicubic")],
)
def test_presets_of_torchvision_are_known(name, interpolation):
    known = known_geometry(preset(name))
    assert known.interpolation == interpolation
    agree(known.geometry, preset(name))
    prepared = Preprocessing.of(preset(name))
    assert (prepared.interpolation, prepared.geometry) == (interpolation, known.geometry)


def test_boxes_by_hand():
    # 500 x 375: the shorter side becomes 256, the longer int(256 * 500 / 375) = 341; (341 - 224) / 2 = 58.5 -> 58.
    assert ResizeCrop().prepare().locate((500, 375)) == pytest.approx(
        Box(58 * 500 / 341, 16 * 375 / 256, 282 * 500 / 341, 240 * 375 / 256)
    )
    # 343 of 299 + 1: 44 / 2; 342 of 299: 21.5 -> 22, the even one.
    assert ResizeCrop(299, 342).prepare().locate((342, 343)) == pytest.approx(Box(22, 22, 321, 321))
    assert ResizeCrop(32, None).prepare().locate((70, 50)) == (0, 0, 70, 50)


STEPS = {
    "v1": transforms.Compose([transforms.Resize(70), transforms.CenterCrop((50, 61)), transforms.ToTensor()]),
    "square": v2.Compose([v2.Resize((48, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
    "longer": v2.Compose([v2.Resize(64, max_size=80), TO_TENSOR]),
    "longest": v2.Compose([v2.Resize(None, max_size=80), TO_TENSOR]),
    "tensor first": v2.Compose([TO_TENSOR, v2.Resize(70, antialias=True), v2.CenterCrop(64), NORMALIZE]),
    "crop first": v2.Compose([v2.Resize(300), v2.CenterCrop(201), v2.Resize(64), TO_TENSOR]),
    "sequential": nn.Sequential(v2.Resize(70), v2.CenterCrop(64), TO_TENSOR),
    "to_rgb": v2.Compose([v2.Lambda(to_rgb), v2.Resize(70, interpolation=3), v2.RGB(), TO_TENSOR]),
}


@pytest.mark.parametrize("name", STEPS)
def test_chains_of_known_steps_agree_with_what_is_found(name):
    known = known_geometry(STEPS[name])
    agree(known.geometry, STEPS[name], SIZES[:4])
    assert known.interpolation == ("bicubic" if name == "to_rgb" else "bilinear")


def test_a_crop_that_pads_reaches_beyond_the_picture():
    geometry = known_geometry(v2.Compose([v2.CenterCrop((40, 51)), TO_TENSOR])).geometry
    # torchvision pads (51 - 30) // 2 = 10 on the left and 11 on the right.
    assert geometry.locate((30, 60)) == (-10, 10, 41, 50)
    image = Image.new("RGB", (30, 60), "white")
    picture = Preprocessing.of(v2.Compose([v2.CenterCrop((40, 51)), TO_TENSOR])).picture(image)
    assert picture.inputs[0, 0].tolist() == [0] * 10 + [1] * 30 + [0] * 11
    assert picture.box == (-10, 10, 41, 50)


@pytest.mark.parametrize(
    "step",
    [v2.RandomCrop(40), v2.Grayscale(3), v2.Pad(3), v2.Lambda(ImageOps.mirror), type("Mine", (v2.CenterCrop,), {})(40)],
)
def test_a_chain_with_another_step_is_not_known(step):
    assert known_geometry(v2.Compose([v2.Resize(64), step, TO_TENSOR])) is None


@pytest.mark.parametrize(
    "options",
    [
        {"input_size": 224, "crop_pct": 0.9, "interpolation": "bicubic"},
        {"input_size": (3, 192, 224), "crop_pct": 0.9, "interpolation": "bicubic"},
        {"input_size": 160, "crop_pct": 0.95, "crop_mode": "squash", "interpolation": "bilinear"},
    ],
)
def test_transforms_of_timm_are_known(options):
    timm = pytest.importorskip("timm.data")
    transform = timm.create_transform(**options, is_training=False)
    known = known_geometry(transform)
    assert known.interpolation == options["interpolation"]
    agree(known.geometry, transform, SIZES[:6])


def test_networks_of_timm_come_with_theirs():
    pytest.importorskip("timm")
    preprocessing = load_model("timm:tf_efficientnet_lite0", None).preprocessing
    assert isinstance(preprocessing.geometry, Chain) and preprocessing.interpolation == "bicubic"
    agree(preprocessing.geometry, preprocessing.transform, SIZES[:4])
    preprocessing.check_pictures()


def test_a_border_that_timm_paints_lies_beyond_the_picture():
    timm = pytest.importorskip("timm.data")
    transform = timm.create_transform(100, crop_pct=1.0, crop_mode="border", is_training=False)
    assert known_geometry(transform).geometry.locate((200, 100)) == (0, -50, 200, 150)


@pytest.mark.parametrize(
    ("name", "options", "known", "interpolation"),
    [
        ("ViTImageProcessor", {}, True, "bilinear"),
        ("CLIPImageProcessor", {}, True, "bicubic"),
        ("MobileNetV2ImageProcessor", {}, True, "bilinear"),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}, False, "bicubic"),
    ],
)
def test_processors_of_hugging_face(name, options, known, interpolation):
    transformers = pytest.importorskip("transformers")
    from maskcorrect_plugin.models.processors import ProcessorTransform, prepare_processor

    processor = getattr(transformers, name)(**options)
    preprocessing = prepare_processor(processor)
    assert preprocessing.interpolation == interpolation
    assert isinstance(preprocessing.geometry, Chain if known else Probed)
    agree(preprocessing.geometry, ProcessorTransform(processor), SIZES[:4])
    preprocessing.check_pictures()
    if not known:  # a crop of 224 after a resize to 256, which its settings do not say
        assert preprocessing.locate((512, 512)) == pytest.approx((32, 32, 480, 480), abs=1.5)


# --- transforms of unknown making -------------------------------------------------------------------------------------


class NumpyCrop:
    """As those of albumentations: arrays, a crop of its own, a resize by striding."""

    def __call__(self, image):
        values = np.asarray(image)
        height, width = values.shape[:2]
        part = values[height // 4 : height // 4 + height // 2, width // 8 : width // 8 + width // 2]
        rows = (np.arange(64) + 0.5) * part.shape[0] / 64
        columns = (np.arange(80) + 0.5) * part.shape[1] / 80
        pixels = part[rows.astype(int)][:, columns.astype(int)]
        return torch.from_numpy((pixels / 255 - 0.5).astype(np.float32) / 0.25).permute(2, 0, 1)


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (2400, 2000), (80, 72)])
def test_a_transform_of_any_making_is_found(size):
    preprocessing = Preprocessing.of(NumpyCrop())
    assert preprocessing.mean == pytest.approx((0.5,) * 3) and preprocessing.std == pytest.approx((0.25,) * 3)
    width, height = size
    expected = (width / 8, height / 4, width * 5 / 8, height * 3 / 4)
    assert preprocessing.locate(size) == pytest.approx(expected, abs=max(0.6, 0.003 * max(size)))
    preprocessing.check_pictures()


def test_each_size_is_found_once_and_goes_along_to_other_processes():
    calls = []

    def counting(image):
        calls.append(image.size)
        return NumpyCrop()(image)

    probed = Probed(counting)
    boxes = [probed.locate((300, 200)) for _ in range(3)]
    assert boxes[0] == boxes[1] and len(calls) == 3 + REPEATS
    probed.locate((200, 300))
    assert len(calls) == 3 + REPEATS + 3 + 2
    probed = Probed(NumpyCrop())
    probed.locate((300, 200))
    assert pickle.loads(pickle.dumps(probed)).locate((300, 200)) == probed.locate((300, 200))


def test_tiny_and_huge_pictures_are_found_by_their_proportions():
    probed = Probed(STEPS["v1"])
    for size in ((1, 1), (3, 2), (9000, 7000)):
        apart = np.subtract(probed.locate(size), known_geometry(STEPS["v1"]).geometry.locate(size))
        assert np.abs(apart / (*size, *size)).max() < 0.01
    with pytest.raises(ArgumentError, match="cannot be tried on a picture as narrow as 1 x 60000 pixels"):
        probed.locate((1, 60_000))
    fixed = Probed(v2.Compose([v2.CenterCrop(20), TO_TENSOR]))
    with pytest.raises(ArgumentError, match="treats pictures like one of 30 x 30 pixels differently by their size"):
        fixed.locate((30, 30))


RESIZED = v2.Compose([v2.Resize((64, 64)), TO_TENSOR])


def padded(mode):
    return lambda image: torch.nn.functional.pad(RESIZED(image)[None], (6, 6, 0, 0), mode=mode)[0]


def fisheye(image):
    line = torch.linspace(-1, 1, 64)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([columns * columns.abs(), rows], dim=-1)[None]
    return torch.nn.functional.grid_sample(RESIZED(image)[None], grid, align_corners=True)[0]


REFUSED = {
    "flip": (v2.Compose([v2.RandomHorizontalFlip(1.0), RESIZED]), "mirrors the picture horizontally"),
    "upside down": (lambda image: RESIZED(image).flip(1), "mirrors the picture vertically"),
    "quarter": (lambda image: RESIZED(image).mT.contiguous(), "rotates or shears"),
    "rotation": (
        v2.Compose([v2.Resize((96, 96)), v2.RandomRotation((10, 10)), v2.CenterCrop(48), TO_TENSOR]),
        "rotates",
    ),
    "random": (v2.Compose([v2.RandomResizedCrop(64), TO_TENSOR]), "is random"),
    "random flip": (v2.Compose([v2.RandomHorizontalFlip(), RESIZED]), "is random|mirrors"),
    "letterbox": (
        lambda image: TO_TENSOR(ImageOps.pad(image, (64, 64))),
        "pads: some of what it gives does not depend",
    ),
    "replicate": (padded("replicate"), "pads the picture with its own edge"),
    "reflect": (padded("reflect"), "pads the picture with its own edge"),
    "fisheye": (fisheye, "distorts the picture horizontally"),
    "gamma": (lambda image: RESIZED(image).square(), "does not normalise by mean and standard deviation"),
    "negative": (lambda image: 1 - RESIZED(image), "makes dark of bright"),
    "constant": (lambda image: torch.zeros(3, 8, 8), "makes the same of every picture"),
    "grey": (v2.Compose([v2.Grayscale(3), RESIZED]), "mixes or swaps the colours"),
    "one channel": (v2.Compose([v2.Grayscale(1), RESIZED]), r"must give tensors \(3,H,W\) .* got \(1, 64, 64\)"),
    "bgr": (lambda image: RESIZED(image).flip(0), "mixes or swaps the colours"),
    "text": (lambda image: "text", "got str"),
    "raising": (lambda image: image.missing, "raised AttributeError"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_found_is_refused_with_the_reason(name):
    torch.manual_seed(0)
    transform, message = REFUSED[name]
    preprocessing = Preprocessing(transform, (0.5,) * 3, (0.5,) * 3, geometry=Probed(transform))
    for _ in range(2):  # the refusal is remembered
        with pytest.raises(ArgumentError, match=f"cannot be found where .* lies: the transform .*({message})"):
            preprocessing.check_pictures()


def test_without_a_normalisation_nothing_can_be_cut():
    shading = torch.linspace(1, 2, 64)
    preprocessing = Preprocessing.of(lambda image: RESIZED(image) * shading)
    assert preprocessing.locate((300, 200)) == pytest.approx((0, 0, 300, 200), abs=1)
    for act in (preprocessing.check_pictures, lambda: preprocessing.normalize(torch.zeros(1, 3, 4, 4).byte())):
        with pytest.raises(ArgumentError, match=r"mean and std of the preprocessing must be known .* no straight line"):
            act()


def test_without_a_geometry_nothing_can_be_cut():
    with pytest.raises(ArgumentError, match=r"geometry .* got None; Preprocessing.of\(transform\) finds it"):
        Preprocessing(RESIZED, (0.5,) * 3, (0.5,) * 3).check_pictures()
    with pytest.raises(ArgumentError, match="interpolation must be one of"):
        Preprocessing(RESIZED, interpolation="cubic")


def test_a_bare_model_asks_for_pictures():
    data = as_image_dataset([(torch.zeros(3, 8, 8), 0)])
    loaded = _bare_model(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), data)
    with pytest.raises(ArgumentError, match=r"pictures are needed .* loaded must be a LoadedModel"):
        loaded.preprocessing.check_pictures()
    with pytest.raises(ArgumentError, match="dataset must give tensors"):
        loaded.transform(Image.new("RGB", (8, 8)))


def test_descriptions_are_plain_and_the_same_everywhere():
    described = ResizeCrop(48, 60).prepare().describe()
    assert described == ResizeCrop(48, 60).prepare().describe()
    assert "CenterCrop(height=48, width=48" in described["geometry"]
    assert set(described) == {"transform", "mean", "std", "interpolation", "geometry"}
    assert " at 0x" not in Preprocessing.of(lambda image: RESIZED(image)).describe()["transform"]
