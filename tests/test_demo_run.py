import json

import pytest
import torch

from maskcorrect_plugin import CorrectionResult
from maskcorrect_plugin.demo.run import DemoOutcome, instructive_cases, report, run_demo
from maskcorrect_plugin.evaluation.statistics import PairedOutcome

COUNT = 64


def outcome_of(before, after, labels):
    probs, corrected = torch.tensor(before), torch.tensor(after)
    truth = torch.tensor(labels)
    flags = torch.zeros(len(truth), dtype=torch.bool)
    flat = flags[:, None]
    result = CorrectionResult(
        probs, probs, probs, corrected, probs[:, 0], ~flags, flags, flat, flat.float(), flags.long(), flags.long(),
        flags.double(),
    )  # fmt: skip
    table = PairedOutcome.of(result.prediction, result.corrected_prediction, truth)
    return DemoOutcome(table, table, result, truth, 2.0)


def test_instructive_cases_are_those_where_the_true_class_moved_most():
    before = [[0.6, 0.4], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]]
    after = [[0.4, 0.6], [0.2, 0.8], [0.3, 0.7], [0.7, 0.3]]
    outcome = outcome_of(before, after, [1, 1, 0, 1])  # fixed by .2, fixed by .7, broken, wrong both times
    assert instructive_cases(outcome) == [("fixed", 1), ("fixed", 0), ("broken", 2)]
    assert instructive_cases(outcome, limit=1) == [("fixed", 1), ("broken", 2)]


def test_the_report_holds_the_numbers_of_the_table():
    lines = list(report(outcome_of([[0.6, 0.4], [0.9, 0.1]], [[0.4, 0.6], [0.8, 0.2]], [1, 0])))
    everything = lines[1].split()
    assert everything == ["all", "images", "2", "50.0%", "100.0%", "1", "0", "1.000"]
    assert "2 images in 2.0 s, 1.0 images a second." in lines


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    lines = []
    outcome = run_demo(folder, COUNT, 0, "CAM", lines.append)
    return folder, outcome, lines


def test_it_corrects_held_out_scenes_and_draws_what_it_names(demo):
    folder, outcome, lines = demo
    assert outcome.everything.total == COUNT == len(outcome.labels)
    assert outcome.difficult.total == int((outcome.result.gap < 0.5).sum())
    torch.testing.assert_close(outcome.result.corrected_probs.sum(1), torch.ones(COUNT))
    written = json.loads((folder / "result.json").read_text())
    figures = {image["figure"] for image in written["images"]}
    assert figures == {path.name for path in folder.glob("*.png")} and "outcome.png" in figures
    assert written["summary"]["fixed"] == outcome.everything.fixed
    assert all(name in lines[-1] for name in figures)


def test_it_replaces_its_own_files_and_no_others(demo):
    folder, outcome, _ = demo
    (folder / "mine.txt").write_text("mine")
    again = run_demo(folder, COUNT, 0, "CAM")
    assert (folder / "mine.txt").read_text() == "mine"
    assert again.everything == outcome.everything
    assert not list(folder.glob("*-2.png"))


def test_nothing_is_written_when_nothing_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_demo(None, 16, 0, "CAM")
    assert not list(tmp_path.iterdir())


def test_wrong_counts_are_refused():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        run_demo(None, 0)
