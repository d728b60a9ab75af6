"""The form of the live page: from the values of its fields to a request that is checked."""

import pytest
from live_page import form

from maskcorrect_plugin.app.choices import method_choices
from maskcorrect_plugin.app.form import FIELDS, TITLES, in_page_words, read_form
from maskcorrect_plugin.app.true_class import true_class
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.registry import list_attributions


def test_the_form_begins_with_the_settings_of_the_paper():
    request = read_form(list(FIELDS.values()))
    options = request.options
    assert [spec.text for spec in request.methods] == ["ScoreCAM"]
    assert (options.model, options.weights, options.top_k, options.threshold) == ("demo", "DEFAULT", 5, 0.1)
    assert (options.view, options.fill, options.vote, options.candidate_weights) == (
        "mask",
        "zero",
        "distribution",
        "probs",
    )
    assert options.max_gap is None and options.target_layer is None and options.classes is None
    assert set(TITLES) == set(FIELDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": " "}, "model must be given"),
        ({"method": None}, "method must be given"),
        ({"weights": ""}, "weights must be given"),
        ({"model": 3}, "model must be text, got 3"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_k": 2.5}, "top_k must be an integer, got 2.5"),
        ({"top_k": "5"}, "top_k must be an integer, got '5'"),
        ({"threshold": 1}, r"threshold must lie in \[0, 1\), got 1"),
        ({"threshold": None}, "threshold must be a number, got None"),
        ({"view": "zoom"}, "view must be one of 'mask', 'crop'; got 'zoom'"),
        ({"fill": "red"}, "fill must be one of"),
        ({"vote": "all"}, "vote must be one of"),
        ({"model_output": "scores"}, "output must be one of"),
        ({"method": "ScoreCAN"}, "unknown attribution method 'ScoreCAN'; did you mean 'ScoreCAM'"),
        ({"second_method": "CAM"}, "method must name each method once, got 'CAM' twice"),
        ({"method": "CAM[x"}, "method must be NAME"),
    ],
)
def test_a_wrong_field_is_named_before_anything_is_loaded(changes, message):
    with pytest.raises((ArgumentError, TypeError), match=message):
        read_form(form(**changes))


def test_empty_fields_mean_the_default():
    options = read_form(form(top_k=None, classes=None, target_layer="", second_method=None)).options
    assert options.top_k is None and options.classes is None and options.target_layer is None


def test_messages_speak_of_what_the_page_shows():
    assert in_page_words("spec must be one of 'demo'") == "Model must be one of 'demo'"
    assert in_page_words("there must be a file") == "there must be a file"


def test_every_method_is_offered_and_those_without_their_library_last(monkeypatch):
    from maskcorrect_plugin import registry

    names = [name for _, name in method_choices()]
    assert sorted(names) == sorted(list_attributions())
    assert names.index("CAM") < names.index("ScoreCAM") < names.index("captum:LayerGradCam")
    monkeypatch.setattr("maskcorrect_plugin.app.choices.is_installed", lambda backend: backend.name != "captum")
    choices = method_choices()
    missing = [name.startswith("captum:") for _, name in choices]
    assert missing == sorted(missing) and any(missing)
    assert ("captum:LayerGradCam (not installed)", "captum:LayerGradCam") in choices
    assert registry.split_name(choices[0][1])[0] == registry.NATIVE


@pytest.mark.parametrize(
    ("text", "index"),
    [("", None), ("Egyptian cat", 1), ("egyptian_CAT", 1), ("tench", 0), ("tench, Tinca tinca", 0), ("2", 2), ("7", 3)],
)
def test_a_true_class_is_a_name_or_a_number(text, index):
    assert true_class(text, ["tench, Tinca tinca", "Egyptian cat", "crane", "7", "crane"]) == index


@pytest.mark.parametrize("text", ["crane", "9", "-1", "dog"])
def test_a_true_class_that_is_none_or_several_is_refused(text):
    with pytest.raises(ArgumentError, match=f"true_class must be one of .* from 0 to 4; got '{text}'"):
        true_class(text, ["tench, Tinca tinca", "Egyptian cat", "crane", "7", "crane"])
