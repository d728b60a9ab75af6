"""The method on real networks and real photographs, where they are at hand."""

import csv
import os

import pytest
import reference
import torch
from conftest import Counter
from passes import PassCounter, declared

from maskcorrect_plugin import ProbabilityCorrector, correct_together, make_correctors
from maskcorrect_plugin.functional import scale_maps, upsample
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.models import load_model
from maskcorrect_plugin.recipe import UNGUIDED, ZOOM
from maskcorrect_plugin.registry import (
    BUILTIN_BACKENDS,
    create_attribution,
    describe_methods,
    get_backend,
    is_installed,
    split_name,
)

WEIGHTS = {"squeezenet1_1": "squeezenet1_1.pt", "mobilenet_v2": "mobilenet_v2.safetensors"}
PHOTOS = int(os.environ.get("MASKCORRECT_PHOTOS", "2"))
"""How many photos the float64 loop does; each takes about a minute on two cores."""


SIZES = {"K": 5, "C": 1280, "W": 13 * 13}
"""Candidates, channels of MobileNetV2's `features`, Occlusion's windows of 32 x 32 pixels on 224 x 224."""
COSTLY = 200
"""Forwards per image from which a method is left to `benchmarks/methods_table.py`, which runs them all."""
CHEAP = [
    name
    for name, info in describe_methods().items()
    if split_name(name)[0] in BUILTIN_BACKENDS
    and not name.startswith("control:")
    and declared(info.forwards, **SIZES) < COSTLY
]


@pytest.fixture(scope="module", params=WEIGHTS)
def loaded(request, real_folder):
    return load_model(f"torchvision:{request.param}", weights=real_folder / "weights" / WEIGHTS[request.param])


def photos(real_folder, loaded, count):
    with (real_folder / "photos" / "labels.csv").open() as file:
        rows = [row for _, row in zip(range(count), csv.DictReader(file), strict=False)]
    inputs = torch.stack([loaded.transform(read_image(real_folder / "photos" / row["path"])) for row in rows])
    return inputs, torch.tensor([int(row["class_index"]) for row in rows])


def test_cam_correction_of_real_photos(real_folder, loaded):
    inputs, labels = photos(real_folder, loaded, 20)
    result = ProbabilityCorrector(loaded.model, "CAM").correct(inputs, keep=("attributions",))
    assert (result.prediction == labels).float().mean() > 0.4  # the network sees what is in the pictures
    torch.testing.assert_close(result.corrected_probs.sum(-1), torch.ones(20))
    assert torch.isfinite(result.attributions).all() and not result.flat.any()
    assert (result.attributions.amax((-2, -1)) == 1).all()


@pytest.mark.slow
def test_score_cam_equals_the_float64_loop_on_squeezenet(real_folder):
    loaded = load_model("torchvision:squeezenet1_1", weights=real_folder / "weights" / "squeezenet1_1.pt")
    inputs, _ = photos(real_folder, loaded, PHOTOS)
    targets = loaded.model(inputs).argmax(-1)
    maps = create_attribution("ScoreCAM", loaded.model).attribute(inputs, targets)
    exact = load_model("torchvision:squeezenet1_1", weights=real_folder / "weights" / "squeezenet1_1.pt").model.double()
    for row in range(PHOTOS):
        expected = reference.score_cam(exact, exact.features, inputs[row].double(), int(targets[row]))
        assert (maps[row, 0].double() - expected).abs().max() <= 1e-4


@pytest.mark.slow
def test_score_cam_correction_counts_its_forwards_on_squeezenet(real_folder):
    loaded = load_model("torchvision:squeezenet1_1", weights=real_folder / "weights" / "squeezenet1_1.pt")
    inputs, _ = photos(real_folder, loaded, 1)
    corrector = ProbabilityCorrector(loaded.model, "ScoreCAM", "features", top_k=5)
    with torch.no_grad():
        activations = loaded.model.features(inputs)
    live = int((activations.amax((-2, -1)) > activations.amin((-2, -1))).sum())
    counter = Counter(loaded.model)
    corrector.correct(inputs)
    assert counter.inputs == 1 + live + 5


def score_cam_of_pytorch_grad_cam(model, inputs, target):
    library = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    with library.ScoreCAM(model, [model.features]) as cam:
        return scale_maps(torch.from_numpy(cam(inputs, [targets.ClassifierOutputTarget(target)])).unsqueeze(1))


def score_cam_of_torchcam(model, inputs, target):
    library = pytest.importorskip("torchcam.methods")
    with library.ScoreCAM(model, "features") as extractor:
        maps = extractor(class_idx=target, scores=model(inputs))
    return upsample(maps[0].unsqueeze(1), inputs.shape[-2:]).detach()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "library"), [("grad_cam", score_cam_of_pytorch_grad_cam), ("torchcam", score_cam_of_torchcam)]
)
def test_presets_of_score_cam_equal_their_libraries_on_squeezenet(preset, library, real_folder):
    loaded = load_model("torchvision:squeezenet1_1", weights=real_folder / "weights" / WEIGHTS["squeezenet1_1"])
    inputs, _ = photos(real_folder, loaded, 1)
    target = int(loaded.model(inputs).argmax())
    found = create_attribution("ScoreCAM", loaded.model, "features", preset=preset).attribute(inputs, target)
    assert (found - library(loaded.model, inputs, target)).abs().max() <= 1e-4
    assert found.max() > 0.9 and found.std() > 0.05


@pytest.fixture(scope="module")
def mobilenet(real_folder):
    return load_model("torchvision:mobilenet_v2", weights=real_folder / "weights" / WEIGHTS["mobilenet_v2"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CHEAP)
def test_every_method_of_few_forwards_corrects_real_photos_with_mobilenet(name, real_folder, mobilenet):
    backend = get_backend(split_name(name)[0])
    if not is_installed(backend):
        pytest.skip(f"{backend.library} is not installed")
    inputs, _ = photos(real_folder, mobilenet, 2)
    info, corrector = (
        describe_methods()[name],
        ProbabilityCorrector(mobilenet.model, name, "features", top_k=SIZES["K"]),
    )
    before = {key: value.clone() for key, value in mobilenet.model.state_dict().items()}
    corrector.probe(inputs)  # "auto" chooses its method
    counter = PassCounter(mobilenet.model)
    result = corrector.correct(inputs, keep=("attributions",))
    counter.remove()
    assert counter.inputs == len(inputs) * (1 + declared(info.forwards, **SIZES) + SIZES["K"])
    torch.testing.assert_close(result.corrected_probs.sum(-1), torch.ones(2))
    maps = result.attributions[~result.flat]
    assert len(maps) and torch.isfinite(maps).all() and (maps.amin((-2, -1)) >= 0).all()
    assert (maps.amax((-2, -1)) > 0.99).all() and (maps.std((-2, -1)) > 0).all()
    assert (result.attributions[0] != result.attributions[1]).any()  # two photos, two maps
    assert all(torch.equal(value, before[key]) for key, value in mobilenet.model.state_dict().items())


def test_a_zoom_of_real_photos_by_either_door(real_folder):
    """Five forwards an image; CAM is what "auto" takes here, and three recipes together cost less than apart."""
    loaded = load_model("torchvision:squeezenet1_1", weights=real_folder / "weights" / WEIGHTS["squeezenet1_1"])
    with (real_folder / "photos" / "labels.csv").open() as file:
        pictures = [
            read_image(real_folder / "photos" / row["path"])
            for _, row in zip(range(6), csv.DictReader(file), strict=False)
        ]
    recipes = {"zoom": ZOOM, "unguided": UNGUIDED, "mask": ZOOM.replace(views="mask[map=merged]")}
    correctors = make_correctors(loaded.model, recipes, preprocessing=loaded.preprocessing)
    correctors["zoom"].correct(pictures[:1])  # "auto" chooses
    counter = PassCounter(loaded.model)
    results = correct_together(correctors, pictures)
    spent = counter.inputs
    counter.remove()
    zoom = results["zoom"]
    assert zoom.settings["method"] in ("CAM", "ScoreCAM") and (zoom.forwards + zoom.saved == 5).all()
    assert spent < sum(int(result.forwards.sum()) for result in results.values())
    for name, result in results.items():
        alone = ProbabilityCorrector(loaded.model, recipe=recipes[name], preprocessing=loaded.preprocessing)
        expected = alone.correct(pictures)
        torch.testing.assert_close(result.corrected_probs, expected.corrected_probs, rtol=0, atol=1e-4)
        assert torch.equal(result.forwards, expected.forwards)
        torch.testing.assert_close(result.corrected_probs.sum(-1), torch.ones(6))
