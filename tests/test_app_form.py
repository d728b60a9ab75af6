"""The form of the live page: from the values of its fields to a request that is checked."""

import pytest
from live_page import form

from maskcorrect_plugin.app.choices import method_choices, option_choices, option_named, recipe_choices
from maskcorrect_plugin.app.form import CHANGES, FIELDS, TITLES, in_page_words, read_form
from maskcorrect_plugin.app.true_class import true_class
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.options import options_of
from maskcorrect_plugin.recipe import PAPER, RECIPES, SHORT_FORMS, UNGUIDED, ZOOM, Recipe
from maskcorrect_plugin.registry import list_attributions
from maskcorrect_plugin.views import MaskView


def test_the_form_begins_with_the_recipe_of_the_paper():
    request = read_form(list(FIELDS.values()))
    assert request.model == ("demo", "DEFAULT", "") and request.output == "logits"
    assert [(choice.name, choice.recipe) for choice in request.choices] == [("paper", PAPER)]
    assert set(TITLES) == set(FIELDS)
    assert set(CHANGES) <= {*options_of(Recipe), *SHORT_FORMS} and set(CHANGES) < set(FIELDS)


def test_an_empty_field_leaves_the_option_as_the_recipe_has_it():
    emptied = dict.fromkeys((*CHANGES, "target_layer", "method", "second", "classes"))
    for name, recipe in RECIPES.items():
        assert read_form(form(recipe=name, **emptied)).choices[0].recipe == recipe


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"method": "ScoreCAM[max_masks=64]", "top_k": 3}, PAPER.replace(method="ScoreCAM[max_masks=64]", top_k=3)),
        ({"threshold": 0.3, "fill": "blur"}, PAPER.replace(method="CAM", threshold=0.3, fill="blur")),
        ({"views": "zoom[threshold=0.4] + hflip", "pool": "log"},
         PAPER.replace(method="CAM", views=("zoom[threshold=0.4]", "hflip"), pool="log")),
        ({"recipe": "zoom[top_k=3]", "temperature": 2}, ZOOM.replace(method="CAM", top_k=3, temperature=2)),
        ({"recipe": "unguided"}, UNGUIDED),
        ({"target_layer": "stages"}, PAPER.replace(method="CAM", target_layer="stages")),
    ],
)  # fmt: skip
def test_fields_change_the_recipe(changes, expected):
    assert read_form(form(**changes)).choices[0].recipe == expected


def test_what_it_is_compared_with_is_a_recipe_or_a_method():
    first, second = read_form(form(second="zoom", top_k=3)).choices
    assert (first.name, second.name) == ("paper by CAM", "zoom by CAM")
    assert second.recipe == ZOOM.replace(method="CAM") and first.recipe.top_k == 3  # a recipe's own options
    _, second = read_form(form(second="ScoreCAM[preset=grad_cam]", top_k=3)).choices
    assert second.name == "paper by ScoreCAM[preset=grad_cam]"
    assert second.recipe == PAPER.replace(method="ScoreCAM[preset=grad_cam]", top_k=3)
    assert [choice.name for choice in read_form(form(recipe="zoom", second="unguided")).choices][1] == "unguided"


def test_files_of_recipes_are_read_where_that_is_allowed(tmp_path):
    file = str(tmp_path / "mine.json")
    ZOOM.save(file)
    for allowed in (None, {file}):
        assert read_form(form(recipe=file, method=""), allowed).choices[0].recipe == ZOOM
    with pytest.raises(ArgumentError, match=r"recipe must be 'paper', .* on a page that other computers can reach"):
        read_form(form(recipe=file), {"paper"})
    with pytest.raises(ArgumentError, match="recipe must be 'paper'"):
        read_form(form(second=file), {"paper"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": " "}, "model must be given"),
        ({"recipe": None}, "recipe must be given"),
        ({"weights": ""}, "weights must be given"),
        ({"model": 3}, "model must be text, got 3"),
        ({"recipe": "zom"}, "recipe must be 'paper', .* got 'zom'; did you mean 'zoom'"),
        ({"top_k": 0}, "top_k must be at least 1, got 0"),
        ({"top_k": 2.5}, "top_k must be an integer, got 2.5"),
        ({"top_k": "five"}, "top_k must be an integer, got 'five'"),
        ({"threshold": 1}, r"threshold must lie in \[0, 1\), got 1"),
        ({"views": "hide"}, "view must be one of 'mask', 'crop', 'zoom'"),
        ({"recipe": "zoom", "threshold": 0.2}, "threshold would be the option of one view, but the recipe has 4"),
        ({"fill": "red"}, "fill must be one of"),
        ({"vote": "all"}, "vote must be one of"),
        ({"pool": "mean"}, "pool must be one of"),
        ({"model_output": "scores"}, "output must be one of"),
        ({"method": "ScoreCAN"}, "unknown attribution method 'ScoreCAN'; did you mean 'ScoreCAM'"),
        ({"second": "CAM"}, "second must be another correction than 'paper by CAM', got 'CAM'"),
        ({"method": "CAM[x"}, "method must be NAME"),
    ],
)
def test_a_wrong_field_is_named_before_anything_is_loaded(changes, message):
    with pytest.raises((ArgumentError, TypeError), match=message):
        read_form(form(**changes))


def test_messages_speak_of_what_the_page_shows():
    assert in_page_words("spec must be one of 'demo'") == "Model must be one of 'demo'"
    assert in_page_words("there must be a file") == "there must be a file"


def test_help_and_choices_of_an_option_are_those_of_its_owner():
    assert [value for _, value in option_choices("pool")] == ["", *options_of(Recipe)["pool"].choices]
    assert [value for _, value in option_choices("fill")] == ["", *options_of(MaskView)["fill"].choices]
    assert option_named("threshold").help == options_of(MaskView)["threshold"].help
    assert [name for _, name in recipe_choices()] == list(RECIPES)


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
