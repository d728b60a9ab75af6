"""Data sets that are there without files: the demo's scenes, and whatever a user has in Python."""

import numpy as np
import pytest
import torch
from pictures import picture, records, write_pictures
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from maskcorrect_plugin import load_dataset
from maskcorrect_plugin.datasets import WrappedDataset, as_image_dataset
from maskcorrect_plugin.demo.scenes import CLASS_NAMES, make_scene
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, ImageError


def refuse(image):
    raise AssertionError("a tensor is the model's input already")


# The demo


def test_the_demo_is_its_held_out_scenes():
    dataset = load_dataset("demo:20", class_names=CLASS_NAMES)
    assert (len(dataset), len(load_dataset("demo"))) == (20, 500)
    assert dataset.record(17).id == "test/17"
    for index in (0, 17):
        scene = make_scene("test", index)
        assert dataset.record(index).label == scene.label
        assert (np.asarray(dataset.image(index)) == scene.image).all()
    assert dataset.class_names == CLASS_NAMES
    assert load_dataset("demo:20", split="validation").record(0).id == "validation/0"
    assert dataset.describe()["split"] == "test"
    assert load_dataset("demo:20").fingerprint() == dataset.fingerprint() != load_dataset("demo:21").fingerprint()


def test_the_demos_labels_are_those_of_the_model():
    dataset = load_dataset("demo:20", class_names=CLASS_NAMES[::-1])
    assert dataset.record(0).label == 15
    assert dataset.describe()["labels"] == "class names"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "demo:many"}, "source: 'demo:N' takes a number of scenes, got 'demo:many'"),
        ({"source": "demo:0"}, "source must be at least 1, got 0"),
        ({"source": "demo", "split": "val"}, "split must be one of 'train', 'validation', 'test'; got 'val'"),
        ({"source": "demo", "num_classes": 1000}, "source: of 16 class names, 16 are not among the model's"),
        ({"source": "demo", "root": "x"}, r"root is no option for 'demo' \(kind 'demo'\), which has split"),
        ({"source": "no/such/folder"}, "source must be a folder, a manifest .*; 'no/such/folder' does not exist"),
        ({"source": __file__}, "source must be a folder, a manifest .*; .* is a file of another kind"),
    ],
)
def test_what_means_nothing_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        load_dataset(**options)
    with pytest.raises(ArgumentTypeError, match=r"source must be a folder, .*; got int"):
        load_dataset(3)


# What a user has


class Pairs(Dataset):
    """Images with labels that only items know; counts how often it is asked."""

    def __init__(self, items):
        self.items = items
        self.asked = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def test_pillow_images_are_transformed_and_ids_are_positions():
    pairs = Pairs(
        [(picture(7), 2), (Image.new("L", (3, 3), 5), torch.tensor(0)), (picture(1), np.int64(1)), (picture(), None)]
    )
    dataset = as_image_dataset(pairs, num_classes=3)
    assert records(dataset) == [("0", 2), ("1", 0), ("2", 1), ("3", None)]
    assert records(dataset)[0] == ("0", 2)
    assert pairs.asked == [0, 0, 1, 2, 3]  # the first to see the form of the items, then once each
    assert dataset.image(0).getpixel((0, 0)) == (7, 100, 200)
    assert dataset.image(1).mode == "RGB"
    assert dataset.load(0, lambda image: torch.full((3, 1, 1), float(image.getpixel((0, 0))[0]))).flatten()[0] == 7
    description = dataset.describe()
    assert (description["kind"], description["source"], description["classes"]) == ("python", "Pairs", 3)


def test_tensors_are_the_models_inputs_as_they_stand():
    inputs, labels = torch.randn(4, 3, 5, 5), torch.tensor([0, 1, 2, 1])
    dataset = as_image_dataset(TensorDataset(inputs, labels))
    assert [label for _, label in records(dataset)] == [0, 1, 2, 1]
    assert torch.equal(dataset.load(2, refuse), inputs[2])
    with pytest.raises(ImageError, match="item 2: a Tensor, not a PIL image"):
        dataset.image(2)
    assert [label for _, label in records(as_image_dataset(Subset(TensorDataset(inputs, labels), [3, 0])))] == [1, 0]
    assert records(as_image_dataset(TensorDataset(inputs)))[0] == ("0", None)


def test_labels_of_torchvisions_data_sets_are_known_without_reading_an_image(tmp_path, monkeypatch):
    write_pictures(tmp_path, ["cat/a.png", "dog/b.png", "dog/c.png"])
    folder = ImageFolder(tmp_path)
    dataset = as_image_dataset(folder)
    monkeypatch.setattr(ImageFolder, "__getitem__", lambda *_: pytest.fail("an image was read"))
    assert records(dataset) == [("0", 0), ("1", 1), ("2", 1)]
    assert dataset.class_names == ("cat", "dog")


def test_labels_that_a_transform_changes_come_from_the_items(tmp_path):
    write_pictures(tmp_path, ["cat/a.png", "dog/b.png"])
    dataset = as_image_dataset(ImageFolder(tmp_path, target_transform=lambda label: 1 - label))
    assert records(dataset) == [("0", 1), ("1", 0)]


def test_attributes_of_other_data_sets_may_be_anything():
    pairs = Pairs([(picture(), 1), (picture(), 0)])
    pairs.targets = [7, 7]
    assert records(as_image_dataset(pairs)) == [("0", 1), ("1", 0)]


def test_an_item_that_cannot_be_made_has_no_label_and_an_error_with_a_reason():
    dataset = as_image_dataset([(picture(), 0), (picture(), 1)])
    assert records(dataset) == [("0", 0), ("1", 1)]
    dataset = as_image_dataset(Pairs([OSError("disk gone"), (picture(), 1), ("text", 2)]))
    assert records(dataset) == [("0", None), ("1", 1), ("2", 2)]
    with pytest.raises(ImageError, match="item 0: the data set failed: OSError: disk gone"):
        dataset.image(0)
    with pytest.raises(ImageError, match="item 2: a str, not a PIL image"):
        dataset.image(2)


def test_labels_can_be_given():
    pairs = Pairs([(picture(), "cat"), (picture(), "dog")])
    dataset = WrappedDataset(pairs, labels=[1, None])
    assert records(dataset) == [("0", 1), ("1", None)]
    with pytest.raises(ArgumentError, match=r"labels must hold one per item \(2\), got 3"):
        WrappedDataset(pairs, labels=[0, 1, 2])


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Stream(), "dataset must be map-style, with __len__ and __getitem__, got Stream"),
        (DataLoader([1]), "got DataLoader; pass its .dataset"),
        (torch.zeros(2, 3, 4, 4), "got Tensor"),
        ([{"image": 1}], "item 0 is dict with dict"),
        ([("a.png", 0)], "item 0 is tuple with str"),
        ([(picture(), 0.5)], "labels must be an integer, got 0.5"),
        ([(picture(), torch.tensor([0.1, 0.9]))], "labels must be an integer, got "),
    ],
)
def test_what_is_no_map_style_data_set_of_labelled_images_is_refused(data, message):
    with pytest.raises(ArgumentTypeError, match=message):
        as_image_dataset(data).record(0)


def test_labels_out_of_range_and_empty_data_are_refused():
    with pytest.raises(ArgumentError, match="labels must be from 0 to 1, got 2"):
        as_image_dataset(TensorDataset(torch.zeros(1, 3, 2, 2), torch.tensor([2])), class_names=["a", "b"])
    with pytest.raises(ArgumentError, match="dataset must hold at least one item, got an empty list"):
        as_image_dataset([])


def test_a_data_set_of_this_package_and_a_source_are_taken_as_well(tmp_path):
    dataset = load_dataset("demo:3")
    assert as_image_dataset(dataset) is dataset
    assert as_image_dataset("demo:3").fingerprint() == dataset.fingerprint()
    assert len(as_image_dataset(write_pictures(tmp_path, ["a.png"]))) == 1
