"""The demo's network: small, in the package, as good as its record says, and trained by a script that runs."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from maskcorrect_plugin.demo import train
from maskcorrect_plugin.demo.network import RECORD_FILE, WEIGHTS_FILE, DemoNet, load_demo_model, normalize
from maskcorrect_plugin.demo.scenes import CLASS_NAMES, IMAGE_SIZE, MEAN, STD, SUB_NAMES


@pytest.fixture(scope="module")
def model():
    return load_demo_model()


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD_FILE.read_text())


@pytest.fixture(scope="module")
def validation():
    return train.paint_split("validation", 320, seed=0)


# the weights in the package


def test_the_weights_are_small_and_loaded_in_eval_mode(model):
    assert WEIGHTS_FILE.stat().st_size < 1_000_000
    assert not any(module.training for module in model.modules())
    stored = load_file(WEIGHTS_FILE)
    assert stored.keys() == model.state_dict().keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in model.state_dict().items())


def test_the_network_is_as_good_as_recorded(model, record, validation):
    images, labels = validation
    accuracy = (train.predict(model, images) == labels).float().mean().item()
    recorded = record["validation"]["accuracy"]
    # 320 of the recorded scenes: within four standard errors of their share.
    assert accuracy == pytest.approx(recorded, abs=4 * (recorded * (1 - recorded) / len(labels)) ** 0.5)


def test_real_confusions_are_left_and_they_are_fine_grained(model, record, validation):
    for split in ("validation", "test"):
        assert 0.80 <= record[split]["accuracy"] <= 0.92
    images, labels = validation
    wrong = (answers := train.predict(model, images)) != labels
    assert wrong.any()
    assert (answers // len(SUB_NAMES) == labels // len(SUB_NAMES))[wrong].float().mean() > 0.9


def test_the_record_belongs_to_this_recipe_and_to_these_classes(model, record):
    assert record["recipe"] == vars(train.Recipe())
    assert record["classes"] == list(CLASS_NAMES)
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())


# the network


def test_closed_form_cam_is_exact_at_the_last_stage(model):
    inputs = normalize(torch.rand(2, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0)))
    with torch.inference_mode():
        features = model.stages(inputs)
        maps = torch.einsum("mc,nchw->nmhw", model.head.weight, features)
        logits = maps.mean(dim=(2, 3)) + model.head.bias
        assert torch.allclose(logits, model(inputs), atol=1e-4)
    assert features.shape == (2, 64, 12, 12)
    assert (features >= 0).all()


def test_normalize_takes_mean_and_standard_deviation_off():
    image = torch.tensor(MEAN).view(3, 1, 1).expand(3, 4, 4)
    assert normalize(image).abs().max() < 1e-6
    one_up = normalize(image + torch.tensor(STD).view(3, 1, 1))
    assert torch.allclose(one_up, torch.ones(3, 4, 4), atol=1e-5)
    assert torch.equal(normalize(one_up[None])[0], normalize(one_up))


def test_the_training_scenes_have_the_mean_and_deviation_that_normalize_takes_off():
    images, _ = train.paint_split("train", 160, seed=0)
    inputs = normalize(images.double() / 255.0)
    assert inputs.mean(dim=(0, 2, 3)).abs().max() < 0.2
    assert (inputs.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1


# training

TINY = train.Recipe(
    train_scenes=64, validation_scenes=32, test_scenes=32, easy_epochs=2, epochs=3, batch_size=16, learning_rate=2e-3
)


def test_training_is_repeatable_and_learns():
    with torch.random.fork_rng():
        first, second = train.train(TINY), train.train(TINY)
    assert not first.training
    images, labels = train.paint_split("train", TINY.train_scenes, TINY.data_seed)
    with torch.inference_mode():
        inputs = normalize(images.float() / 255.0)
        assert torch.allclose(first(inputs), second(inputs), atol=1e-4)
        untrained = torch.nn.functional.cross_entropy(DemoNet().eval()(inputs), labels)
        assert torch.nn.functional.cross_entropy(first(inputs), labels) < untrained


def test_augment_mirrors_and_shifts_whole_images():
    images = torch.arange(2.0 * 3 * 6 * 6).view(2, 3, 6, 6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unshifted = torch.stack([train.augment(images, 0) for _ in range(20)])
        shifted = train.augment(torch.ones(8, 3, 6, 6), 2)
    for number, image in enumerate(images):
        seen = {tuple(drawn.flatten().tolist()) for drawn in unshifted[:, number]}
        assert seen == {tuple(image.flatten().tolist()), tuple(image.flip(2).flatten().tolist())}
    assert torch.equal(shifted, torch.ones(8, 3, 6, 6))  # the border is repeated: no black edge


def test_the_script_writes_weights_that_load_and_their_record(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "Recipe", lambda: TINY)
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        train.main(["--output", str(tmp_path / "new"), "--threads", str(threads)])
    loaded = load_demo_model(tmp_path / "new" / WEIGHTS_FILE.name)
    written = json.loads((tmp_path / "new" / RECORD_FILE.name).read_text())
    images, labels = train.paint_split("test", TINY.test_scenes, TINY.data_seed)
    accuracy = (train.predict(loaded, images) == labels).float().mean().item()
    assert written["test"]["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert written["recipe"] == vars(TINY)


def test_weights_of_another_network_are_refused(tmp_path):
    save_file({"head.weight": torch.zeros(16, 64)}, tmp_path / "other.safetensors")
    with pytest.raises(RuntimeError, match="Missing key"):
        load_demo_model(tmp_path / "other.safetensors")
