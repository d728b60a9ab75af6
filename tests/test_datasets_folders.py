"""Folders of images: what is found, how it is labelled, and what tells two of them apart."""

import logging
import os
import shutil
import time

import numpy as np
import pytest
from pictures import forbid_listing, records, write_pictures

from maskcorrect_plugin import ImageDataset, load_dataset
from maskcorrect_plugin.datasets import ImageRecord
from maskcorrect_plugin.errors import ArgumentError, ImageError

CLASSES = ("cat", "dog")


@pytest.fixture
def animals(tmp_path):
    return write_pictures(tmp_path / "animals", ["dog/c.png", "cat/deep/er/b.JPG", "cat/a.png", "dog/.hidden.png"])


def test_class_folders_give_labels_and_relative_ids(animals):
    (animals / "dog" / "notes.txt").write_text("x")
    (animals / ".cache").mkdir()
    dataset = load_dataset(animals, class_names=["dog", "fish", "cat"])
    assert isinstance(dataset, ImageDataset)
    assert records(dataset) == [("cat/a.png", 2), ("cat/deep/er/b.JPG", 2), ("dog/c.png", 0)]
    assert dataset.record(0) == ImageRecord("cat/a.png", 2)
    assert dataset.class_names == ("dog", "fish", "cat")
    assert np.asarray(dataset.image(2))[0, 0].tolist() == [0, 100, 200]
    assert dataset.image(2).mode == "RGB"
    description = dataset.describe()
    assert description == {
        "kind": "folder",
        "source": str(animals),
        "count": 3,
        "labelled": 3,
        "classes": 2,
        "labels": "class names",
        "fingerprint": dataset.fingerprint(),
        "split": None,
    }


def test_without_a_model_classes_are_numbered_in_sorted_order_as_torchvision_does(animals, caplog):
    from torchvision.datasets import ImageFolder

    write_pictures(animals, ["dog-fish/z.png", "dog fish/z.png", "Ant/z.png"])
    dataset, reference = load_dataset(animals), ImageFolder(animals)
    assert dataset.class_names == tuple(reference.classes)
    ours = {str(animals / record_id): label for record_id, label in records(dataset)}
    theirs = dict(reference.samples)
    del theirs[str(animals / "dog" / ".hidden.png")]  # torchvision takes hidden files
    assert ours == theirs
    assert not caplog.records


def test_as_many_folders_as_classes_are_taken_in_order_and_said_so_once(animals, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = load_dataset(animals, num_classes=2)
    assert [label for _, label in records(dataset)] == [0, 0, 1]
    assert dataset.describe()["labels"] == "sorted folder names"
    assert len(caplog.records) == 1
    with pytest.raises(ArgumentError, match="of 2 folder names, 2 are not among the model's: 'cat', 'dog'"):
        load_dataset(animals, num_classes=3)


def test_an_empty_class_folder_is_a_class(animals):
    (animals / "cow").mkdir()
    assert [label for _, label in records(load_dataset(animals))] == [0, 0, 2]


def test_images_without_class_folders_have_no_labels(tmp_path):
    write_pictures(tmp_path, ["b.png", "a.png"])
    (tmp_path / "empty").mkdir()
    dataset = load_dataset(str(tmp_path), class_names=CLASSES)
    assert records(dataset) == [("a.png", None), ("b.png", None)]
    assert dataset.class_names is None
    description = dataset.describe()
    assert (description["labelled"], description["classes"], description["labels"]) == (0, 0, None)


def test_images_beside_class_folders_are_refused(animals):
    write_pictures(animals, ["stray.png"])
    with pytest.raises(ArgumentError, match=r"source: .* has 1 images beside its class folders: 'stray\.png'; allowed"):
        load_dataset(animals)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="source: there is no image in"):
        load_dataset(tmp_path)


def test_links_are_followed_and_dead_ones_are_images_that_cannot_be_read(animals, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cat").symlink_to(animals / "cat", target_is_directory=True)
    (linked / "dog").mkdir()
    (linked / "dog" / "dead.png").symlink_to("nowhere.png")
    (linked / "dog" / "c.png").symlink_to(animals / "dog" / "c.png")
    dataset = load_dataset(linked, class_names=CLASSES)
    assert [name for name, _ in records(dataset)] == ["cat/a.png", "cat/deep/er/b.JPG", "dog/c.png", "dog/dead.png"]
    with pytest.raises(ImageError, match=r"dog/dead\.png: no such file"):
        dataset.image(3)


def test_a_class_that_cannot_be_listed_is_refused_and_not_left_out(animals, monkeypatch):
    forbid_listing(monkeypatch, "dog")
    with pytest.raises(ArgumentError, match=r"dog' cannot be listed: Permission denied"):
        load_dataset(animals)


def test_names_that_are_not_unicode_have_ids_that_are(tmp_path):
    (tmp_path / "cat").mkdir()
    try:
        (tmp_path / "cat" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    dataset = load_dataset(tmp_path)
    assert dataset.record(0).id == r"cat/caf\xe9.png"
    assert dataset.path(0).exists()
    assert len(dataset.fingerprint()) == 64


# The parts of a data set


def test_a_folder_of_splits_is_not_a_folder_of_classes(animals, tmp_path):
    whole = tmp_path / "whole"
    for split in ("train", "val"):
        shutil.copytree(animals, whole / split)
    with pytest.raises(ArgumentError, match=r"split: .* holds parts of a data set, not classes; .* 'train', 'val'"):
        load_dataset(whole, num_classes=2)
    dataset = load_dataset(whole, class_names=CLASSES, split="val")
    assert records(dataset)[2] == ("val/dog/c.png", 1)
    assert (dataset.describe()["kind"], dataset.describe()["split"]) == ("folder", "val")
    with pytest.raises(ArgumentError, match=r"split: there is no folder 'test' in .*, which has 'train', 'val'"):
        load_dataset(whole, split="test")
    # A model that has such classes may.
    assert load_dataset(whole, class_names=["val", "train"]).class_names == ("val", "train")


@pytest.fixture
def imagenet(tmp_path):
    names = [f"{split}/n0{number}000000/{split}_{number}.JPEG" for split in ("val", "train") for number in (2, 1, 3)]
    write_pictures(tmp_path / "imagenet", names)
    (tmp_path / "imagenet" / "meta.bin").write_bytes(b"not needed")
    return tmp_path / "imagenet"


def test_imagenets_layout_is_recognised(imagenet):
    dataset = load_dataset(imagenet, class_names=["tench", "goldfish", "shark"])
    assert records(dataset) == [(f"val/n0{number}000000/val_{number}.JPEG", number - 1) for number in (1, 2, 3)]
    assert dataset.class_names == ("n01000000", "n02000000", "n03000000")
    description = dataset.describe()
    assert description["kind"] == "imagenet"
    assert (description["split"], description["labels"]) == ("val", "sorted WordNet ids")
    train = load_dataset(imagenet, num_classes=3, split="train")
    assert train.record(0).id == "train/n01000000/train_1.JPEG"
    assert train.fingerprint() != dataset.fingerprint()
    # Its val folder alone is an ordinary folder with the same labels.
    inner = load_dataset(imagenet / "val", num_classes=3)
    assert [label for _, label in records(inner)] == [0, 1, 2]
    assert inner.kind == "folder"


# The fingerprint


def test_the_fingerprint_knows_names_labels_sizes_and_order_and_not_the_place(animals, tmp_path):
    first = load_dataset(animals, class_names=CLASSES).fingerprint()
    assert len(first) == 64
    assert load_dataset(str(animals) + "/", class_names=CLASSES).fingerprint() == first
    moved = tmp_path / "moved"
    shutil.copytree(animals, moved)
    assert load_dataset(moved, class_names=CLASSES).fingerprint() == first
    assert load_dataset(moved, class_names=CLASSES[::-1]).fingerprint() != first
    (moved / "cat" / "a.png").write_bytes(b"longer, or shorter")
    resized = load_dataset(moved, class_names=CLASSES).fingerprint()
    assert resized != first
    (moved / "cat" / "a.png").rename(moved / "cat" / "0.png")
    assert load_dataset(moved, class_names=CLASSES).fingerprint() not in (first, resized)


def test_the_fingerprint_depends_on_the_order(animals):
    class Reversed(ImageDataset):
        kind = "folder"

        def __init__(self, inner):
            self.inner = inner

        def __len__(self):
            return len(self.inner)

        def record(self, index):
            return self.inner.record(len(self.inner) - 1 - index)

        def image(self, index):
            raise NotImplementedError

        def byte_size(self, index):
            return self.inner.byte_size(len(self.inner) - 1 - index)

    dataset = load_dataset(animals)
    assert Reversed(Reversed(dataset)).fingerprint() == dataset.fingerprint() != Reversed(dataset).fingerprint()


@pytest.mark.slow
def test_fifty_thousand_files_are_listed_and_fingerprinted_in_seconds(tmp_path):
    for number in range(1000):
        folder = tmp_path / "val" / f"n{number:08}"
        folder.mkdir(parents=True)
        for image in range(50):
            (folder / f"ILSVRC2012_val_{image * 1000 + number:08}.JPEG").touch()
    start = time.perf_counter()
    dataset = load_dataset(tmp_path, num_classes=1000)
    listed = time.perf_counter()
    dataset.describe()
    described = time.perf_counter()
    print(f"listed in {listed - start:.2f} s, described in {described - listed:.2f} s")
    assert len(dataset) == 50_000
    assert described - start < 10
