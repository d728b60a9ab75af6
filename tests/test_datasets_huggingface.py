"""Data sets of Hugging Face's library, all of them built here: nothing is downloaded."""

import io
import shutil
import sys

import numpy as np
import pytest
from pictures import picture, records, write_pictures
from PIL import Image

from maskcorrect_plugin import load_dataset
from maskcorrect_plugin.errors import ArgumentError, ImageError, MissingLibraryError

library = pytest.importorskip("datasets")
from datasets import ClassLabel, Features, Value  # noqa: E402

NAMES = ["dog", "Great owl", "cat"]


@pytest.fixture(autouse=True)
def quiet_and_offline(tmp_path, monkeypatch):
    library.disable_progress_bars()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def rows(labels, label_type, **columns):
    features = {"pic": library.Image(), "kind": label_type, **{name: Value("int64") for name in columns}}
    values = {"pic": [picture(shade) for shade in range(len(labels))], "kind": labels, **columns}
    return library.Dataset.from_dict(values, features=Features(features))


@pytest.fixture
def saved(tmp_path):
    rows([0, 1, 2, -1, 0], ClassLabel(names=NAMES)).save_to_disk(str(tmp_path / "saved"))
    return f"hf:{tmp_path / 'saved'}"


def test_columns_are_found_by_their_types_and_classes_by_their_names(saved):
    dataset = load_dataset(saved, class_names=["cat", "bird", "dog", "great_owl"])
    assert records(dataset) == [("0", 2), ("1", 3), ("2", 0), ("3", None), ("4", 2)]  # -1: the label is withheld
    assert dataset.class_names == ("cat", "bird", "dog", "Great owl")
    assert [dataset.image(index).getpixel((0, 0))[0] for index in range(5)] == [0, 1, 2, 3, 4]
    description = dataset.describe()
    assert (description["kind"], description["labels"], description["labelled"]) == ("hf", "class names", 4)
    assert description["columns"] == {"image": "pic", "label": "kind"}


def test_without_a_match_by_name_the_declared_order_counts(saved, caplog):
    dataset = load_dataset(saved, num_classes=3)
    assert [label for _, label in records(dataset)] == [0, 1, 2, None, 0]
    assert dataset.describe()["labels"] == "declared class names"
    assert "in declared order" in caplog.text


@pytest.mark.parametrize(
    ("labels", "label_type", "wanted"),
    [
        ([2, 0, 1], Value("int64"), [2, 0, 1]),
        (["cat", "Dog", None], Value("string"), [2, 0, None]),
    ],
)
def test_columns_of_indices_or_names_have_to_be_named(tmp_path, labels, label_type, wanted):
    rows(labels, label_type).save_to_disk(str(tmp_path / "saved"))
    dataset = load_dataset(f"hf:{tmp_path / 'saved'}", class_names=NAMES, label_column="kind")
    assert [label for _, label in records(dataset)] == wanted
    assert [label for _, label in records(load_dataset(f"hf:{tmp_path / 'saved'}"))] == [None] * 3


def test_a_label_that_the_model_does_not_have_is_refused_by_its_row(tmp_path):
    rows([2, 0, 3], Value("int64")).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ArgumentError, match=r"source: row 2 has the label 3; allowed are class indices from 0 to 2"):
        load_dataset(f"hf:{tmp_path / 'saved'}", num_classes=3, label_column="kind")


def test_several_splits_or_columns_have_to_be_chosen_from(tmp_path):
    two = rows([0, 1], ClassLabel(names=NAMES)).add_column("coarse", [1, 0], feature=ClassLabel(names=["a", "b"]))
    library.DatasetDict({"train": two, "test": two.select([1])}).save_to_disk(str(tmp_path / "saved"))
    source = f"hf:{tmp_path / 'saved'}"
    with pytest.raises(ArgumentError, match="split must be chosen from 'train', 'test'"):
        load_dataset(source)
    with pytest.raises(ArgumentError, match="split must be one of 'train', 'test'; got 'val'"):
        load_dataset(source, split="val")
    with pytest.raises(ArgumentError, match="label_column must be chosen from 'kind', 'coarse'"):
        load_dataset(source, split="test")
    dataset = load_dataset(source, split="test", label_column="coarse")
    assert (records(dataset), dataset.class_names, dataset.describe()["split"]) == ([("0", 0)], ("a", "b"), "test")


def test_a_data_set_without_images_is_refused(tmp_path):
    library.Dataset.from_dict({"x": [1, 2]}).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(ArgumentError, match=r"no column of .* holds images; there are 'x' \(Value\)"):
        load_dataset(f"hf:{tmp_path / 'saved'}")


def test_a_folder_of_images_is_read_by_the_library(tmp_path):
    write_pictures(tmp_path / "images", ["cat/a.png", "dog/b.png", "dog/c.png"])
    dataset = load_dataset(f"hf:{tmp_path / 'images'}", class_names=NAMES)
    assert [label for _, label in records(dataset)] == [2, 0, 0]
    assert dataset.image(2).getpixel((0, 0))[0] == 2
    assert dataset.describe()["split"] == "train"
    (tmp_path / "images" / "dog" / "c.png").unlink()
    with pytest.raises(ImageError, match=r"c\.png: no such file"):
        dataset.image(2)


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def test_images_are_decoded_as_those_of_any_other_kind(tmp_path):
    """Transparency over white, EXIF orientation, and an error with a name for what cannot be read."""
    clear = Image.new("RGBA", (4, 2), (10, 20, 30, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned = encoded(picture(9, (8, 4)), format="PNG", exif=exif)
    cells = [{"bytes": data, "path": None} for data in (encoded(clear, format="PNG"), turned, b"rubbish")] + [None]
    features = Features({"image": library.Image()})
    library.Dataset.from_dict({"image": cells}, features=features).save_to_disk(str(tmp_path / "saved"))
    dataset = load_dataset(f"hf:{tmp_path / 'saved'}")
    assert (np.asarray(dataset.image(0)) == 255).all()
    assert dataset.image(1).size == (4, 8)
    with pytest.raises(ImageError, match=r"row 2 of hf:.*: not an image in a format that is read here"):
        dataset.image(2)
    with pytest.raises(ImageError, match=r"row 3 of hf:.*: "):
        dataset.image(3)
    assert [dataset.byte_size(index) for index in range(4)] == [len(cells[0]["bytes"]), len(turned), 7, None]


def test_the_fingerprint_is_that_of_the_data_and_not_of_the_place(saved, tmp_path):
    first = load_dataset(saved, class_names=NAMES).fingerprint()
    shutil.copytree(tmp_path / "saved", tmp_path / "moved")
    assert load_dataset(f"hf:{tmp_path / 'moved'}", class_names=NAMES).fingerprint() == first
    data = rows([0, 1, 2, -1, 0], ClassLabel(names=NAMES))
    data = data.select([1, 0, 2, 3, 4]).select([1, 0, 2, 3, 4])  # through an index, the same rows
    data.save_to_disk(str(tmp_path / "selected"))
    assert load_dataset(f"hf:{tmp_path / 'selected'}", class_names=NAMES).fingerprint() == first
    larger = [picture(0, (60, 40)), *map(picture, range(1, 5))]
    features = Features({"pic": library.Image(), "kind": ClassLabel(names=NAMES)})
    changed = library.Dataset.from_dict({"pic": larger, "kind": [0, 1, 2, -1, 0]}, features=features)
    changed.save_to_disk(str(tmp_path / "changed"))
    assert load_dataset(f"hf:{tmp_path / 'changed'}", class_names=NAMES).fingerprint() != first


def test_what_is_not_there_is_told_with_what_works_without_a_network(tmp_path):
    with pytest.raises(ArgumentError, match="'hf:nobody/nothing:large' is not on this computer and could not be "):
        load_dataset("hf:nobody/nothing:large", split="test")
    with pytest.raises(ArgumentError, match=r"'hf:FOLDER' needs an existing folder, got 'hf:\./nothing'"):
        load_dataset("hf:./nothing")


def test_without_the_library_the_message_says_how_to_install_it(monkeypatch, saved):
    monkeypatch.delitem(sys.modules, "maskcorrect_plugin.datasets.huggingface", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingLibraryError, match=r'Hugging Face data sets need datasets.*"maskcorrect-plugin\[hf\]"'):
        load_dataset(saved)
