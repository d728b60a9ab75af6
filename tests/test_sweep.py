"""Sweeps on kept maps: the same answers as corrections made anew, an honest split, runs that cannot be swept."""

import numpy as np
import pandas as pd
import pytest
import torch
from small_run import COUNT, run_small

from maskcorrect_plugin import ProbabilityCorrector, RunFolder
from maskcorrect_plugin.datasets import as_image_dataset, iterate_groups
from maskcorrect_plugin.evaluation.sweep.choice import choose, selects
from maskcorrect_plugin.evaluation.sweep.folder import SweepFolder, check_sweepable, own_setting
from maskcorrect_plugin.evaluation.sweep.grid import Grid, Setting, check_top_ks, parse_numbers, parse_whole_numbers
from maskcorrect_plugin.evaluation.sweep.rerun import Rerun

GRID = Grid(("mask", "crop"), (0.1, 0.5), (1, 3), ("distribution", "diagonal"), ("probs", "uniform"))


@pytest.fixture(scope="module", params=["CAM", "ScoreCAM"])
def swept(request, tmp_path_factory):
    """A run with maps and its sweep: net, data, folder."""
    path = tmp_path_factory.mktemp("sweep") / "run"
    net, data, _ = run_small(path, (request.param,), keep_maps=True)
    folder = SweepFolder(RunFolder.open(path), request.param, GRID)
    corrector = ProbabilityCorrector(net, request.param, "act", top_k=3)
    dataset = as_image_dataset(data)
    rerun = Rerun(corrector, dataset, GRID)
    parts = folder.missing()
    groups = iterate_groups(dataset, None, [list(folder.run.manifest.part(part)) for part in parts])
    for part, group in zip(parts, groups, strict=True):
        rerun.run_part(folder, part, group)
    return net, data, folder


def test_every_setting_gives_the_answers_of_a_correction_made_anew(swept):
    net, data, folder = swept
    answers = np.stack(folder.results()["answers"].to_list())
    probabilities = np.stack(folder.results()["label_probs"].to_list())
    assert answers.shape == (COUNT, 32)
    labels = torch.tensor(data.labels)
    for column, setting in enumerate(GRID.settings()):
        corrector = ProbabilityCorrector(net, folder.method, "act", **vars(setting))
        result = corrector.correct(data.inputs)
        own = result.corrected_probs.gather(1, labels[:, None]).squeeze(1)
        # Maps are kept with three digits, which moves probabilities a little and answers only at ties.
        np.testing.assert_allclose(probabilities[:, column], own.numpy(), atol=5e-3)
        top = result.corrected_probs.topk(2).values
        clear = (top[:, 0] - top[:, 1] > 1e-2).numpy()
        assert clear.mean() > 0.5
        assert (answers[clear, column] == result.corrected_prediction.numpy()[clear]).all(), setting


def test_the_outcome_counts_both_splits_and_chooses_on_one(swept):
    _, _, folder = swept
    results = folder.results()
    recorded = folder.run.records(folder.method)["classes_after"].map(lambda classes: classes[0])
    outcome = choose(results, GRID.settings(), folder.own_setting, recorded)
    selecting = selects(results["id"].to_list())
    for each, column in ((outcome.outcomes[5], 5), (outcome.own, GRID.settings().index(folder.own_setting))):
        answers = np.array([row[column] for row in results["answers"]])
        right = answers == results["label"].to_numpy(dtype=int)
        assert (
            each.selection.right_after == right[selecting].sum() and each.report.right_after == right[~selecting].sum()
        )
        assert each.selection.total + each.report.total == COUNT
    assert outcome.chosen.selection.right_after == max(each.selection.right_after for each in outcome.outcomes)
    assert outcome.differences == 0 and outcome.images == COUNT
    frame = outcome.to_frame()
    assert len(frame) == 32 and frame["chosen"].sum() == frame["own"].sum() == 1


def test_among_equals_the_smaller_k_is_chosen():
    settings = [Setting("mask", 0.1, top_k, "distribution", "probs") for top_k in (5, 1, 3)]
    results = pd.DataFrame(
        {
            "id": list("abcdefgh"),
            "label": pd.array([0] * 8, dtype="Int32"),
            "failure": [None] * 8,
            "answer_before": [1] * 8,
            "answers": [np.array([0, 0, 0])] * 8,
        }
    )
    outcome = choose(results, settings, settings[0], pd.Series([0] * 8))
    assert outcome.chosen.setting.top_k == 1
    with pytest.raises(ValueError, match="labelled images to choose on and others to report on, got 0 and 8"):
        choose(results, settings, settings[0], pd.Series([0] * 8), share=0.0)


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
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\)"):
        Grid(("mask",), (1.0,), (1,), ("distribution",), ("probs",))
    with pytest.raises(ValueError, match="view must be one of"):
        Grid(("zoom",), (0.1,), (1,), ("distribution",), ("probs",))
    with pytest.raises(ValueError, match="top_k must be from 1 to 3, the candidates that the run kept maps of; got 4"):
        check_top_ks([1, 4], 3)
    with pytest.raises(ValueError, match="top_k must be whole numbers"):
        parse_whole_numbers("top_k", "1:2:0.5")


def test_runs_without_maps_and_methods_without_them_are_refused(tmp_path):
    run_small(tmp_path / "plain")
    plain = RunFolder.open(tmp_path / "plain")
    with pytest.raises(ValueError, match="keeps no maps; run it with --keep-maps"):
        check_sweepable(plain, "CAM")
    assert own_setting(plain, "CAM") == Setting("mask", 0.1, 3, "distribution", "probs")
    run_small(tmp_path / "kept", keep_maps=True)
    with pytest.raises(ValueError, match="no method whose maps can be swept"):
        check_sweepable(RunFolder.open(tmp_path / "kept"), "control:hflip")
