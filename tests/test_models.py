"""Loading models: the right weights, transform and names for each source, and an explanation for each failure."""

import csv
import importlib.util
import json
import sys
import urllib.error

import pytest
import torch
import torchvision
from conftest import ROOT
from PIL import Image
from torch import nn

from maskcorrect_plugin import LoadedModel, load_model
from maskcorrect_plugin.errors import ArgumentError, MissingLibraryError, ModelOutputError, WeightsError
from maskcorrect_plugin.images import find_images, load_batch
from maskcorrect_plugin.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

SMALL = "torchvision:shufflenet_v2_x0_5"


def shufflenet(classes=1000):
    return torchvision.models.shufflenet_v2_x0_5(num_classes=classes).eval()


def scores(model, size=64):
    with torch.no_grad():
        output = model(torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size))
    return getattr(output, "logits", output)


def saved(folder, state, name="weights.pt"):
    torch.save(state, folder / name)
    return folder / name


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails at once, in the way of the library that tries it."""

    def unreachable(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    if importlib.util.find_spec("huggingface_hub"):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The current folder is `tmp_path`, and what is imported from there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


# torchvision


def test_random_weights_need_no_network_and_follow_the_seed(no_network):
    torch.manual_seed(3)
    loaded = load_model(SMALL, None)
    assert isinstance(loaded, LoadedModel)
    assert (loaded.num_classes, loaded.class_names[:2]) == (1000, ("tench", "goldfish"))
    assert (loaded.mean, loaded.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (loaded.spec, loaded.weights) == (SMALL, None)
    assert not any(module.training for module in loaded.model.modules())
    assert loaded.transform(Image.new("L", (90, 70))).shape == (3, 224, 224)
    torch.manual_seed(3)
    assert torch.equal(scores(loaded.model), scores(shufflenet()))
    assert load_model(SMALL, "none", num_classes=4).class_names == ("class 0", "class 1", "class 2", "class 3")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 9},
        lambda state: {"model": {f"_orig_mod.{name}": tensor for name, tensor in state.items()}},
    ],
    ids=["plain", "data-parallel", "compiled"],
)
def test_the_classes_of_a_fine_tuned_head_are_read_from_the_file(tmp_path, wrap):
    tuned = shufflenet(5)
    state = torch.random.get_rng_state()
    loaded = load_model(SMALL, saved(tmp_path, wrap(tuned.state_dict())))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert loaded.class_names == tuple(f"class {i}" for i in range(5))
    assert loaded.weights == str(tmp_path / "weights.pt")
    assert torch.equal(scores(loaded.model), scores(tuned))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "densenet121", "regnet_y_400mf", "mnasnet0_5"])
def test_heads_of_every_make_are_found(tmp_path, name):
    tuned = torchvision.models.get_model(name, num_classes=3).eval()
    loaded = load_model(f"torchvision:{name}", saved(tmp_path, tuned.state_dict()))
    assert loaded.num_classes == 3
    assert torch.equal(scores(loaded.model), scores(tuned))


@pytest.mark.parametrize("aux", [False, True])
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_heads_may_be_in_the_file_or_not(tmp_path, name, aux):
    tuned = torchvision.models.get_model(name, num_classes=3, aux_logits=aux, init_weights=False, transform_input=True)
    size = 224 if name == "googlenet" else 299
    loaded = load_model(f"torchvision:{name}", saved(tmp_path, tuned.state_dict()))
    assert loaded.num_classes == 3
    assert torch.equal(scores(loaded.model, size), scores(tuned.eval(), size))
    assert loaded.transform(Image.new("RGB", (400, 400))).shape == (3, size, size)


def test_inputs_of_inception_are_converted_for_imagenets_normalisation_only():
    half = (0.5, 0.5, 0.5)
    assert load_model("torchvision:googlenet", None).model.transform_input
    assert load_model("torchvision:googlenet", None, mean=IMAGENET_MEAN, std=IMAGENET_STD).model.transform_input
    assert not load_model("torchvision:googlenet", None, mean=half, std=half).model.transform_input


def test_old_densenet_names_are_understood(tmp_path):
    tuned = torchvision.models.densenet121(num_classes=3).eval()
    old = {
        name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): tensor
        for name, tensor in tuned.state_dict().items()
    }
    assert old.keys() != tuned.state_dict().keys()
    loaded = load_model("torchvision:densenet121", saved(tmp_path, old))
    assert torch.equal(scores(loaded.model), scores(tuned))


def test_a_download_that_fails_says_what_was_tried_and_what_works_offline(no_network):
    message = r"DEFAULT weights of 'torchvision:shufflenet_v2_x0_5' .* URLError.*weights=PATH .* weights=None"
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(SMALL)
    assert isinstance(caught.value.__cause__, urllib.error.URLError)


def test_the_librarys_own_weights_are_taken_by_name_with_their_own_preset(monkeypatch):
    states = [torchvision.models.mobilenet_v2().state_dict() for _ in range(2)]
    asked = []

    def download(url, **_):
        asked.append(url)
        return states[len(asked) - 1]

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    enum = torchvision.models.MobileNet_V2_Weights
    cases = (("DEFAULT", enum.DEFAULT), ("IMAGENET1K_V1", enum.IMAGENET1K_V1))
    for state, (weights, entry) in zip(states, cases, strict=True):
        loaded = load_model("torchvision:mobilenet_v2", weights)
        assert asked[-1] == entry.url
        assert torch.equal(loaded.model.classifier[1].weight, state["classifier.1.weight"])
        assert loaded.weights == weights
        image = Image.radial_gradient("L").convert("RGB").resize((400, 300))
        assert torch.allclose(loaded.transform(image), entry.transforms()(image), rtol=0, atol=1e-6)
    assert enum.DEFAULT.transforms().resize_size != enum.IMAGENET1K_V1.transforms().resize_size
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda url, **_: states[0])
    with pytest.raises(ArgumentError, match=r"num_classes=7 was given, but .* has 1000 classes"):
        load_model("torchvision:mobilenet_v2", num_classes=7)


def test_a_file_that_does_not_fit_names_what_is_missing(tmp_path):
    head = nn.Sequential(nn.Dropout(), nn.Linear(1024, 4))
    rebuilt = shufflenet()
    rebuilt.fc = head
    message = "missing: fc.weight, fc.bias; unexpected: fc.1.weight, fc.1.bias.*package.module:factory"
    with pytest.raises(WeightsError, match=message):
        load_model(SMALL, saved(tmp_path, rebuilt.state_dict()))
    with pytest.raises(WeightsError, match=r"missing: .* in all.*unexpected: .* in all"):
        load_model("torchvision:squeezenet1_1", saved(tmp_path, shufflenet().state_dict()))
    with pytest.raises(WeightsError, match=r"num_classes=4 was given, but the head in .*weights\.pt has 6 classes"):
        load_model(SMALL, saved(tmp_path, shufflenet(6).state_dict()), num_classes=4)
    with pytest.raises(WeightsError, match="there is no weights file"):
        load_model(SMALL, tmp_path / "gone.pt")


def test_names_size_and_normalisation_describe_the_rest(tmp_path):
    (tmp_path / "names.txt").write_text("ash\nbirch\ncedar\n")
    file = saved(tmp_path, shufflenet(3).state_dict())
    loaded = load_model(
        SMALL, file, class_names=tmp_path / "names.txt", size=96, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1)
    )
    assert loaded.class_names == ("ash", "birch", "cedar")
    assert (loaded.mean, loaded.std) == ((0.5, 0.5, 0.5), (0.25, 0.5, 1.0))
    white = loaded.transform(Image.new("RGB", (300, 200), "white"))
    assert white.shape == (3, 96, 96)
    assert white[:, 0, 0].tolist() == [2.0, 1.0, 0.5]
    with pytest.raises(ArgumentError, match="class_names must hold one name per class, got 2 names for 3 classes"):
        load_model(SMALL, file, class_names=["ash", "birch"])


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("vgg16", {}, "spec must be one of 'torchvision:NAME'.*did you mean 'torchvision:vgg16'"),
        ("torchvision", {}, "spec must be one of .* got 'torchvision'"),
        ("torchvision:", {}, "spec must be one of"),
        ("torchvision:resnt50", {}, "no classification network 'resnt50'; did you mean 'resnet50'"),
        ("torchvison:resnet50", {}, "there is no module 'torchvison'.*did you mean 'torchvision'"),
        ("timm:resnet81", {}, "timm has no network 'resnet81'; did you mean 'resnet"),
        ("timm:test_resnet.nothing", {}, "timm has no weights .* known: test_resnet.r160_in1k"),
        ("hf:./gone", {}, "needs an existing folder, got './gone'"),
        (16, {}, "spec must be a string"),
        (SMALL, {"weights": 3}, "weights must be 'DEFAULT', None or a file, got 3"),
        (SMALL, {"size": 0}, "size must be at least 1"),
        (SMALL, {"num_classes": 0}, "num_classes must be at least 1"),
        (SMALL, {"class_names": []}, "class_names: there must be at least one name"),
        (SMALL, {"std": (1, 1)}, "std must be three numbers"),
        (SMALL, {"device": "nowhere"}, "device must be one that torch can use here, got 'nowhere'"),
        (SMALL, {"device": "cuda:99"}, "device must be one that torch can use here, got 'cuda:99'"),
    ],
)
def test_what_is_not_allowed_is_named(spec, options, message):
    if isinstance(spec, str) and (library := {"timm": "timm", "hf": "transformers"}.get(spec.partition(":")[0])):
        pytest.importorskip(library)
    with pytest.raises((ValueError, TypeError), match=message):
        load_model(spec, **({"weights": None} | options))


def test_a_missing_library_comes_with_the_command_that_installs_it(monkeypatch):
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in ("timm", "transformers") else found(name)
    )
    with pytest.raises(MissingLibraryError, match=r'timm models need timm.*pip install "maskcorrect-plugin\[timm\]"'):
        load_model("timm:resnet18")
    with pytest.raises(MissingLibraryError, match=r'need transformers.*pip install "maskcorrect-plugin\[hf\]"'):
        load_model("hf:org/name")


def test_the_model_goes_to_the_device_asked_for(device):
    loaded = load_model(SMALL, None, device=device)
    assert {parameter.device.type for parameter in loaded.model.parameters()} == {device.type}
    assert all(parameter.is_meta for parameter in load_model(SMALL, None, device="meta").model.parameters())


# timm


def test_timm_models_bring_their_own_configuration(no_network, tmp_path):
    timm = pytest.importorskip("timm")
    loaded = load_model("timm:test_resnet", None)
    assert loaded.num_classes == 1000
    assert loaded.class_names[0] == "tench, Tinca tinca"
    assert (loaded.mean, loaded.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert loaded.transform(Image.new("RGBA", (200, 300), (0, 0, 0, 255))).shape == (3, 160, 160)
    assert loaded.transform(Image.new("RGB", (200, 300)))[0, 0, 0] == -1
    tuned = timm.create_model("test_resnet", num_classes=4).eval()
    loaded = load_model("timm:test_resnet", saved(tmp_path, tuned.state_dict()), size=96, std=(0.25, 0.25, 0.25))
    assert loaded.class_names == ("class 0", "class 1", "class 2", "class 3")
    assert torch.equal(scores(loaded.model), scores(tuned))
    assert loaded.transform(Image.new("RGB", (200, 300))).shape == (3, 96, 96)
    assert loaded.transform(Image.new("RGB", (200, 300)))[0, 0, 0] == -2


def test_a_timm_download_that_fails_is_explained(no_network):
    pytest.importorskip("timm")
    with pytest.raises(WeightsError, match=r"DEFAULT weights of 'timm:test_resnet' .*weights=PATH .*weights=None"):
        load_model("timm:test_resnet")


def test_a_timm_model_without_a_head_is_explained():
    pytest.importorskip("timm")
    with pytest.raises(ArgumentError, match="no class head of its own; pass num_classes"):
        load_model("timm:vit_small_patch16_dinov3", None)


# Hugging Face


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture
def checkpoint(transformers, tmp_path):
    """A folder as save_pretrained writes it: a tiny ResNet, three classes, an image processor for 64 pixels."""
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        id2label={0: "ash", 1: "birch", 2: "cedar"},
        label2id={"ash": 0, "birch": 1, "cedar": 2},
    )
    model = transformers.ResNetForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "trees")
    processor = transformers.ConvNextImageProcessor(
        size={"shortest_edge": 64}, image_mean=[0.5, 0.4, 0.3], image_std=[0.5, 0.25, 0.2]
    )
    processor.save_pretrained(tmp_path / "trees")
    return model


def test_a_folder_of_hugging_face_loads_without_a_network(checkpoint, in_folder, no_network):
    loaded = load_model("hf:./trees")
    assert loaded.class_names == ("ash", "birch", "cedar")
    assert loaded.mean == pytest.approx((0.5, 0.4, 0.3), abs=1e-6)
    assert loaded.std == pytest.approx((0.5, 0.25, 0.2), abs=1e-6)
    assert not loaded.model.training
    assert torch.equal(scores(loaded.model), scores(checkpoint))
    inputs = loaded.transform(Image.new("LA", (90, 80), (255, 255)))
    assert inputs.shape == (3, 64, 64)
    assert inputs[:, 0, 0].tolist() == pytest.approx([1.0, 2.4, 3.5], abs=1e-5)


def test_size_and_normalisation_of_hugging_face_models_can_be_changed(checkpoint, in_folder):
    loaded = load_model("hf:./trees", size=128, std=(1, 1, 1))
    assert loaded.mean == pytest.approx((0.5, 0.4, 0.3), abs=1e-6)
    assert loaded.std == (1, 1, 1)
    assert loaded.transform(Image.new("RGB", (90, 80))).shape == (3, 128, 128)
    loaded = load_model("hf:./trees", mean=(0, 0, 0))
    assert loaded.mean == pytest.approx((0, 0, 0), abs=1e-6)
    assert loaded.transform(Image.new("RGB", (90, 80))).shape == (3, 64, 64)
    (in_folder / "trees" / "preprocessor_config.json").unlink()
    with pytest.raises(ArgumentError, match=r"has no image processor that can be read.*pass size, mean and std"):
        load_model("hf:./trees", size=64)
    loaded = load_model("hf:./trees", size=64, mean=(0, 0, 0), std=(1, 1, 1))
    assert loaded.transform(Image.new("RGB", (90, 80))).shape == (3, 64, 64)


def test_other_weights_for_a_hugging_face_architecture(checkpoint, transformers, in_folder):
    random = load_model("hf:./trees", None)
    assert random.class_names == ("ash", "birch", "cedar")
    assert not torch.equal(scores(random.model), scores(checkpoint))
    config = transformers.AutoConfig.from_pretrained("trees", num_labels=5)
    tuned = transformers.ResNetForImageClassification(config).eval()
    loaded = load_model("hf:./trees", saved(in_folder, tuned.state_dict()))
    assert loaded.class_names == tuple(f"class {i}" for i in range(5))
    assert torch.equal(scores(loaded.model), scores(tuned))


def test_placeholders_of_hugging_face_are_no_names(checkpoint, transformers, in_folder):
    config = transformers.ResNetConfig(**{**checkpoint.config.to_dict(), "id2label": {0: "LABEL_0", 1: "LABEL_1"}})
    transformers.ResNetForImageClassification(config).save_pretrained("trees")
    assert load_model("hf:trees").class_names == ("class 0", "class 1")


def test_a_checkpoint_without_a_head_is_refused(checkpoint, in_folder):
    checkpoint.resnet.save_pretrained("trees")
    with pytest.raises(WeightsError, match=r"no complete classifier: its weights lack classifier\.1\.bias"):
        load_model("hf:./trees")


def test_a_checkpoint_that_brings_code_is_refused(checkpoint, in_folder):
    marker = in_folder / "it-ran"
    (in_folder / "trees" / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    config = json.loads((in_folder / "trees" / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (in_folder / "trees" / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"configuration of 'hf:./trees'"):
        load_model("hf:./trees")
    assert not marker.exists()


def test_a_hub_that_does_not_answer_is_explained(transformers, no_network):
    with pytest.raises(WeightsError, match=r"'hf:some/model' .*could not be downloaded.*'hf:./FOLDER'"):
        load_model("hf:some/model")


# factories

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))

class Zoo:
    net = Net()

def to_tensor(image):
    return torch.full((3, 5, 6), image.getpixel((0, 0))[0] / 255) * 2 - 1

def alone():
    return Net()

CALLS = []

def three():
    CALLS.append("three")
    return Net(), to_tensor, ["ash", "birch", "cedar"]

def nameless():
    return Net(), None, None

def two():
    return Net(), to_tensor

def nothing():
    pass

def raising():
    return 1 / 0

def wants(argument):
    return Net()

def picky():
    class Picky(nn.Module):
        def forward(self, x):
            return x.reshape(1, 7)
    return Picky()

def tupled():
    class Tupled(nn.Module):
        def forward(self, x):
            return x.mean((2, 3)), x
    return Tupled()

def bad_transform():
    return Net(), lambda image: image.missing, ["a", "b", "c"]

number = 3
"""


@pytest.fixture
def factories(in_folder):
    (in_folder / "trees").mkdir()
    (in_folder / "trees" / "zoo.py").write_text(FACTORIES)
    (in_folder / "broken.py").write_text("import no_such_library")
    return in_folder


def test_a_factory_may_return_a_module_alone(factories):
    path = list(sys.path)
    for attribute in ("alone", "Net", "Zoo.net", "nameless"):
        loaded = load_model(f"trees.zoo:{attribute}", size=48)
        assert type(loaded.model).__name__ == "Net"
        assert not loaded.model.training
        assert loaded.class_names == ("class 0", "class 1", "class 2")
        assert (loaded.mean, loaded.std) == (IMAGENET_MEAN, IMAGENET_STD)
        assert loaded.transform(Image.new("RGB", (80, 70))).shape == (3, 48, 48)
    assert sys.path == path
    with pytest.raises(ArgumentError, match=r"num_classes=5 was given, but 'trees.zoo:alone'.* has 3 classes"):
        load_model("trees.zoo:alone", num_classes=5)


def test_a_factory_may_return_model_transform_and_names(factories, tmp_path):
    loaded = load_model("trees.zoo:three")
    assert loaded.class_names == ("ash", "birch", "cedar")
    assert loaded.transform(Image.new("RGB", (8, 8), "white")).shape == (3, 5, 6)
    assert loaded.mean == pytest.approx((0.5, 0.5, 0.5))
    assert loaded.std == pytest.approx((0.5, 0.5, 0.5))
    with pytest.raises(ArgumentError, match=r"size, std cannot be given: 'trees.zoo:three' returns its own transform"):
        load_model("trees.zoo:three", size=32, std=(1, 1, 1))
    calls = sys.modules["trees.zoo"].CALLS
    calls.clear()
    file = saved(tmp_path, {f"module.{n}": torch.ones_like(t) for n, t in loaded.model.state_dict().items()})
    filled = load_model("trees.zoo:three", file)
    assert all(bool((parameter == 1).all()) for parameter in filled.model.parameters())
    assert calls == ["three"]


@pytest.mark.parametrize(
    ("spec", "message", "cause"),
    [
        ("nowhere:f", "there is no module 'nowhere' for 'nowhere:f', neither installed nor in", ModuleNotFoundError),
        ("trees.zo:f", r"there is no module 'trees\.zo'", ModuleNotFoundError),
        ("broken:f", "importing 'broken' .* raised ModuleNotFoundError: No module named 'no_such", ModuleNotFoundError),
        ("trees.zoo:thre", "'trees.zoo' has no 'thre'; did you mean 'three'", None),
        ("trees.zoo:Zoo.nets", r"has no 'Zoo\.nets'; did you mean 'net'", None),
        ("trees.zoo:number", "is a int, not a function", None),
        ("trees.zoo:raising", "factory 'trees.zoo:raising' raised ZeroDivisionError: division", ZeroDivisionError),
        ("trees.zoo:wants", r"raised TypeError: wants\(\) missing 1 .* \(it is called without arguments\)", TypeError),
        ("trees.zoo:nothing", "must return a Module, or a tuple .* got NoneType", None),
        ("trees.zoo:two", r"must return a Module, or a tuple .* got \(Net, function\)", None),
        ("trees.zoo:bad_transform", "transform of .* raised AttributeError", AttributeError),
        ("trees.zoo:picky", "failed on one image of its own transform with RuntimeError.*pass size", RuntimeError),
    ],
)
def test_every_failure_of_a_factory_is_explained(factories, spec, message, cause):
    with pytest.raises(ArgumentError, match=message) as caught:
        load_model(spec)
    assert isinstance(caught.value.__cause__, cause or type(None))


def test_a_factory_whose_model_gives_no_scores_is_explained(factories):
    with pytest.raises(ModelOutputError, match=r"must return a tensor .* got tuple"):
        load_model("trees.zoo:tupled")


# the demo


@pytest.fixture
def network():
    return pytest.importorskip("maskcorrect_plugin.demo.network")


def test_the_demo_network_takes_scenes_as_it_was_trained_on_them(network, tmp_path):
    tuned = network.DemoNet(num_classes=5).eval()
    loaded = load_model("demo", saved(tmp_path, tuned.state_dict()))
    assert loaded.num_classes == 5
    assert torch.equal(scores(loaded.model, 96), scores(tuned, 96))
    image = Image.effect_noise((96, 96), 60).convert("RGB")
    pixels = torchvision.transforms.v2.functional.pil_to_tensor(image)[None] / 255
    assert torch.allclose(loaded.transform(image), network.normalize(pixels)[0], atol=1e-6)
    assert load_model("demo", None).num_classes == 16


def test_the_demo_networks_weights_are_in_the_package(network, no_network):
    if not network.WEIGHTS_FILE.is_file():
        pytest.skip("the demo's network has not been trained yet")
    loaded = load_model("demo")
    assert loaded.num_classes == len(set(loaded.class_names)) == 16
    assert torch.equal(scores(loaded.model, 96), scores(network.load_demo_model(), 96))
    assert torch.equal(scores(load_model("demo", network.WEIGHTS_FILE).model, 96), scores(loaded.model, 96))


# real networks and photos


def accuracy(loaded, files, labels):
    inputs, kept, failures, _ = load_batch(files, loaded.transform)
    assert failures == []
    assert kept == list(range(len(files)))
    with torch.inference_mode():
        return float((loaded.model(inputs).argmax(1) == torch.tensor(labels)).float().mean())


@pytest.mark.parametrize(
    ("name", "file"), [("squeezenet1_1", "squeezenet1_1.pt"), ("mobilenet_v2", "mobilenet_v2.safetensors")]
)
def test_real_networks_know_what_is_in_the_photos(real_folder, name, file):
    with (real_folder / "photos" / "labels.csv").open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))[:20]
    loaded = load_model(f"torchvision:{name}", real_folder / "weights" / file)
    assert all(loaded.class_names[int(row["class_index"])] == row["class_name"] for row in rows)
    # Chance is 0.001; one right answer in four is reached by chance with a probability below 1e-11.
    assert (
        accuracy(loaded, [real_folder / "photos" / r["path"] for r in rows], [int(r["class_index"]) for r in rows])
        > 0.25
    )


def test_a_network_of_no_zoo_comes_through_a_factory(real_folder, monkeypatch, in_folder):
    (in_folder / "mine.py").write_text((ROOT / "examples" / "cifar_resnet20.py").read_text())
    file = real_folder / "weights" / "cifar10_resnet20.pt"
    monkeypatch.setenv("MASKCORRECT_CIFAR_WEIGHTS", str(file))
    loaded = load_model("mine:resnet20")
    files = [
        path for folder in sorted((real_folder / "cifar10" / "images").iterdir()) for path in find_images(folder)[:10]
    ]
    assert len(files) == 100
    assert accuracy(loaded, files, [loaded.class_names.index(path.parent.name) for path in files]) > 0.5
    monkeypatch.delenv("MASKCORRECT_CIFAR_WEIGHTS")
    filled = load_model("mine:resnet20", file)
    assert torch.equal(scores(filled.model, 32), scores(loaded.model, 32))
    assert not torch.equal(scores(load_model("mine:resnet20").model, 32), scores(loaded.model, 32))


def test_the_example_loads_from_the_project_and_from_its_own_folder(monkeypatch):
    monkeypatch.delenv("MASKCORRECT_CIFAR_WEIGHTS", raising=False)
    for folder, spec in ((ROOT, "examples.cifar_resnet20:resnet20"), (ROOT / "examples", "cifar_resnet20:resnet20")):
        monkeypatch.chdir(folder)
        loaded = load_model(spec)
        assert loaded.num_classes == 10
        assert loaded.mean == pytest.approx(IMAGENET_MEAN, abs=1e-6)
        assert loaded.transform(Image.new("RGBA", (40, 60))).shape == (3, 32, 32)
