from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import Subset


def test_the_papers_own_table():
    paper = PairedOutcome(both_right=3553, fixed=538, broken=464, both_wrong=7936)
    assert (paper.total, paper.right_before, paper.right_after, paper.gain) == (12491, 4017, 4091, 74)
    assert round(100 * paper.accuracy_before, 2) == 32.16 and round(100 * paper.accuracy_after, 2) == 32.75
    assert paper.mcnemar_p == pytest.approx(0.0211, abs=5e-5)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 1), (5, 5), (12, 3), (1, 9)])
def test_mcnemar_is_a_two_sided_binomial_test_of_the_changed_answers(fixed, broken):
    changed = fixed + broken
    tail = sum(comb(changed, k) for k in range(min(fixed, broken) + 1)) / 2**changed
    assert PairedOutcome(7, fixed, broken, 2).mcnemar_p == pytest.approx(min(1.0, 2 * tail))


def test_nothing_changed_is_no_evidence():
    assert PairedOutcome(7, 0, 0, 2).mcnemar_p == 1.0


@pytest.mark.parametrize("library", [torch.tensor, np.array])
def test_counting_by_hand(library):
    labels, before, after = library([0, 1, 2, 3, 4]), library([0, 1, 0, 0, 0]), library([0, 0, 2, 0, 1])
    assert PairedOutcome.of(before, after, labels) == PairedOutcome(both_right=1, fixed=1, broken=1, both_wrong=2)
    subset = library([False, True, True, False, False])
    assert PairedOutcome.of(before, after, labels, subset) == PairedOutcome(0, 1, 1, 0)


def test_an_empty_subset_has_no_accuracy():
    empty = PairedOutcome(0, 0, 0, 0)
    assert empty.mcnemar_p == 1.0
    assert np.isnan([empty.accuracy_before, empty.accuracy_after, empty.difference]).all()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"same shape, got \(2,\), \(2,\) and \(3,\)"):
        PairedOutcome.of(torch.zeros(2), torch.zeros(2), torch.zeros(3))


def test_counting_records_leaves_out_failed_and_unlabelled_images():
    before = [[0.6, 0.4], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.7, 0.3]]
    after = [[0.4, 0.6], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.2, 0.8]]
    records = records_of(before, after, [1, 0, 0, None, 1])
    assert PairedOutcome.from_records(records) == PairedOutcome(both_right=1, fixed=2, broken=1, both_wrong=0)
    failed = fail(records, [4])
    assert PairedOutcome.from_records(failed) == PairedOutcome(both_right=1, fixed=1, broken=1, both_wrong=0)
    assert PairedOutcome.from_records(failed, Subset(bound=0.5)) == PairedOutcome(0, 1, 1, 0)
    assert PairedOutcome.from_records(empty_records()) == PairedOutcome(0, 0, 0, 0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), bound=st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_a_subset_and_the_rest_make_the_whole(seed, bound):
    records = random_records(40, seed=seed, unlabelled=3)
    whole = PairedOutcome.from_records(records)
    parts = [
        PairedOutcome.from_records(records[mask]) for mask in (records["gap15"] < bound, records["gap15"] >= bound)
    ]
    assert PairedOutcome.from_records(records, Subset(bound=bound)) == parts[0]
    for name in ("both_right", "fixed", "broken", "both_wrong", "gain", "total"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts)
    assert whole.right_after - whole.right_before == whole.gain
