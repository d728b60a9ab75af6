"""Labels of data become indices into the model's outputs: each rule, and what is refused because it is ambiguous."""

import sys

import pytest
from torchvision.models._meta import _IMAGENET_CATEGORIES as IMAGENET_NAMES

from maskcorrect_plugin.datasets.classes import ModelClasses
from maskcorrect_plugin.datasets.labels import Wording, match_labels
from maskcorrect_plugin.datasets.synsets import synset_indices
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, MissingLibraryError

BIRDS = ("white owl", "Grey-Owl", "wren", "hen")


@pytest.fixture(autouse=True)
def no_lists_from_before():
    synset_indices.cache_clear()


def match(found, names=None, count=None, **wording):
    return match_labels(found, ModelClasses.of(names, count), Wording(**wording))


@pytest.mark.parametrize(
    "found",
    [
        ["Grey-Owl", "hen", "white owl", "wren"],
        ["Grey_Owl", "hen", "white-owl", "wren"],
        ["GREY OWL", "Hen", "white__owl", "WREN"],
        ["hen", "grey-owl"],
    ],
)
def test_names_of_the_model_are_found_in_any_usual_spelling(found):
    matched = match(found, BIRDS)
    assert matched.rule == "class names"
    wanted = {"grey": 1, "hen": 3, "white": 0, "wren": 2}
    assert matched.indices == {name: next(i for key, i in wanted.items() if key in name.lower()) for name in found}
    # The data's own spelling where it has one, the model's for the others.
    assert [matched.class_names[index] for index in matched.indices.values()] == found
    assert len(matched.class_names) == 4
    if "wren" not in map(str.lower, found):
        assert matched.class_names[2] == "wren"


def test_names_that_file_systems_take_apart_are_the_same_names():
    assert match(["cafe\u0301"], ["caf\u00e9", "bar"]).indices == {"cafe\u0301": 0}


def test_imagenet_has_a_cardigan_and_a_cardigan():
    dog, garment = IMAGENET_NAMES.index("Cardigan"), IMAGENET_NAMES.index("cardigan")
    assert match(["Cardigan", "cardigan", "golden retriever"], IMAGENET_NAMES).indices == {
        "Cardigan": dog,
        "cardigan": garment,
        "golden retriever": IMAGENET_NAMES.index("golden retriever"),
    }
    assert match(["Cardigan", "golden_retriever"], IMAGENET_NAMES).indices["Cardigan"] == dog
    # Where the other names are spelt without regard to case, that one may be either.
    with pytest.raises(ArgumentError, match=f"'cardigan' may be any of the model's classes {dog} and {garment}"):
        match(["cardigan", "Golden Retriever"], IMAGENET_NAMES)


def test_a_name_that_two_classes_share_is_refused_only_where_it_is_used():
    names = ["crane", "duck", "crane"]
    assert match(["duck"], names).indices == {"duck": 1}
    with pytest.raises(ArgumentError, match=r"'crane' may be any of the model's classes 0 and 2.*allowed.*WordNet"):
        match(["crane", "duck"], names)


def test_two_names_of_one_class_are_refused():
    with pytest.raises(ArgumentError, match="'Hen' and 'hen' would both be class 3"):
        match(["Hen", "hen", "Wren"], BIRDS)


@pytest.mark.parametrize(
    ("found", "indices"), [(["0", "2", "10"], [0, 2, 10]), (["000", "002", "010"], [0, 2, 10]), (["7"], [7])]
)
def test_integers_are_indices(found, indices):
    matched = match(found, count=11)
    assert list(matched.indices.values()) == indices
    assert (matched.rule, matched.class_names) == ("class indices", None)
    assert match(found).indices == matched.indices  # also without a model


def test_integers_that_are_the_models_names_are_names():
    assert match(["1", "10", "2"], ["1", "10", "2"]).indices == {"1": 0, "10": 1, "2": 2}


def test_integers_beyond_the_model_are_refused_and_never_sorted():
    with pytest.raises(ArgumentError, match=r"not all of them are class indices: '3'; allowed are .* 0 to 2"):
        match(["1", "2", "3"], count=3)
    with pytest.raises(ArgumentError, match="'1' and '01' would both be class 1"):
        match(["1", "01"], count=3)


def test_all_indices_without_padding_are_warned_about(caplog):
    match([str(i) for i in range(11)], count=11)
    assert "numbers them in the order of the text" in caplog.text
    caplog.clear()
    match([f"{i:02}" for i in range(11)], count=11)
    match(["0", "10", "2"], count=11)
    assert not caplog.records


def test_as_many_wordnet_ids_as_classes_are_taken_in_sorted_order(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data", None)  # not needed for it
    matched = match(["n02000002", "n01000001", "n03000003"], BIRDS[:3])
    assert matched.indices == {"n01000001": 0, "n02000002": 1, "n03000003": 2}
    assert matched.rule == "sorted WordNet ids"
    assert matched.class_names == ("n01000001", "n02000002", "n03000003")


def test_some_wordnet_ids_are_found_in_imagenets_list():
    pytest.importorskip("timm")
    matched = match(["n02124075", "n01440764"], IMAGENET_NAMES)
    assert matched.indices == {"n02124075": IMAGENET_NAMES.index("Egyptian cat"), "n01440764": 0}
    assert matched.rule == "WordNet ids"
    with pytest.raises(ArgumentError, match=r"not among ImageNet's 1000 WordNet ids: 'n99999999'"):
        match(["n01440764", "n99999999"], count=1000)


def test_imagenets_list_is_sorted_so_that_both_ways_agree():
    pytest.importorskip("timm")
    indices = synset_indices()
    assert list(indices) == sorted(indices)
    assert match(sorted(indices), count=1000).indices == indices


def test_some_wordnet_ids_without_timm_say_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data", None)
    with pytest.raises(MissingLibraryError, match=r'WordNet ids need timm.*pip install "maskcorrect-plugin\[timm\]"'):
        match(["n01440764"], count=1000)


@pytest.mark.parametrize("count", [1, 100])
def test_wordnet_ids_of_another_number_than_the_models_are_refused(count):
    with pytest.raises(ArgumentError, match=f"2 folder names are WordNet ids, and the model has {count} classes"):
        match(["n01440764", "n02124075"], count=count)


def test_as_many_names_as_classes_are_taken_in_order_with_a_warning(caplog):
    matched = match(["apple", "pear", "plum"], ["class 0", "class 1", "class 2"])
    assert matched.indices == {"apple": 0, "pear": 1, "plum": 2}
    assert (matched.rule, matched.class_names) == ("sorted folder names", ("apple", "pear", "plum"))
    [record] = caplog.records
    assert record.getMessage().startswith("labels: 3 of 3 folder names are not among the model's class names")


def test_order_is_refused_where_the_names_tell_another_one():
    # A slip in one name, which sorting would turn into wrong labels for two classes.
    with pytest.raises(ArgumentError, match=r"of 3 folder names, 1 are not among the model's: 'mouze'.*'dog' would be"):
        match(["cat", "dog", "mouze"], ["cat", "mouse", "dog"])
    assert match(["cat", "dog", "mouze"], ["cat", "dog", "mouse"]).indices["mouze"] == 2


def test_one_name_in_a_hundred_may_stand_elsewhere(caplog):
    """In one list of ImageNet's classes "crane" is the bird, in another the machine."""
    names = [f"kind {index}" for index in range(198)]
    assert match(["crane", *names, "other"], ["bird", *names, "crane"]).indices["crane"] == 0
    with pytest.raises(ArgumentError, match="would be another class"):
        match(["crane", *names[:98], "other"], ["bird", *names[:98], "crane"])


@pytest.mark.parametrize(
    "found", [["ant", "bee"], ["ant", "bee", "cow", "doe", "elk"], ["ant", "bee", "cow", "hen", "x"]]
)
def test_names_that_fit_no_rule_are_refused_with_what_is_allowed(found):
    with pytest.raises(ArgumentError) as caught:
        match(found, BIRDS)
    message = str(caught.value)
    assert message.startswith(f"source: of {len(found)} folder names, ")
    assert "'ant', 'bee'" in message
    assert "'white owl', 'Grey-Owl', 'wren', ..." in message
    assert "class indices from 0 to 3, WordNet ids (n01440764), or exactly 4 names" in message


def test_without_a_model_the_datas_own_order_counts(caplog):
    matched = match(["b", "a"], carrier="class", order="declared")
    assert matched.indices == {"b": 0, "a": 1}
    assert (matched.rule, matched.class_names) == ("declared class names", ("b", "a"))
    assert match(["n02124075", "n01440764"]).indices == {"n01440764": 0, "n02124075": 1}
    assert not caplog.records


def test_what_is_known_of_the_model_must_agree():
    assert ModelClasses.of(["a", "b"], 2) == ModelClasses(("a", "b"), 2)
    with pytest.raises(ArgumentError, match="class_names must hold num_classes=3 names, got 2"):
        ModelClasses.of(["a", "b"], 3)
    with pytest.raises(ArgumentError, match="class_names must hold at least one name, got 0"):
        ModelClasses.of([], None)
    with pytest.raises(ArgumentTypeError, match="class_names must be a sequence of strings, got 'abc'"):
        ModelClasses.of("abc", None)
    with pytest.raises(ArgumentError, match="num_classes must be at least 1, got 0"):
        ModelClasses.of(None, 0)
