"""Recipes: equal exactly when their numbers are, written and read back, changed by name, and nothing but data."""

import copy
import json
import pickle
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from core_data import FixedMaps

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.options import options_of
from maskcorrect_plugin.recipe import FORMAT, PAPER, RECIPES, UNGUIDED, ZOOM, Recipe, parse_views
from maskcorrect_plugin.registry import create_attribution
from maskcorrect_plugin.views import CropView, FlipView, MaskView, View, create_view

EVERYTHING = Recipe(
    method="captum:Occlusion[sliding_window_shapes=[3,8,8]]",
    target_layer="layer4",
    top_k=3,
    views=("zoom[threshold=0.3,map=merged]", "mask[fill=mean]", "random_crops[n=2,seed=4]"),
    pool="log",
    view_weights=(0.5, 1, 0),
    candidate_weights="uniform",
    max_gap=0.5,
    temperature=1.5,
)


class Dimmed(View):
    """A view of somebody's own, with a parameter and perhaps a tensor."""

    guided = False

    def __init__(self, factor, offset=None):
        self.factor, self.offset = factor, offset

    def render(self, inputs, maps=None, prepared=None):
        return inputs * self.factor


class Hidden:
    __slots__ = ()


@pytest.mark.parametrize("recipe", [*RECIPES.values(), EVERYTHING], ids=lambda recipe: recipe.name)
def test_it_is_written_and_read_back(recipe, tmp_path):
    recipe.save(tmp_path / "recipe.json")
    plain = json.loads((tmp_path / "recipe.json").read_text())
    assert plain == {"format": FORMAT, "recipe": recipe.to_dict()}
    for again in (
        Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))),
        Recipe.load(tmp_path / "recipe.json"),
        Recipe.of(str(tmp_path / "recipe.json")),
        copy.deepcopy(recipe),
        pickle.loads(pickle.dumps(recipe)),
        recipe.replace(),
    ):
        assert again == recipe and hash(again) == hash(recipe) and again.digest == recipe.digest


def test_the_paper_is_what_the_source_states():
    assert PAPER.to_dict() == {
        "method": "ScoreCAM",
        "target_layer": None,
        "method_options": {},
        "top_k": 5,
        "views": ["mask[threshold=0.1,fill=zero,map=candidates]"],
        "pool": "sum",
        "view_weights": None,
        "candidate_weights": "probs",
        "vote": "distribution",
        "max_gap": None,
        "temperature": 1.0,
    }
    assert list(PAPER.to_dict()) == list(options_of(Recipe))


def test_names_do_not_change_by_accident():
    """Files and folders are named by them: where this fails, every recipe has a new name."""
    assert [recipe.name for recipe in RECIPES.values()] == ["paper", "zoom", "unguided"]
    assert PAPER.digest == "ff712b028cfd" and EVERYTHING.name == "captum:Occlusion-zoom+mask-efce2d"


def test_a_view_of_weight_zero_changes_no_number_and_so_no_recipe():
    shown = Recipe(method="CAM", views=("mask", "hflip"), view_weights=(0.5, 0))
    assert shown == Recipe(method="CAM", views=("mask",), view_weights=(0.5,)) and shown.digest != PAPER.digest
    assert shown.to_dict()["view_weights"] == [0.5, 0.0]


CHANGES = {
    "method": "CAM",
    "target_layer": "act",
    "method_options": {"max_masks": 64},
    "top_k": 4,
    "views": ("mask[threshold=0.2]",),
    "pool": "log",
    "view_weights": (0.5,),
    "candidate_weights": "uniform",
    "vote": "diagonal",
    "max_gap": 0.5,
    "temperature": 2,
}


def test_every_option_counts():
    assert set(CHANGES) == set(options_of(Recipe))
    changed = [Recipe(**{name: value}) for name, value in CHANGES.items()]
    assert len({PAPER, *changed}) == len(changed) + 1
    assert len({recipe.digest for recipe in (PAPER, *changed)}) == len(changed) + 1


def test_options_written_out_or_left_out_in_any_order_are_equal():
    assert (
        Recipe(views=("mask",)) == Recipe(views="mask[fill=zero,threshold=0.1]") == Recipe(views=MaskView(0.1)) == PAPER
    )
    assert Recipe(views=("mask[threshold=0.2,fill=mean]",)) == Recipe(views=("mask[fill=mean,threshold=0.2]",))
    assert Recipe(method="ScoreCAM[max_masks=8,preset=paper_v2]") == Recipe(
        method="ScoreCAM", method_options={"preset": "paper_v2", "max_masks": 8}
    )
    assert Recipe(view_weights=(1,)) == Recipe(view_weights=[1.0]) == PAPER
    assert Recipe(temperature=1) == PAPER and Recipe(max_gap=1) == Recipe(max_gap=1.0)


def test_a_margin_of_zero_and_one_differ(tiny_net):
    zero, one = (
        ProbabilityCorrector(tiny_net, "CAM", views=(f"crop[threshold=0.3,margin={margin}]",)).recipe
        for margin in (0, 1)
    )
    assert zero != one and zero.name != one.name


def test_true_is_not_one():
    assert Recipe(method_options={"relu": True}) != Recipe(method_options={"relu": 1})


def test_tensors_count_by_their_content():
    first, same, other = (Recipe(views=MaskView(fill=torch.full((3, 1, 1), value))) for value in (0.5, 0.5, 0.25))
    assert first == same and first != other and first != PAPER
    assert first.reproducible
    with pytest.raises(ValueError, match="has a tensor, of which a text holds the digest only; pass the object"):
        Recipe.from_dict(first.to_dict())


def test_without_guided_views_the_method_does_not_matter():
    plain = Recipe(method=None, views=("hflip",))
    assert plain == Recipe(
        method="CAM", target_layer="act", candidate_weights="uniform", vote="diagonal", views="hflip"
    )
    assert plain.method is None
    assert Recipe(views=("mask", "hflip"), view_weights=(0, 1)).method is None
    with pytest.raises(ValueError, match="method must be given for view 'mask'"):
        Recipe(method=None)


def test_by_merged_maps_alone_the_vote_does_not_matter():
    merged = Recipe(views=("mask[map=merged]",))
    assert merged == Recipe(views=("mask[map=merged]",), vote="diagonal")
    assert merged != Recipe(views=("mask[map=merged]",), candidate_weights="uniform")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("paper", PAPER),
        ("zoom", ZOOM),
        ("zoom[method=CAM,top_k=3]", ZOOM.replace(method="CAM", top_k=3)),
        ("zoom[method=CAM[relu=false]]", ZOOM.replace(method="CAM", method_options={"relu": False})),
        ("unguided[views=hflip+whole]", Recipe(method=None, views=("hflip", "whole"))),
        ("paper[views=crop[threshold=0.3,margin=0]+hflip]", Recipe(views=(CropView(0.3, 0), FlipView()))),
        ("paper[threshold=0.3]", Recipe(views="mask[threshold=0.3]")),
        ("zoom[view_weights=[1,0.5,0,2]]", ZOOM.replace(view_weights=(1, 0.5, 0, 2))),
    ],
)
def test_recipes_by_name_with_changes(text, expected):
    assert Recipe.of(text) == expected


def test_views_in_one_text():
    assert parse_views("zoom[threshold=0.3] + hflip") == ["zoom[threshold=0.3]", "hflip"]


def test_short_forms_are_options_of_the_single_view():
    assert PAPER.replace(threshold=0.3, fill="mean") == Recipe(views="mask[threshold=0.3,fill=mean]")
    assert ZOOM.replace(view="crop", threshold=0.4).views == ("crop[threshold=0.4,margin=0.05,map=candidates]",)
    assert PAPER.replace(views="crop", threshold=0.4) == Recipe(views="crop[threshold=0.4]")
    with pytest.raises(ValueError, match="threshold would be the option of one view, but the recipe has 4"):
        ZOOM.replace(threshold=0.4)
    with pytest.raises(TypeError, match="view 'crop' has no option 'fill'"):
        PAPER.replace(view="crop", fill="mean")
    with pytest.raises(TypeError, match="a view given as an object has its own options; remove threshold"):
        PAPER.replace(view=CropView(), threshold=0.4)
    with pytest.raises(ValueError, match="view and views must not both be given"):
        PAPER.replace(view="crop", views="mask")


def test_a_new_method_has_its_own_options_and_layer():
    old = Recipe(method="ScoreCAM[max_masks=8]", target_layer="act")
    assert old.replace(method="CAM") == Recipe(method="CAM")
    assert old.replace(top_k=3).method_options == {"max_masks": 8}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("control:hflip", Recipe(method=None, views="hflip")),
        ("control:ten_crop", Recipe(method=None, views="ten_crop")),
        ("control:random_crops[n=3,seed=1]", Recipe(method=None, views="random_crops[n=3,seed=1]")),
        ("control:single_mask", Recipe(views="mask[map=merged]")),
        ("control:class_agnostic[of=CAM[relu=false]]", Recipe(method="CAM[relu=false]", views="mask[map=merged]")),
        ("control:other_image[of=CAM]", Recipe(method="control:other_image", method_options={"of": "CAM"})),
    ],
)
def test_old_names_of_controls_stand_for_recipes(name, expected):
    assert PAPER.replace(method=name) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"topk": 3}, "Recipe has no option 'topk'; did you mean 'top_k'"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"views": ()}, "views must hold at least one view"),
        ({"views": 5}, "views must hold at least one view"),
        ({"views": ["glow"]}, "view must be one of"),
        ({"views": ["os.system[command=ls]"]}, "a class of somebody's own, which a text cannot make again"),
        ({"view_weights": [1, 2]}, r"view_weights must hold one number per view \(1\), got 2"),
        ({"view_weights": [-1]}, "view_weights must lie in"),
        ({"view_weights": 1}, "view_weights must be one number of 0 or more for each view"),
        ({"pool": "mean"}, "pool must be one of 'sum', 'log'"),
        ({"pool": "log", "vote": "diagonal"}, "vote must be 'distribution' where pool is 'log'"),
        ({"temperature": 0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must lie in"),
        ({"max_gap": 1.5}, "max_gap must lie in"),
        ({"method": 5}, "method must be a name"),
        ({"method_options": "relu"}, "method_options must be a mapping"),
        ({"target_layer": 5}, "target_layer must be a module's name"),
        ("zoom", "a recipe must be a mapping of options, got str"),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "must have the format .*got 'list'"),
        ('{"format": "maskcorrect_plugin.recipe/2", "recipe": {}}', "got 'maskcorrect_plugin.recipe/2'"),
        (json.dumps({"format": FORMAT}), "must hold a 'recipe', got 'format'"),
        (json.dumps({"format": FORMAT, "recipe": {}, "hook": "x"}), "alone, got 'hook' as well"),
        (json.dumps({"format": FORMAT, "recipe": {"hook": 1}}), "Recipe has no option 'hook'"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises((ValueError, TypeError), match=message):
        Recipe.load(tmp_path / "recipe.json")


def test_missing_files_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"nowhere\.json cannot be read"):
        Recipe.of("nowhere.json")
    with pytest.raises(ValueError, match=r"recipe must be 'paper', 'zoom', 'unguided' or a file.*did you mean 'zoom'"):
        Recipe.of("zooom")


def test_a_view_of_ones_own_counts_by_class_parameters_and_tensors():
    recipes = [
        Recipe(views=view) for view in (Dimmed(1), Dimmed(2), Dimmed(1, torch.ones(1)), Dimmed(1, torch.ones(2)))
    ]
    assert len(set(recipes)) == 4 and all(recipe.reproducible for recipe in recipes)
    assert Recipe(views=Dimmed(1, torch.ones(2))) == recipes[3]
    assert recipes[0].views[0].factor == 1 and recipes[0].method is None
    with pytest.raises(ValueError, match=r"test_recipe.Dimmed' is a class of somebody's own"):
        Recipe.from_dict(recipes[0].to_dict())


def test_what_cannot_be_described_is_marked(tiny_net):
    hidden = Recipe(views=Dimmed(Hidden()))
    assert not hidden.reproducible and PAPER.reproducible
    assert not ProbabilityCorrector(tiny_net, recipe=hidden).reproducible


def test_a_recipe_says_what_differs_from_the_paper():
    assert repr(PAPER) == "Recipe()" and repr(Recipe(top_k=3)) == "Recipe(top_k=3)"
    assert eval(repr(EVERYTHING)) == EVERYTHING


def test_columns_are_the_pictures_of_each_view():
    recipe = Recipe(views=("mask", "crop[map=merged]", "ten_crop", "hflip"), view_weights=(1, 2, 3, 0))
    assert [count for _, count in recipe.columns(4)] == [4, 1, 10]
    assert recipe.columns(4)[1][0] == create_view("crop[map=merged]").spec


HARMLESS = """
import builtins, json, sys
from maskcorrect_plugin.recipe import Recipe
before = set(sys.modules)
for name in ("eval", "exec", "compile", "__import__"):
    setattr(builtins, name, lambda *_, name=name, **__: sys.exit(name))
Recipe.load(sys.argv[1])
print(sorted(set(sys.modules) - before))
"""


def test_nothing_in_a_file_is_imported_or_run(tmp_path):
    """Not even the method that it names, which is made by whoever corrects with it."""
    path = tmp_path / "recipe.json"
    recipe = {"method": "captum:Saliency", "method_options": {"of": "__import__('this')"}, "target_layer": "os.system"}
    path.write_text(json.dumps({"format": FORMAT, "recipe": recipe}))
    command = [sys.executable, "-c", HARMLESS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_unguided_views_are_the_control_of_the_zoom_at_the_same_price():
    assert sum(count for _, count in UNGUIDED.columns(5)) == sum(count for _, count in ZOOM.columns(5)) == 4


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("captum:Occlusion", {"sliding_window_shapes": (3, 4, 4)}, {"sliding_window_shapes": (3, 6, 4)}),
        ("captum:IntegratedGradients", {"baselines": torch.zeros(1, 3, 1, 1)}, {"baselines": torch.ones(1, 3, 1, 1)}),
        ("captum:GradientShap", {"seed": 0}, {"seed": 3}),
        ("captum:LayerGradCam", {"target_layer": "act"}, {"target_layer": "body"}),
    ],
)
def test_options_of_methods_reach_them_as_they_are_and_recipes_tell_them_apart(tiny_net, tiny_images, name, one, other):
    results = [ProbabilityCorrector(tiny_net, name, **options).correct(tiny_images) for options in (one, other)]
    for result, options in zip(results, (one, other), strict=True):
        method = create_attribution(name, tiny_net, **options)
        attributed = ProbabilityCorrector(tiny_net, method).correct(tiny_images)
        assert torch.equal(attributed.correction, result.correction) and attributed.recipe == result.recipe
    assert results[0].recipe != results[1].recipe
    assert not torch.equal(results[0].correction, results[1].correction)


def test_options_as_a_file_holds_them_are_taken_as_well(tiny_net, tiny_images):
    """A file has lists, where Captum wants tuples."""
    result = ProbabilityCorrector(tiny_net, "captum:Occlusion", sliding_window_shapes=(3, 4, 4)).correct(tiny_images)
    by_text = ProbabilityCorrector(tiny_net, "captum:Occlusion[sliding_window_shapes=[3,4,4]]")
    by_recipe = ProbabilityCorrector(tiny_net, recipe=Recipe.from_dict(result.recipe.to_dict()))
    assert torch.equal(by_text.correct(tiny_images).correction, result.correction)
    assert torch.equal(by_recipe.correct(tiny_images).correction, result.correction)


def test_methods_of_ones_own_are_told_apart_by_their_content(tiny_net):
    def maps_of(value):
        return lambda model, inputs, targets: value * inputs.abs().sum(dim=1)

    fixed = [ProbabilityCorrector(tiny_net, FixedMaps(tiny_net, torch.full((1, 5, 2, 2), v))) for v in (0.0, 0.0, 1.0)]
    functions = [ProbabilityCorrector(tiny_net, maps_of(value)) for value in (1.0, 1.0, 2.0)]
    for first, same, other in (fixed, functions):
        assert first.recipe == same.recipe != other.recipe and first.reproducible
    assert not ProbabilityCorrector(tiny_net, maps_of(Hidden())).reproducible
    assert not ProbabilityCorrector(tiny_net, FixedMaps(tiny_net, Hidden())).reproducible


def test_grad_cam_of_several_layers_and_a_reshape_of_ones_own_is_told_apart(tiny_net, tiny_images):
    pytest.importorskip("pytorch_grad_cam")
    name = "pytorch_grad_cam:GradCAM"
    plain = ProbabilityCorrector(tiny_net, name, "act").correct(tiny_images)
    reshaped = ProbabilityCorrector(tiny_net, name, "act", reshape_transform=lambda maps: maps.flip(-1))
    assert reshaped.correct(tiny_images).recipe != plain.recipe
    several = ProbabilityCorrector(tiny_net, name, target_layers=["stem", "act"]).correct(tiny_images)
    again = ProbabilityCorrector(tiny_net, recipe=several.recipe).correct(tiny_images)
    assert several.recipe.method_options["target_layers"] == ["stem", "act"]
    assert torch.equal(several.correction, again.correction) and not torch.equal(several.correction, plain.correction)
