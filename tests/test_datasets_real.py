"""Real images and real networks: labels that were mapped wrongly would leave no accuracy."""

import sys

import pytest
import torch
from conftest import ROOT

from maskcorrect_plugin import load_dataset, load_model
from maskcorrect_plugin.datasets import iterate_groups


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield
    sys.modules.pop("cifar_resnet20", None)


def accuracy(loaded, dataset, indices):
    right = done = 0
    for group in iterate_groups(dataset, loaded.transform, [indices[i : i + 25] for i in range(0, len(indices), 25)]):
        assert not group.failures
        with torch.no_grad():
            answers = loaded.model(group.inputs).argmax(dim=1)
        right += sum(int(answer) == dataset.record(i).label for answer, i in zip(answers, group.indices, strict=True))
        done += len(answers)
    return right / done


def test_cifar_images_in_class_folders(real_folder, examples):
    loaded = load_model("cifar_resnet20:resnet20", real_folder / "weights" / "cifar10_resnet20.pt")
    dataset = load_dataset(real_folder / "cifar10" / "images", class_names=loaded.class_names)
    description = dataset.describe()
    assert [description[name] for name in ("kind", "count", "labelled", "classes")] == ["folder", 2500, 2500, 10]
    assert description["labels"] == "class names"
    for index in range(0, 2500, 125):
        record = dataset.record(index)
        assert record.id.split("/")[0] == loaded.class_names[record.label] == dataset.class_names[record.label]
    assert accuracy(loaded, dataset, range(0, 2500, 10)) > 0.7  # 0.81 on all


def test_photos_in_a_manifest(real_folder):
    loaded = load_model("torchvision:mobilenet_v2", real_folder / "weights" / "mobilenet_v2.safetensors")
    manifest = real_folder / "photos" / "labels.csv"
    dataset = load_dataset(manifest, class_names=loaded.class_names)
    description = dataset.describe()
    assert (description["count"], description["labelled"]) == (500, 500)
    assert description["columns"] == {"image": "path", "label": "class_index"}
    assert accuracy(loaded, dataset, range(0, 500, 10)) > 0.6  # 0.836 on these and others

    by_name = load_dataset(manifest, class_names=loaded.class_names, label_column="class_name")
    assert by_name.describe()["labels"] == "class names"
    assert [by_name.record(i) for i in range(500)] == [dataset.record(i) for i in range(500)]
    assert by_name.fingerprint() == dataset.fingerprint()
