"""`evaluate` with several recipes at once: each has what it has alone, for fewer forwards; what tells runs apart."""

import numpy as np
import pytest
import torch
from conftest import Counter
from lively import lively_data, lively_inputs, lively_net, run_lively
from lively_factory import NAMES, TRANSFORM, write_images

from maskcorrect_plugin import (
    CropView,
    LoadedModel,
    MaskView,
    Preprocessing,
    ProbabilityCorrector,
    Recipe,
    RunFolder,
    View,
    evaluate,
    load_dataset,
    make_correctors,
)
from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.runner import RecordOptions

OPTIONS = RecordOptions(images_per_part=7, distributions="float32")
CAM = Recipe(method="CAM", target_layer="act", top_k=3)
SCORE_CAM = CAM.replace(method="ScoreCAM", target_layer="act")
TENSORS = {
    "CAM": CAM,
    "gap": CAM.replace(max_gap=0.12),
    "views": CAM.replace(views="crop[threshold=0.3,map=merged]+hflip+mask", view_weights=(1, 0.5, 2)),
    "log": CAM.replace(views="crop[map=merged]+hflip", pool="log", temperature=0.7),
    "ScoreCAM": SCORE_CAM,
    "diagonal": SCORE_CAM.replace(vote="diagonal", candidate_weights="uniform"),
    "random": CAM.replace(method="control:random_map"),
    "flip": CAM.replace(method=None, views="hflip"),
}
PICTURES = {
    "zoom": CAM.replace(views="zoom[threshold=0.3,map=merged]+hflip+whole"),
    "zoom each": CAM.replace(views="zoom[threshold=0.5]"),
    "other": CAM.replace(method="control:other_image[of=CAM]", views="zoom[map=merged]"),
    "unguided": CAM.replace(method=None, views="center[scale=0.85]+center[scale=0.7]+hflip+whole"),
    "crops": CAM.replace(method=None, views="random_crops[n=3]+ten_crop"),
    "plain": CAM,
}


def loaded(net):
    return LoadedModel(net, Preprocessing.of(TRANSFORM), NAMES, "lively", None)


def correctors_of(model, recipes, dataset=None):
    return make_correctors(model.model, recipes, preprocessing=model.preprocessing, dataset=dataset)


def assert_same(together, alone):
    """Answers and what they took exactly, probabilities within 1e-6."""
    for name in ("id", "label", "failure", "corrected", "changed", "forwards", "saved", "num_candidates"):
        assert together[name].equals(alone[name]), name
    for name in ("classes_before", "classes_after", "flat"):
        assert all(np.array_equal(a, b) for a, b in zip(together[name].dropna(), alone[name].dropna(), strict=True))
    for name in ("probs_before", "probs_after", "view_probs", "weights"):
        for one, other in zip(together[name].dropna(), alone[name].dropna(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_several_recipes_give_what_each_gives_alone_for_fewer_forwards():
    model = loaded(lively_net())
    data = lively_data(model.model)
    counter = Counter(model.model)
    together = evaluate(correctors_of(model, TENSORS), data, model, options=OPTIONS)
    shared, alone = counter.inputs, {}
    for name, recipe in TENSORS.items():
        counter.reset()
        (alone[name],) = evaluate(correctors_of(model, {name: recipe}), data, model, options=OPTIONS).values()
        probe = 1
        assert counter.inputs == alone[name]["forwards"].sum() + probe, name
        assert_same(together[name], alone[name])
    total = sum(int(records["forwards"].sum()) for records in alone.values())
    assert shared < total - (len(TENSORS) - 1) * len(data) / 2
    assert sum(records["changed"].sum() for records in together.values()) > 20


def test_recipes_that_cut_from_the_originals_give_what_each_gives_alone(tmp_path):
    folder = write_images(tmp_path / "data", 20)
    model = loaded(lively_net())
    counter = Counter(model.model)
    together = evaluate(
        correctors_of(model, PICTURES, load_dataset(folder, class_names=NAMES)), folder, model, options=OPTIONS
    )
    shared = counter.inputs
    counter.reset()
    for name, recipe in PICTURES.items():
        (records,) = evaluate(
            correctors_of(model, {name: recipe}, load_dataset(folder, class_names=NAMES)),
            folder,
            model,
            options=OPTIONS,
        ).values()
        assert_same(together[name], records)
        assert records["failure"].notna().sum() == 1
    assert shared < counter.inputs


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_pictures_are_read_by_other_processes_too(tmp_path):
    folder = write_images(tmp_path / "data", 20)
    model = loaded(lively_net())
    recipes = {"zoom": PICTURES["zoom"], "unguided": PICTURES["unguided"]}
    here, there = (
        evaluate(correctors_of(model, recipes), folder, model, options=OPTIONS, num_workers=count) for count in (0, 2)
    )
    for name in recipes:
        assert_same(there[name], here[name])
        assert there[name]["failure"].notna().tolist() == [row == "jay/007.png" for row in there[name]["id"]]


@pytest.mark.parametrize("count", [1, 20])
def test_a_data_set_of_tensors_has_no_pictures_to_zoom_into(tmp_path, count):
    net = lively_net()
    data = lively_data(net)[:count]
    counter = Counter(net)
    for model in (loaded(net), net):
        corrector = ProbabilityCorrector(net, recipe=PICTURES["zoom"], preprocessing=Preprocessing.of(TRANSFORM))
        with pytest.raises(ArgumentError, match="gives tensors; use one that gives PIL images"):
            evaluate(corrector, data, model, tmp_path / "run")
    with pytest.raises(ArgumentError, match="preprocessing must be given for 'zoom'"):
        evaluate(ProbabilityCorrector(net, recipe=PICTURES["zoom"]), data, net, tmp_path / "run")
    assert counter.inputs <= 4 and not (tmp_path / "run").exists()


def test_a_part_of_one_recipe_is_made_again_as_it_was_with_the_others(tmp_path):
    model = loaded(lively_net())
    data = lively_data(model.model)
    chosen = {name: TENSORS[name] for name in ("CAM", "views", "random", "flip")}
    first = evaluate(correctors_of(model, chosen), data, model, tmp_path / "run", options=OPTIONS)
    folder = RunFolder.open(tmp_path / "run")
    for part, name in enumerate(chosen):
        folder.part_file("records", name, part).unlink()
    again = evaluate(correctors_of(model, chosen), data, model, tmp_path / "run", options=OPTIONS)
    for name in chosen:
        assert_same(again[name], first[name])


# --- records ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["views", "log", "gap", "flip"])
def test_corrected_answers_can_be_recomputed_from_the_second_ones(name):
    model = loaded(lively_net())
    recipe = TENSORS[name].replace(temperature=1.0)
    (records,) = evaluate(
        correctors_of(model, {name: recipe}), lively_data(model.model), model, options=OPTIONS
    ).values()
    for _, row in records.iterrows():
        probs, weights = row["probs"].astype(np.float64), row["weights"].astype(np.float64)
        columns = recipe.columns(row["num_candidates"])
        assert len(weights) == len(row["flat"]) == sum(count for _, count in columns)
        views = row["view_probs"].astype(np.float64).reshape(len(weights), len(probs))
        if recipe.pool == "log":
            scores = np.log(probs) + weights @ np.log(np.maximum(views, 1e-30))
            corrected = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        else:
            corrected = (probs + weights @ views) / (1 + weights.sum())
        np.testing.assert_allclose(corrected[row["classes_after"]], row["probs_after"], atol=2e-6)


# --- one description for one correction -------------------------------------------------------------------------------


def run(folder, net, view, **options):
    corrector = ProbabilityCorrector(net, "CAM", "act", top_k=3, view=view, **options)
    return evaluate(corrector, lively_data(net), net, folder, options=OPTIONS)["CAM"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CropView(0.3, margin=0.0), CropView(0.3, margin=1.0)),
        (MaskView(0.3, fill=torch.zeros(3, 1, 1)), MaskView(0.3, fill=torch.ones(3, 1, 1))),
        (MaskView(0.3, fill=torch.zeros(3, 1, 1)), MaskView(0.3)),
    ],
)
def test_a_run_is_not_continued_by_another_view(tmp_path, first, second):
    net = lively_net()
    records = run(tmp_path / "run", net, first)
    with pytest.raises(RunError, match=r"methods\.CAM\.views was"):
        run(tmp_path / "run", net, second)
    assert_same(run(tmp_path / "run", net, first), records)


def test_a_tensor_as_a_fill_is_known_by_its_content(tmp_path):
    net = lively_net()
    for fill in (torch.full((3, 1, 1), 0.5), torch.full((3, 1, 1), 0.5).clone()):
        records = run(tmp_path / "run", net, MaskView(0.3, fill=fill))
    assert len(records) == len(lively_inputs())


class Opaque:
    """Nothing of it can be seen."""

    __slots__ = ("strength",)

    def __init__(self, strength):
        self.strength = strength


class Dimmed(View):
    """A view of somebody's own."""

    name = "dimmed"
    guided = False

    def __init__(self, how):
        self.how = how

    def render(self, inputs, maps=None, prepared=None):
        return inputs * (self.how.strength if isinstance(self.how, Opaque) else self.how)


def test_what_cannot_be_described_is_corrected_and_not_written(tmp_path):
    net = lively_net()
    corrector = ProbabilityCorrector(net, view=Dimmed(Opaque(0.5)), top_k=3)
    (records,) = evaluate(corrector, lively_data(net), net, options=OPTIONS).values()
    assert records["failure"].isna().all()
    with pytest.raises(ArgumentError, match="whose content cannot be seen"):
        evaluate(corrector, lively_data(net), net, tmp_path / "run", options=OPTIONS)
    assert not (tmp_path / "run").exists()
    plain = ProbabilityCorrector(net, view=Dimmed(0.5), top_k=3)
    (same,) = evaluate(plain, lively_data(net), net, tmp_path / "run", options=OPTIONS).values()
    assert_same(same, records)


def test_runs_of_the_first_format_are_refused_with_a_sentence(tmp_path):
    net, data, _ = run_lively(tmp_path / "run", ("CAM",))
    file = tmp_path / "run" / "run.json"
    file.write_text(file.read_text().replace("evaluation/2", "evaluation/1"))
    for ask in (
        lambda: RunFolder.open(tmp_path / "run"),
        lambda: evaluate(ProbabilityCorrector(net, "CAM", "act", top_k=3), data, net, tmp_path / "run"),
    ):
        with pytest.raises(RunError, match="must be run again"):
            ask()


def test_a_run_folder_gives_the_recipe_of_each_row_back(tmp_path):
    model = loaded(lively_net())
    recipes = {"auto": CAM.replace(method="auto", views="crop[map=merged]"), "flip": TENSORS["flip"], "CAM": CAM}
    evaluate(correctors_of(model, recipes), lively_data(model.model), model, tmp_path / "run", options=OPTIONS)
    folder = RunFolder.open(tmp_path / "run")
    assert folder.recipe("flip") == recipes["flip"]
    for name in ("auto", "CAM"):
        again = folder.recipe(name)
        assert (again.method, again.target_layer, again.views) == ("CAM", "act", recipes[name].views)
        (records,) = evaluate(
            correctors_of(model, {"again": again}), lively_data(model.model), model, options=OPTIONS
        ).values()
        assert_same(records, folder.records(name))
