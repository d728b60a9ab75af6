import json

import numpy as np
import pandas as pd
import pytest
from records import empty_records, fail, random_records

from maskcorrect_plugin.evaluation import paper
from maskcorrect_plugin.evaluation.protocol import paper_protocol
from maskcorrect_plugin.evaluation.protocol_text import protocol_text
from maskcorrect_plugin.evaluation.subset import Subset

KINDS = {
    # five most probable classes, rank and probability of the true one, how many images
    "right, easy": ((0.9, 0.05, 0.02, 0.01, 0.01), 1, 0.9, 35_796 - 7_272),
    "right, at the bound": ((0.625, 0.125, 0.125, 0.125, 0.125), 1, 0.625, 7_272 - 4_017),
    "right, in the subset": ((0.4, 0.3, 0.1, 0.1, 0.05), 1, 0.4, 4_017),
    "wrong, in the subset": ((0.4, 0.3, 0.1, 0.1, 0.05), 2, 0.3, 8_474 - 718),
    "wrong, in the subset, beyond the top 5": ((0.4, 0.3, 0.1, 0.1, 0.05), 6, 0.04, 718),
    "wrong, at the bound": ((0.625, 0.125, 0.125, 0.125, 0.125), 2, 0.125, 10_112 - 8_474),
    "wrong, far off": ((0.9, 0.05, 0.02, 0.01, 0.01), 7, 0.001, 14_204 - 10_112),
}


def the_papers_records():
    """50,000 images with the paper's counts. A gap of exactly 0.5 counts in the histograms and not in the subset."""
    frames = []
    for kind, (probs, rank, label_prob, count) in KINDS.items():
        label = rank - 1  # class c is the one of rank c + 1
        before, after = np.arange(5), np.full(count, 0)
        if kind == "right, in the subset":
            after[:464] = 1  # broken
        if kind == "wrong, in the subset":
            after[:538] = label  # fixed
        values = np.float32(probs)
        frame = {"label": label, "label_prob_before": np.float32(label_prob), "label_rank_before": rank}
        frame |= {"gap12": values[0] - values[1], "gap15": values[0] - values[4], "failure": None}
        lists = {"classes_before": [before] * count, "probs_before": [values] * count}
        frames.append(pd.DataFrame({**lists, "classes_after": [[answer] for answer in after], **frame}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def report():
    return paper_protocol(the_papers_records())


def test_the_papers_counts_give_the_papers_numbers(report):
    assert (report.images, report.right, report.wrong) == (50_000, 35_796, 14_204)
    assert round(100 * report.right / report.images, 2) == 71.59
    assert round(100 * report.top5 / report.images, 2) == 90.38
    assert report.right_gaps.within == 7_272 and report.right_gaps.images == 35_796
    assert report.wrong_gaps.within == 10_112 and report.wrong_gaps.images == 14_204
    outcome = report.outcome
    assert outcome.total == 12_491
    assert (outcome.both_right, outcome.broken, outcome.fixed, outcome.both_wrong) == (3_553, 464, 538, 7_936)
    assert (outcome.right_before, outcome.right_after) == (4_017, 4_091)
    assert (round(100 * outcome.accuracy_before, 2), round(100 * outcome.accuracy_after, 2)) == (32.16, 32.75)
    assert (int(1000 * outcome.accuracy_before), int(1000 * outcome.accuracy_after)) == (321, 327)  # as the source cuts
    assert outcome.mcnemar_p == pytest.approx(0.0211, abs=5e-5)


def test_every_number_stands_beside_the_papers_own(report):
    for row in report.rows():
        assert row.measured == row.paper, row.name
        assert row.of == row.paper_of, row.name
    assert paper.RIGHT + paper.WRONG == paper.IMAGES
    lines = protocol_text(report, "VGG16").splitlines()
    assert max(map(len, lines)) <= 100
    for name, number in (
        ("answered rightly (top-1)", "35,796 (71.59 %)"),
        ("true class among the top 5", "45,190 (90.38 %)"),
        ("p1 - p5 < 0.5", "12,491 (24.98 %)"),
        ("right before correction", "4,017 (32.16 %)"),
        ("right after correction", "4,091 (32.75 %)"),
        ("both wrong", "7,936"),
        ("exact McNemar p", "0.0211"),
    ):
        (line,) = [line for line in lines if line.startswith(f"{name}  ")]
        assert line.count(number) == 2, line
    assert "do not compare" not in "\n".join(lines)


def test_bins_of_the_histograms_hold_their_upper_edge(report):
    """0.5 exactly lies in the fifth bin, so the first five hold what is at or below 0.5."""
    for histogram in (report.right_gaps, report.wrong_gaps):
        assert sum(histogram.counts[:5]) == histogram.within
        assert sum(histogram.counts) == histogram.images
    assert report.right_gaps.counts[4] == 7_272 - 4_017


@pytest.mark.parametrize("seed", range(3))
def test_histograms_against_counting_image_by_image(seed):
    records = random_records(200, seed=seed)
    report = paper_protocol(records)
    right, wrong = [], []
    for row in records.itertuples():
        answer_right = row.classes_before[0] == row.label
        (right if answer_right else wrong).append(
            row.probs_before[0] - (row.probs_before[1] if answer_right else row.label_prob_before)
        )
    for values, histogram in ((right, report.right_gaps), (wrong, report.wrong_gaps)):
        assert histogram.counts == tuple(np.histogram(values, np.linspace(0, 1, 11))[0])  # no value lies on an edge
        assert histogram.within == sum(value <= 0.5 for value in values)


def test_another_subset_or_bound_does_not_stand_beside_the_papers():
    report = paper_protocol(random_records(80), Subset("p1-p2", 0.3), bound=0.4)
    rows = {row.name: row for row in report.rows()}
    assert rows["answered wrongly"].paper == 14_204
    for name in ("p1 - p2 < 0.3", "fixed", "exact McNemar p", "rightly, p1 - p2 <= 0.4"):
        assert rows[name].paper is None and rows[name].paper_of is None
    text = protocol_text(report)
    assert "Counts of 80 images do not compare with the paper's" in text
    assert next(line for line in text.splitlines() if line.startswith("broken ")).endswith(" -")


@pytest.mark.parametrize(
    "records",
    [empty_records(), fail(random_records(3), range(3)), random_records(6, unlabelled=6), random_records(4, 3)],
)
def test_odd_runs_have_a_report(records):
    report = paper_protocol(records)
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["images"] + document["failed"] + document["unlabelled"] == len(records)
    assert max(map(len, protocol_text(report, "title " * 40).splitlines())) <= 100


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="bound must lie in"):
        paper_protocol(random_records(3), bound=1.5)
    with pytest.raises(ValueError, match="edges must be"):
        paper_protocol(random_records(3), edges=[1, 0])
