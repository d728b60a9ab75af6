import numpy as np
import pandas as pd
import pytest
import torch
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET, Gap, Subset
from maskcorrect_plugin.functional import probability_gap


@pytest.mark.parametrize("classes", [1, 3, 5, 9])
@pytest.mark.parametrize("rank", [2, 3, 4, 5, 7])
def test_gaps_are_those_of_the_method(classes, rank):
    records = random_records(30, classes=classes, top_k=classes)
    if rank > classes >= 5:
        with pytest.raises(ValueError, match=f"a rank that the records store, up to {classes}; got 'p1-p{rank}'"):
            Gap(f"p1-p{rank}").of(records)
        return
    probs = torch.tensor(np.stack(records["probs_before"]))
    expected = probability_gap(probs, rank) if classes > 1 else torch.zeros(30)
    np.testing.assert_allclose(Gap(f"p1-p{rank}").of(records), expected, atol=1e-7)


def test_the_bound_is_strict_and_compared_in_the_precision_of_the_records():
    records = records_of([[0.75, 0.25], [0.6, 0.4]], [[0.75, 0.25], [0.6, 0.4]], [0, 0])
    assert Subset("p1-p2", 0.5).contains(records).tolist() == [False, True]
    records["gap12"] = np.float32([0.7, 0.69])  # float32 0.7 lies below the double 0.7, but it is the bound
    assert Subset("p1-p2", 0.7).contains(records).tolist() == [False, True]


def test_it_is_the_subset_that_max_gap_corrects():
    records = random_records(200)
    gap = torch.tensor(records["gap15"].to_numpy())
    for bound in (0.1, 0.3, 0.5, 0.7):
        assert Subset(bound=bound).contains(records).tolist() == (gap < bound).tolist()


def test_failed_images_have_no_gap():
    records = fail(random_records(10), [0, 7])
    for definition in ("p1-p2", "p1-p5", "p1-p3"):
        assert len(Gap(definition).of(records)) == 8
        assert len(Gap(definition).of(empty_records())) == 0


def test_defaults_and_words_are_the_papers():
    assert Subset() == PAPER_SUBSET == Subset("p1-p5", 0.5)
    assert str(PAPER_SUBSET) == "p1 - p5 < 0.5"


@pytest.mark.parametrize("definition", ["p1-p1", "p1-p0", "p2-p5", "p1 - p5", "p1-p", "", None, 5])
def test_other_definitions_are_refused(definition):
    with pytest.raises(ValueError, match="definition"):
        Subset(definition)


@pytest.mark.parametrize("bound", [-0.1, 1.1, float("nan"), "half", None])
def test_other_bounds_are_refused(bound):
    with pytest.raises((ValueError, TypeError), match="bound"):
        Subset(bound=bound)


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="the columns failure, gap15, which are missing"):
        PAPER_SUBSET.contains(pd.DataFrame({"gap12": [0.1]}))
    with pytest.raises(TypeError, match=r"records must be a pandas\.DataFrame, got list"):
        PAPER_SUBSET.contains([])
