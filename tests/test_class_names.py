"""Class names from sequences, text files and JSON files."""

import json

import pytest

from maskcorrect_plugin.models.class_names import default_class_names, read_class_names

NAMES = ("Ente", "höckerschwan", "grey heron")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "Ente\nhöckerschwan\n  grey heron \n\n"),
        ("names.lst", "\ufeffEnte\r\nhöckerschwan\r\ngrey heron"),
        ("names.json", json.dumps(NAMES)),
        ("names.JSON", json.dumps({"1": "höckerschwan", "0": "Ente", "2": "grey heron"})),
        ("names.json", json.dumps({"0": ["n1", "Ente"], "1": ["n2", "höckerschwan"], "2": ["n3", "grey heron"]})),
        ("names.json", json.dumps({"grey heron": 2, "höckerschwan": 1, "Ente": 0})),
    ],
)
def test_every_form_of_file_gives_the_names_in_order(tmp_path, name, text):
    (tmp_path / name).write_bytes(text.encode())
    assert read_class_names(tmp_path / name) == NAMES
    assert read_class_names(str(tmp_path / name)) == NAMES


def test_sequences_are_taken_as_they_are():
    assert read_class_names(list(NAMES)) == NAMES
    assert read_class_names(["crane", "crane"]) == ("crane", "crane")  # ImageNet has two of them
    assert default_class_names(2) == ("class 0", "class 1")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", b"", "at least one name"),
        ("a.txt", b"one\n\nthree\n", "name 1 is empty"),
        ("a.txt", b"\xff\xfe\x00bad", r"a\.txt cannot be read"),
        ("a.json", b"[1, 2]", "name 0 must be a string, got 1"),
        ("a.json", b"{", r"a\.json cannot be read"),
        ("a.json", b'"one"', "must hold a list or an object, got str"),
        ("a.json", b'{"0": "a", "2": "b"}', "every index from 0 to 1 exactly once"),
        ("a.json", b'{"a": 0, "b": 0}', "every index from 0 to 1 exactly once"),
        ("a.json", b'{"x": "a", "1": "b"}', "every index from 0 to 1 exactly once"),
        ("a.json", b"{}", "at least one name"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text)
    with pytest.raises((ValueError, TypeError), match="class_names.*" + message):
        read_class_names(tmp_path / name)


def test_what_is_no_file_and_no_sequence_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*gone\.txt"):
        read_class_names(tmp_path / "gone.txt")
    with pytest.raises(TypeError, match="must be a file or a sequence of names, got dict"):
        read_class_names({0: "a"})
    with pytest.raises(ValueError, match="at least one name"):
        read_class_names([])
