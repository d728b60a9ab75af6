"""From ``--recipe`` and ``--method`` to rows: how they are called, and which recipe each is."""

import pytest

from maskcorrect_plugin import Recipe
from maskcorrect_plugin.commands.recipes import check_recipes, named_recipes
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.recipe import PAPER, UNGUIDED, ZOOM


def rows(recipes=(), methods=(), preset=None, **changes):
    named = named_recipes(recipes, methods, changes, preset)
    check_recipes(named)
    return named


def test_rows_are_called_as_they_were_asked_for():
    assert rows() == {"ScoreCAM": PAPER}
    assert rows(methods=["CAM"]) == {"CAM": Recipe(method="CAM")}
    assert rows(["zoom", "unguided", "paper"]) == {"zoom": ZOOM, "unguided": UNGUIDED, "paper": PAPER}
    assert rows(["zoom"], ["CAM"]) == {"zoom[method=CAM]": ZOOM.replace(method="CAM")}
    assert list(rows(methods=["CAM", "control:hflip"])) == ["CAM", "control:hflip"]
    assert list(rows(["zoom[top_k=3]"], ["CAM"])) == ["zoom[top_k=3,method=CAM]"]


def test_a_row_without_maps_is_called_by_its_views_and_stands_once():
    assert rows(views=["hflip", "whole"]) == {"hflip+whole": Recipe(views=("hflip", "whole"))}
    both = rows(["zoom", "unguided"], ["CAM", "ScoreCAM"])
    assert list(both) == ["zoom[method=CAM]", "zoom[method=ScoreCAM]", "unguided"]
    with pytest.raises(ArgumentError, match="no view follows a map, as in hflip"):
        rows(methods=["CAM"], views=["hflip"])


@pytest.mark.parametrize(
    ("recipes", "methods"), [(["zoom", "zoom"], []), ([], ["CAM", "CAM"]), (["unguided", "unguided"], [])]
)
def test_the_same_row_twice_is_refused(recipes, methods):
    with pytest.raises(ArgumentError, match="twice"):
        rows(recipes, methods)


def test_what_an_option_changes_it_changes_in_every_row():
    named = rows(["zoom", "unguided"], pool="log", temperature=2.0, max_gap=0.5)
    assert {(each.pool, each.temperature, each.max_gap) for each in named.values()} == {("log", 2.0, 0.5)}
    assert rows(methods=["CAM", "ScoreCAM"], target_layer="act")["CAM"].target_layer == "act"


def test_brackets_hold_options_of_the_method_and_of_the_recipe():
    (recipe,) = rows(methods=["ScoreCAM[preset=grad_cam,threshold=0.4,pool=log]"]).values()
    assert recipe == Recipe(method_options={"preset": "grad_cam"}, views="mask[threshold=0.4]", pool="log")
    with pytest.raises(ArgumentTypeError, match="it takes relu"):
        rows(methods=["CAM[tresh=0.4]"])


def test_controls_that_are_views_take_the_place_of_all_views():
    named = rows(methods=["CAM[pool=log,threshold=0.3]", "control:hflip", "control:random_crops[n=3]"], threshold=0.2)
    assert named["control:hflip"] == Recipe(views="hflip", pool="log")
    assert named["control:random_crops[n=3]"] == Recipe(views="random_crops[n=3]", pool="log")
    weighted = rows(["zoom"], ["control:ten_crop"], view_weights=[1, 2, 3, 4])
    assert weighted["zoom[method=control:ten_crop]"] == Recipe(views="ten_crop")


def test_map_sources_are_the_first_method_with_other_maps():
    inner = "CAM[threshold=0.4,relu=false]"
    named = rows(methods=["control:random_map", inner, "control:other_image", "control:oracle_class[of=ScoreCAM]"])
    views = {each.views for each in named.values()}
    assert views == {Recipe(views="mask[threshold=0.4]").views}
    assert named["control:other_image"].method_options == {"of": "CAM[relu=false]"}
    assert named["control:oracle_class[of=ScoreCAM]"].method_options == {"of": "ScoreCAM"}
    assert rows(["zoom"], ["control:other_image"])["zoom[method=control:other_image]"].method_options == {"of": "auto"}


def test_controls_by_the_merged_map_are_of_the_first_method():
    for name in ("control:single_mask", "control:class_agnostic"):
        named = rows(methods=["CAM", name, f"{name}[of=ScoreCAM]"])
        merged = Recipe(views="mask[map=merged]")
        assert named[name] == merged.replace(method="CAM") and named[f"{name}[of=ScoreCAM]"] == merged


def test_one_text_holds_another_images_maps_in_a_zoom():
    text = "zoom[method=control:other_image[of=CAM]]"
    (recipe,) = rows([text]).values()
    assert recipe == ZOOM.replace(method="control:other_image", method_options={"of": "CAM"})


def test_a_preset_is_of_every_score_cam_and_yields_to_brackets():
    methods = ["ScoreCAM", "ScoreCAM[preset=torchcam]", "CAM", "control:other_image"]
    named = rows(methods=methods, preset="grad_cam")
    assert [named[text].method_options.get("preset") for text in methods] == ["grad_cam", "torchcam", None, None]
    assert named["control:other_image"].method_options == {"of": "ScoreCAM[preset=grad_cam]"}
    assert rows(preset="grad_cam")["ScoreCAM"].method_options == {"preset": "grad_cam"}
    with pytest.raises(ArgumentError, match="preset is an option of the native ScoreCAM alone"):
        rows(methods=["CAM"], preset="grad_cam")
    with pytest.raises(ArgumentError, match="preset is an option of the native ScoreCAM alone"):
        rows(["zoom"], preset="grad_cam")


def test_a_file_is_a_recipe(tmp_path):
    file = tmp_path / "mine.json"
    ZOOM.replace(pool="log").save(file)
    assert rows([str(file)]) == {str(file): ZOOM.replace(pool="log")}
    file.write_text('{"format": "maskcorrect_plugin.recipe/1", "recipe": {"method_options": {"model": 3}}}')
    with pytest.raises(ArgumentError, match="must not be the model itself"):
        rows([str(file)])


@pytest.mark.parametrize("name", ["control:hfilp", "control:other_imag", "control:nothing_like_it"])
def test_unknown_controls_are_refused_with_those_there_are(name):
    for recipes, methods in (([], [name]), ([f"zoom[method={name}]"], [])):
        with pytest.raises(ArgumentError, match="control:hflip"):
            rows(recipes, methods)
