import json
import math
import time

import numpy as np
import pandas as pd
import pytest
import torch
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation import metrics
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.summary import SUMMARY_COLUMNS, summarise
from maskcorrect_plugin.evaluation.text import summary_text


def test_every_number_by_hand():
    """Two images of three classes, K = 2: the first is fixed, the second stays wrong, its class outside of K."""
    before = [[0.5, 0.375, 0.125], [0.25, 0.625, 0.125]]
    after = [[0.25, 0.5, 0.25], [0.25, 0.5, 0.25]]
    group = summarise(records_of(before, after, [1, 2], top_k=2, forwards=8)).overall
    assert group.outcome == PairedOutcome(both_right=0, fixed=1, broken=0, both_wrong=1)
    assert (group.images, group.unlabelled, group.corrected, group.changed) == (2, 0, 2, 1)
    assert group.ceiling == 0.5 and group.forwards_per_image == 8
    assert group.top5.before == group.top5.after == 1  # of three classes all are among the top five
    assert group.nll.before == pytest.approx(-(math.log(0.375) + math.log(0.125)) / 2)
    assert group.nll.after == pytest.approx(-(math.log(0.5) + math.log(0.25)) / 2)
    assert group.brier.before == pytest.approx((0.65625 + 1.21875) / 2)  # .25+.390625+.015625, .0625+.390625+.765625
    assert group.brier.after == pytest.approx((0.375 + 0.875) / 2)
    assert group.ece.before == pytest.approx((0.5 + 0.625) / 2)  # both wrong: the confidence is the error
    assert group.ece.after == pytest.approx(0)  # both at 0.5, in one bin, and one of two is right


def test_the_subset_is_summarised_like_a_run_of_its_own():
    records = random_records(150, unlabelled=4)
    subset = Subset("p1-p2", 0.25)
    alone = summarise(records[records["gap12"] < 0.25])
    both = summarise(records, subset)
    assert both.subset == alone.overall
    assert both.overall == summarise(records).overall
    assert 0 < both.subset.images < both.overall.images == 150


def test_failed_images_are_counted_and_left_out():
    records = random_records(50)
    summary = summarise(fail(records, range(0, 50, 5)))
    assert (summary.images, summary.failed, summary.overall.images) == (50, 10, 40)
    assert summary.overall == summarise(records[records["index"] % 5 != 0]).overall


def calibration_error(confidences, right, bins=15):
    """Guo et al.: the mean distance of accuracy and confidence, weighted by the images of each bin."""
    total = 0.0
    for number in range(bins):
        inside = [row for row, value in enumerate(confidences) if number / bins <= value < (number + 1) / bins]
        if inside:
            gap = np.mean([right[row] for row in inside]) - np.mean([confidences[row] for row in inside])
            total += len(inside) / len(confidences) * abs(gap)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_of_the_answers_is_that_of_the_distributions(seed):
    torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    generator = torch.Generator().manual_seed(seed)
    probs = (2 * torch.randn(400, 6, generator=generator)).softmax(1)
    labels = torch.randint(6, (400,), generator=generator)
    confidences, answers = probs.max(1)
    own = metrics.expected_calibration_error(confidences.numpy(), (answers == labels).numpy())
    whole = torchmetrics.multiclass_calibration_error(probs, labels, num_classes=6, n_bins=15, norm="l1")
    assert own == pytest.approx(float(whole), abs=1e-6)
    assert own == pytest.approx(calibration_error(confidences.tolist(), (answers == labels).tolist()), abs=1e-6)


def test_a_confidence_just_above_one_is_no_logit():
    confidences = np.array([1.0000001, 0.5], np.float32)
    assert metrics.expected_calibration_error(confidences, np.array([True, True])) == pytest.approx(0.25)


def test_an_impossible_true_class_does_not_make_the_mean_infinite():
    nll = metrics.negative_log_likelihood(np.array([0.0, 1.0]))
    assert nll == pytest.approx(-math.log(torch.finfo(torch.float32).tiny) / 2)


RUNS = {
    "no images": empty_records(),
    "all failed": fail(random_records(4), range(4)),
    "no labels": random_records(12, unlabelled=12),
    "one class": random_records(5, classes=1),
    "three classes": random_records(12, classes=3),
    "one image": random_records(1),
}


@pytest.mark.parametrize("name", RUNS)
def test_odd_runs_are_summarised_in_plain_json(name):
    summary = summarise(RUNS[name])
    document = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    assert document["images"] == len(RUNS[name])
    assert document["subset"]["definition"] == "p1-p5" and document["subset"]["bound"] == 0.5
    labelled = document["overall"]["images"] - document["overall"]["unlabelled"]
    for key in ("accuracy", "nll", "brier", "ece", "top5"):
        assert (document["overall"][key]["before"] is None) == (labelled == 0)
    assert (document["overall"]["forwards_per_image"] is None) == (document["overall"]["images"] == 0)
    assert max(map(len, summary_text(summary, name).splitlines())) <= 100


def test_the_dictionary_holds_what_the_summary_holds():
    summary = summarise(random_records(60))
    document, group = summary.to_dict(), summary.overall
    assert document["overall"]["outcome"] == vars(group.outcome)
    assert document["overall"]["mcnemar_p"] == group.outcome.mcnemar_p
    assert document["overall"]["interval_before"] == vars(group.interval_before)
    assert document["overall"]["difference"] == group.outcome.difference


@pytest.mark.parametrize("backend", ["numpy", "numpy_nullable", "pyarrow"])
def test_however_pandas_reads_the_records_the_summary_is_the_same(tmp_path, backend):
    records = fail(random_records(40, unlabelled=3), [5])
    file = tmp_path / "records.parquet"
    records.convert_dtypes(dtype_backend="numpy_nullable").to_parquet(file)
    read = pd.read_parquet(file, **({} if backend == "numpy" else {"dtype_backend": backend}))
    assert summarise(read) == summarise(records)


def test_only_the_named_columns_are_needed_and_missing_ones_are_named():
    records = random_records(20)
    assert summarise(records[list(SUMMARY_COLUMNS)]) == summarise(records)
    with pytest.raises(ValueError, match="the columns brier_before, forwards, which are missing"):
        summarise(records.drop(columns=["forwards", "brier_before"]))


def test_fifty_thousand_images_take_no_time():
    one = random_records(2_000)
    records = pd.concat([one] * 25, ignore_index=True)
    summarise(one)  # the libraries are loaded
    started = time.perf_counter()
    summary = summarise(records)
    assert time.perf_counter() - started < 3  # 0.2 s on an idle machine
    assert summary.overall.images == 50_000
    assert summary.overall.outcome.fixed == 25 * summarise(one).overall.outcome.fixed
