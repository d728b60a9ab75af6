"""The method on real networks and real photographs, where they are at hand."""

import csv
import os

import pytest
import reference
import torch
from conftest import Counter

from maskcorrect_plugin import ProbabilityCorrector, create_attribution, load_model
from maskcorrect_plugin.images import read_image

WEIGHTS = {"squeezenet1_1": "squeezenet1_1.pt", "mobilenet_v2": "mobilenet_v2.safetensors"}
PHOTOS = int(os.environ.get("MASKCORRECT_PHOTOS", "2"))
"""How many photos the float64 loop does; each takes about a minute on two cores."""


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
