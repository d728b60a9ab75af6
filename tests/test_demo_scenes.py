"""The demo's scenes: repeatable, labelled as they look, and telling the sub-class by one small detail only."""

import json

import numpy as np
import pytest
import torch

from maskcorrect_plugin.demo import difficulty, network, train
from maskcorrect_plugin.demo.scenes import (
    CLASS_NAMES,
    IMAGE_SIZE,
    SPLITS,
    SUB_NAMES,
    SUPER_NAMES,
    SceneDataset,
    make_scene,
    to_tensor,
)

CLASSES = range(len(CLASS_NAMES))


@pytest.fixture(scope="module")
def scenes():
    return [make_scene("validation", index) for index in range(160)]


def same(first, second):
    return np.array_equal(first.image, second.image)


# repeatable


def test_a_scene_depends_on_seed_split_and_index_alone():
    dataset = SceneDataset("validation", count=40, seed=3)
    for index in (31, 2, 31):  # in any order, any number of times, from a set of any size
        assert same(dataset.scene(index), make_scene("validation", index, seed=3))
        assert same(dataset.scene(index), SceneDataset("validation", count=index + 1, seed=3).scene(index))


def test_drawing_a_scene_leaves_the_global_random_states_alone():
    torch.manual_seed(0)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    make_scene("test", 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_splits_seeds_and_indices_give_different_scenes():
    keys = [(split, index, seed) for split in SPLITS for index in (0, 16) for seed in (0, 1)]
    drawn = {make_scene(*key).image.tobytes() for key in keys}
    assert len(drawn) == len(keys)


def test_these_are_the_scenes_that_the_weights_were_trained_and_judged_on():
    record = json.loads(network.RECORD_FILE.read_text())
    for split in ("validation", "test"):
        images, _ = train.paint_split(split, train.FINGERPRINT_SCENES, record["recipe"]["data_seed"])
        assert train.fingerprint(images) == record[split]["first_scenes_sha256"]


# labels


def test_labels_cycle_through_all_classes(scenes):
    assert [scene.label for scene in scenes] == [index % len(CLASS_NAMES) for index in range(len(scenes))]
    for scene in scenes[: len(CLASS_NAMES)]:
        sub, name = CLASS_NAMES[scene.label].split()
        assert SUPER_NAMES[scene.super_label] == name
        assert SUB_NAMES[scene.label % len(SUB_NAMES)] == sub


def test_the_dataset_gives_images_in_zero_to_one_and_labels():
    dataset = SceneDataset("train", count=18)
    image, label = dataset[17]
    assert len(dataset) == 18 == len(list(dataset))
    assert image.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert image.dtype == torch.float32
    assert label == dataset.scene(17).label == 1
    assert torch.equal(
        (image * 255).round().to(torch.uint8), torch.from_numpy(dataset.scene(17).image).permute(2, 0, 1)
    )
    assert 0 <= float(image.min()) < float(image.max()) <= 1


def test_to_tensor_divides_by_255():
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    pixels[1, 0, 2] = 51
    assert to_tensor(pixels)[2, 1, 0].item() == pytest.approx(0.2)
    assert int(to_tensor(pixels).count_nonzero()) == 1


# masks


def test_the_detail_lies_on_the_object_and_the_object_in_the_image(scenes):
    for scene in scenes:
        assert scene.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert scene.object_mask.shape == scene.detail_mask.shape == (IMAGE_SIZE, IMAGE_SIZE)
        assert scene.object_mask.dtype == scene.detail_mask.dtype == np.bool_
        assert not (scene.detail_mask & ~scene.object_mask).any()
        # A small detail: between 1 and 20 % of the object, which itself is far from filling the image.
        assert 0.01 < scene.detail_mask.sum() / scene.object_mask.sum() < 0.20
        assert 0.03 < scene.object_mask.mean() < 0.50


def test_the_detail_is_whole_and_not_cut_by_the_border(scenes):
    for scene in scenes:
        rows, columns = np.nonzero(scene.detail_mask)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert abs(height - width) <= 1  # a disc
        assert scene.detail_mask.sum() == pytest.approx(np.pi / 4 * height * width, rel=0.2)


@pytest.mark.parametrize("label", CLASSES)
def test_another_subclass_changes_the_scene_within_the_detail_only(label):
    scene = make_scene("validation", label)
    own = label % len(SUB_NAMES)
    for sub in range(len(SUB_NAMES)):
        other = scene.with_subclass(sub)
        changed = (other.image != scene.image).any(axis=2)
        assert not (changed & ~scene.detail_mask).any()
        assert changed.any() == (sub != own)
        assert (other.label, other.super_label) == (label - own + sub, scene.super_label)
        assert np.array_equal(other.object_mask, scene.object_mask)
        assert np.array_equal(other.detail_mask, scene.detail_mask)
        assert np.array_equal(other.distractor_mask, scene.distractor_mask)
        assert other.distractors == scene.distractors
    assert same(other.with_subclass(own), scene)


# the background


def test_every_background_carries_details_of_other_subclasses(scenes):
    for scene in scenes:
        others = set(scene.distractors) - {scene.label % len(SUB_NAMES)}
        assert len(others) >= 2
        assert set(scene.distractors) <= set(range(len(SUB_NAMES)))
        assert scene.distractor_mask.any()
        assert not (scene.distractor_mask & scene.object_mask).any()


def test_the_background_says_nothing_about_the_subclass(scenes):
    # Independence: over many scenes each kind is about as frequent beside its own sub-class as beside the others.
    counts = np.zeros((len(SUB_NAMES), len(SUB_NAMES)))
    for scene in scenes:
        for kind in scene.distractors:
            counts[scene.label % len(SUB_NAMES), kind] += 1
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - 1 / len(SUB_NAMES)).max() < 0.08


# difficulty


def test_easier_scenes_are_only_painted_inside_the_context():
    usual = make_scene("train", 3)
    with difficulty.easier():
        easy = make_scene("train", 3)
    assert not same(easy, usual)
    assert easy.detail_mask.sum() > usual.detail_mask.sum()
    assert same(make_scene("train", 3), usual)


def test_the_usual_difficulty_returns_after_an_error():
    usual = make_scene("train", 3)
    with pytest.raises(RuntimeError, match="stop"), difficulty.easier():
        raise RuntimeError("stop")
    assert same(make_scene("train", 3), usual)


# arguments


def test_wrong_arguments_are_named():
    for call, name in (
        (lambda: make_scene("val", 0), "split"),
        (lambda: make_scene("test", -1), "index"),
        (lambda: make_scene("test", 0, seed=-1), "seed"),
        (lambda: make_scene("test", 0, label=len(CLASS_NAMES)), "label"),
        (lambda: make_scene("test", 0).with_subclass(len(SUB_NAMES)), "sub"),
        (lambda: SceneDataset("test", count=0), "count"),
    ):
        with pytest.raises(ValueError, match=rf"^{name} must be"):
            call()
    with pytest.raises(IndexError, match="from 0 to 9, got 10"):
        SceneDataset("test", count=10).scene(10)
