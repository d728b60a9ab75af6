"""Sweeps on kept maps: the same answers as corrections made anew, an honest split, runs that cannot be swept."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_run import COUNT, run_small

from maskcorrect_plugin import ProbabilityCorrector, Recipe, RunFolder
from maskcorrect_plugin.datasets import as_image_dataset, iterate_groups
from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.evaluation.sweep.choice import choose, selects
from maskcorrect_plugin.evaluation.sweep.folder import SweepFolder, check_sweepable
from maskcorrect_plugin.evaluation.sweep.grid import Grid, parse_numbers, parse_whole_numbers, view_sets
from maskcorrect_plugin.evaluation.sweep.rerun import Rerun

VIEWS = ["mask", "crop", "crop[map=merged]+hflip", "hflip"]


def recipes_of(base):
    """4 x 2 x 3 with a map for each candidate, 2 x 2 x 2 with the merged one, where there is no vote, 2 x 2 without."""
    views = view_sets(VIEWS, (0.1, 0.5), base)
    return tuple(Grid(base, views, ("sum", "log"), (1, 3), ("distribution", "diagonal"), ("probs",)).recipes())


def sweep(net, data, folder, **corrector):
    """Does all parts."""
    dataset = as_image_dataset(data)
    own = ProbabilityCorrector(net, folder.method, "act", top_k=3, **corrector)
    rerun = Rerun(own, dataset, list(folder.recipes))
    parts = folder.missing()
    groups = iterate_groups(dataset, None, [list(folder.run.manifest.part(part)) for part in parts])
    for part, group in zip(parts, groups, strict=True):
        rerun.run_part(folder, part, group)
    return folder


@pytest.fixture(scope="module", params=["CAM", "ScoreCAM"])
def swept(request, tmp_path_factory):
    """A run with maps and its sweep: net, data, folder."""
    path = tmp_path_factory.mktemp("sweep") / "run"
    net, data, _ = run_small(path, (request.param,), keep_maps=True)
    run = RunFolder.open(path)
    return net, data, sweep(net, data, SweepFolder(run, request.param, recipes_of(run.recipe(request.param))))


def recorded_answers(folder):
    return folder.run.records(folder.method)["classes_after"].map(lambda classes: classes[0])


def test_a_grid_holds_each_recipe_once_and_the_runs_own_first(swept):
    recipes = swept[2].recipes
    assert recipes[0] == swept[2].run.recipe(swept[2].method)
    assert len(set(recipes)) == len(recipes) == 24 + 8 + 4
    assert {each.method_spec for each in recipes} == {recipes[0].method_spec, None}


def test_every_recipe_gives_the_answers_of_a_correction_made_anew(swept):
    net, data, folder = swept
    answers = np.stack(folder.results()["answers"].to_list())
    probabilities = np.stack(folder.results()["label_probs"].to_list())
    assert answers.shape == (COUNT, len(folder.recipes))
    labels = torch.tensor(data.labels)
    for column, recipe in enumerate(folder.recipes):
        result = ProbabilityCorrector(net, recipe=recipe).correct(data.inputs)
        own = result.corrected_probs.gather(1, labels[:, None]).squeeze(1)
        # Maps are kept with three digits, which moves probabilities a little and answers only at ties.
        np.testing.assert_allclose(probabilities[:, column], own.numpy(), atol=5e-3)
        top = result.corrected_probs.topk(2).values
        clear = (top[:, 0] - top[:, 1] > 1e-2).numpy()
        assert clear.mean() > 0.5
        assert (answers[clear, column] == result.corrected_prediction.numpy()[clear]).all(), recipe


def test_the_outcome_counts_both_splits_and_chooses_on_one(swept):
    _, _, folder = swept
    results = folder.results()
    outcome = choose(results, folder.recipes, recorded_answers(folder))
    selecting = selects(results["id"].to_list())
    for each, column in ((outcome.outcomes[5], 5), (outcome.own, 0)):
        answers = np.array([row[column] for row in results["answers"]])
        right = answers == results["label"].to_numpy(dtype=int)
        assert (
            each.selection.right_after == right[selecting].sum() and each.report.right_after == right[~selecting].sum()
        )
        assert each.selection.total + each.report.total == COUNT
    assert outcome.chosen.selection.right_after == max(each.selection.right_after for each in outcome.outcomes)
    assert outcome.differences == 0 and outcome.images == COUNT
    frame = outcome.to_frame()
    assert len(frame) == len(folder.recipes) and frame["chosen"].sum() == frame["own"].sum() == 1


def test_images_that_max_gap_passed_keep_their_answer_under_every_recipe(tmp_path):
    method = "CAM"
    net, data, records = run_small(tmp_path / "run", (method,), keep_maps=True, corrector={"max_gap": 0.5})
    run = RunFolder.open(tmp_path / "run")
    assert 0 < records[method]["corrected"].sum() < COUNT
    recipes = recipes_of(run.recipe(method))
    assert {each.max_gap for each in recipes} == {0.5}
    folder = sweep(net, data, SweepFolder(run, method, recipes), max_gap=0.5)
    results = folder.results()
    answers, passed = np.stack(results["answers"].to_list()), ~records[method]["corrected"].to_numpy(dtype=bool)
    assert (answers[passed] == results["answer_before"].to_numpy(dtype=int)[passed, None]).all()
    for column in (0, 7):
        result = ProbabilityCorrector(net, recipe=recipes[column]).correct(data.inputs)
        assert (answers[:, column] == result.corrected_prediction.numpy()).mean() > 0.9
    assert choose(results, recipes, recorded_answers(folder)).differences == 0


def test_maps_that_are_missing_for_a_corrected_image_are_an_error_that_says_so(tmp_path):
    net, data, _ = run_small(tmp_path / "run", ("CAM",), keep_maps=True)
    run = RunFolder.open(tmp_path / "run")
    file = run.part_file("maps", "CAM", 1)
    pd.read_parquet(file).iloc[1:].to_parquet(file)
    folder = SweepFolder(run, "CAM", recipes_of(run.recipe("CAM"))[:2])
    with pytest.raises(RunError, match="corrected '7', but its maps are missing"):
        sweep(net, data, folder)
    assert folder.missing() == [1, 2, 3]
    file.unlink()
    with pytest.raises(RunError, match=r"part-00001\.parquet"):
        sweep(net, data, folder)


def test_a_model_that_answers_otherwise_than_it_did_has_no_maps_of_its_candidates(tmp_path):
    net, data, _ = run_small(tmp_path / "run", ("CAM",), keep_maps=True)
    run = RunFolder.open(tmp_path / "run")
    net.head.weight.data.neg_()
    with pytest.raises(RunError, match="kept no map of class"):
        sweep(net, data, SweepFolder(run, "CAM", (run.recipe("CAM"),)))


def test_among_equals_the_smaller_k_is_chosen():
    recipes = [Recipe(top_k=top_k) for top_k in (5, 1, 3)]
    results = pd.DataFrame(
        {
            "id": list("abcdefgh"),
            "label": pd.array([0] * 8, dtype="Int32"),
            "failure": [None] * 8,
            "answer_before": [1] * 8,
            "answers": [np.array([0, 0, 0])] * 8,
        }
    )
    outcome = choose(results, recipes, pd.Series([0] * 8))
    assert outcome.chosen.recipe.top_k == 1
    with pytest.raises(ValueError, match="labelled images to choose on and others to report on, got 0 and 8"):
        choose(results, recipes, pd.Series([0] * 8), share=0.0)


def test_the_split_follows_the_ids_alone():
    ids = [f"photo-{index}" for index in range(4000)]
    split = selects(ids)
    assert 0.46 < split.mean() < 0.54
    order = np.random.default_rng(0).permutation(len(ids))
    assert (selects([ids[index] for index in order]) == split[order]).all()
    assert (selects(ids, seed=1) != split).mean() > 0.4
    assert selects(ids, share=0.1).mean() < 0.15


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0:0.6:0.1", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        ("1:5", (1, 2, 3, 4, 5)),
        ("0.1", (0.1,)),
        ("0.5,0.1,0.5", (0.5, 0.1)),
        ("0:0.25:0.1", (0.0, 0.1, 0.2)),
    ],
)
def test_numbers_as_ranges_and_lists(text, numbers):
    assert parse_numbers("threshold", text) == pytest.approx(numbers)


@pytest.mark.parametrize("text", ["", "a", "1:", "5:1", "0:1:0", "0:1:-1", "1:2:3:4", "0:nan:1", "0:1:0.0001"])
def test_other_forms_of_numbers_are_refused(text):
    with pytest.raises(ValueError, match="threshold must"):
        parse_numbers("threshold", text)


def test_a_grid_refuses_what_a_correction_would():
    base = Recipe(top_k=3)

    def grid(views=("mask",), top_ks=(3,)):
        return Grid(base, view_sets(views, None, base), ("sum",), top_ks, ("distribution",), ("probs",)).recipes()

    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\)"):
        view_sets(None, (1.0,), base)
    with pytest.raises(ValueError, match="view must be one of"):
        grid(views=("zom",))
    with pytest.raises(ValueError, match="top_k must be from 1 to 3, got 4"):
        grid(top_ks=(1, 4))
    with pytest.raises(ValueError, match="top_k must be whole numbers"):
        parse_whole_numbers("top_k", "1:2:0.5")


def test_thresholds_go_into_every_view_that_has_one():
    sets = view_sets(["zoom[threshold=0.3,map=merged]+hflip", "whole"], (0.2, 0.4), Recipe())
    assert [[view.partition("[")[0] for view in views] for views in sets] == [["zoom", "hflip"]] * 2 + [["whole"]]
    assert ["threshold=0.2" in sets[0][0], "threshold=0.4" in sets[1][0]] == [True, True]


def test_runs_without_maps_and_methods_without_them_are_refused(tmp_path):
    run_small(tmp_path / "plain")
    with pytest.raises(ValueError, match="keeps no maps; run it with --keep-maps"):
        check_sweepable(RunFolder.open(tmp_path / "plain"), "CAM")
    run_small(tmp_path / "kept", keep_maps=True)
    with pytest.raises(ValueError, match="no maps that can be swept"):
        check_sweepable(RunFolder.open(tmp_path / "kept"), "control:hflip")
