"""Manifests: which columns and which dialects are understood, and what is refused with its line."""

import codecs
import csv
import shutil
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import records, write_pictures

from maskcorrect_plugin import load_dataset
from maskcorrect_plugin.errors import ArgumentError, ImageError

CLASSES = ("cat", "dog", "great owl")


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "data", ["a.png", "b.png", "sub/c.png"])


def written(folder, text, name="list.csv"):
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


WANTED = [("a.png", 0), ("sub/c.png", 2), ("b.png", None)]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,0\nsub/c.png,2\nb.png,\n",
        "path,label\na.png,0\nsub/c.png,2\nb.png",
        "path;label\na.png;cat\nsub/c.png;Great_Owl\nb.png;\n",
        "Label\tFile\ncat\ta.png\ngreat owl\tsub/c.png\n\tb.png\n",
        "filename|class_name|note\na.png|cat|1,5\nsub/c.png|great-owl|\nb.png||",
        '"image","target"\r\n"a.png","0"\r\n"./sub//c.png","2"\r\n"b.png",""\r\n',
        "\n path , class \n a.png , cat\n\nsub/c.png, great owl\n , \nb.png,\n\n",
        codecs.BOM_UTF8 + b"path,label\na.png,0.0\nsub/c.png,2.0\nb.png,\n",
        "class_name,path,class_index\nwrong,a.png,0\nwrong,sub/c.png,2\n,b.png,\n",
    ],
)
def test_usual_dialects_and_columns_are_understood(folder, text):
    dataset = load_dataset(written(folder, text), class_names=CLASSES)
    assert records(dataset) == WANTED
    assert dataset.kind == "manifest"
    assert dataset.image(1).getpixel((0, 0)) == (2, 100, 200)
    by_name = "cat" in (text if isinstance(text, str) else "")
    assert dataset.describe()["labels"] == ("class names" if by_name else "class indices")
    assert (dataset.class_names is not None) == by_name


def test_a_quoted_path_may_hold_anything(folder):
    shutil.copy(folder / "a.png", folder / 'a, "b"\n.png')
    dataset = load_dataset(written(folder, 'path,label\n"a, ""b""\n.png",1\n'))
    assert records(dataset) == [('a, "b"\n.png', 1)]
    assert dataset.image(0).size == (6, 4)


def test_parquet_is_read_like_text(folder):
    table = pa.table({"x": [1.0, 2.0, 3.0], "path": ["a.png", "sub/c.png", "b.png"], "label": [0, 2, None]})
    pq.write_table(table, folder / "list.parquet")
    dataset = load_dataset(folder / "list.parquet", num_classes=3)
    assert records(dataset) == WANTED
    assert dataset.describe()["columns"] == {"image": "path", "label": "label"}
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "label": ["Dog", None]}), folder / "names.pq")
    assert records(load_dataset(folder / "names.pq", class_names=CLASSES)) == [("a.png", 1), ("b.png", None)]
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "label": [1.0, float("nan")]}), folder / "floats.parquet")
    assert records(load_dataset(folder / "floats.parquet")) == [("a.png", 1), ("b.png", None)]
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "label": [0, 7]}), folder / "far.parquet")
    with pytest.raises(ArgumentError, match=r"source: row 2 has the label 7; allowed are .*from 0 to 2, or nothing"):
        load_dataset(folder / "far.parquet", class_names=CLASSES)


def test_columns_of_any_name_can_be_given(folder):
    file = written(folder, "where,what,label\na.png,1,0\n")
    assert records(load_dataset(file, image_column="where", label_column="what")) == [("a.png", 1)]
    with pytest.raises(ArgumentError, match=r"image_column: none of the columns is called path, .* 'where', 'what'"):
        load_dataset(file)
    with pytest.raises(ArgumentError, match="label_column must be one of 'where', 'what', 'label'; got 'which'"):
        load_dataset(file, image_column="where", label_column="which")


def test_no_column_of_labels_means_no_labels(folder):
    dataset = load_dataset(written(folder, "path\na.png\n"), class_names=CLASSES)
    assert records(dataset) == [("a.png", None)]
    assert (dataset.class_names, dataset.describe()["labels"]) == (None, None)


def test_columns_of_which_none_is_known_to_hold_labels_are_told(folder, caplog):
    load_dataset(written(folder, "path\na.png\n"))
    assert not caplog.messages
    load_dataset(written(folder, "path,answer\na.png,1\n"))
    (message,) = caplog.messages
    assert "no image has a label; label_column can name the one that holds them, of 'answer'" in message


def test_paths_are_relative_to_the_manifest_or_to_root(folder, tmp_path):
    other = tmp_path / "lists"
    other.mkdir()
    file = written(other, f"path,label\na.png,0\n{folder}/sub/c.png,1\n{tmp_path}/elsewhere.png,1\n")
    dataset = load_dataset(file, root=folder)
    assert [name for name, _ in records(dataset)] == ["a.png", "sub/c.png", f"{tmp_path}/elsewhere.png"]
    assert dataset.image(1).size == (6, 4)
    with pytest.raises(ImageError, match=r"elsewhere\.png: no such file"):
        dataset.image(2)


def test_a_wrong_root_is_told_before_any_work(folder):
    file = written(folder, "path,label\nx/a.png,0\nx/b.png,1\n")
    with pytest.raises(ArgumentError, match=r"root: of the first 2 images of .* none exists below .*'x/a\.png'"):
        load_dataset(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,0\nb.png,1\n./a.png,1\n", r"line 4 names 'a\.png' again, after line 2"),
        ("path,label\na.png,0\n\n,1\n", "line 4 has no path in the column 'path'"),
        ("path,label\na.png,0\nb.png,3\n", r"line 3 has the label 3; allowed are the model's class names .*0 to 2"),
        ("path,label\na.png,-1\n", "line 2 has the label -1"),
        ("path,label\na.png,cat\nb.png,cow\n", r"1 are not among the model's: 'cow' \(line 3\); allowed are"),
        ("path,label\na.png,0\nb.png,1,2\n", "line 3 of .* has 3 cells for the header's 2 columns"),
        ("path,label,path\na.png,0,b.png\n", "more than one column 'path'"),
        ("path,label\n", "a header and no rows"),
        ("\n\n", r"list\.csv' is empty; its first line must name the columns"),
        (b"path,label\ncaf\xe9.png,0\n", r"cannot be read as UTF-8 text"),
        ("path,label\na.png," + "x" * 200_000, "line 2 of .*field larger than field limit"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(folder, text, message):
    with pytest.raises(ArgumentError, match="source: .*" + message):
        load_dataset(written(folder, text), class_names=CLASSES)


def test_a_file_that_is_not_what_its_name_says_is_refused(folder):
    with pytest.raises(ArgumentError, match=r"list\.parquet' cannot be read as parquet: "):
        load_dataset(written(folder, "path,label\n", "list.parquet"))


def test_integers_where_the_models_names_are_numbers_must_be_called_indices(folder):
    names = ["1", "10", "2"]
    assert records(load_dataset(written(folder, "path,class_index\na.png,1\n"), class_names=names)) == [("a.png", 1)]
    with pytest.raises(ArgumentError, match="label_column: 1 in the column 'label' may be a class index or one "):
        load_dataset(written(folder, "path,label\na.png,1\n"), class_names=names)
    # No doubt where both mean the same.
    assert records(load_dataset(written(folder, "path,label\na.png,1\n"), class_names=["0", "1"])) == [("a.png", 1)]


def test_the_fingerprint_is_that_of_the_data_and_not_of_the_file(folder, tmp_path):
    first = load_dataset(written(folder, "path,label\na.png,0\nb.png,2\n"), class_names=CLASSES)
    again = load_dataset(written(folder, "class;file\ncat;a.png\ngreat owl;b.png\n", "two.txt"), class_names=CLASSES)
    assert first.fingerprint() == again.fingerprint()
    other = load_dataset(written(folder, "path,label\nb.png,2\na.png,0\n"), class_names=CLASSES)
    assert other.fingerprint() != first.fingerprint()


def test_fifty_thousand_rows_are_read_in_seconds(tmp_path):
    write_pictures(tmp_path, ["images/0.jpg"])
    with (tmp_path / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "class_name"])
        rows.writerows([f"images/{index}.jpg", f"kind {index % 1000}"] for index in range(50_000))
    start = time.perf_counter()
    dataset = load_dataset(tmp_path / "list.csv", class_names=[f"kind {index}" for index in range(1000)])
    seconds = time.perf_counter() - start
    print(f"read in {seconds:.2f} s")
    assert len(dataset) == 50_000
    assert dataset.record(49_999).label == 999
    assert seconds < 10
