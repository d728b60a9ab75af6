from math import comb

import pytest
import torch

from maskcorrect_plugin.evaluation.statistics import PairedOutcome


def test_the_papers_own_table():
    paper = PairedOutcome(both_right=3553, fixed=538, broken=464, both_wrong=7936)
    assert (paper.total, paper.right_before, paper.right_after) == (12491, 4017, 4091)
    assert round(100 * paper.accuracy_before, 2) == 32.16 and round(100 * paper.accuracy_after, 2) == 32.75
    assert paper.mcnemar_p == pytest.approx(0.0211, abs=5e-5)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 1), (5, 5), (12, 3), (1, 9)])
def test_mcnemar_is_a_two_sided_binomial_test_of_the_changed_answers(fixed, broken):
    changed = fixed + broken
    tail = sum(comb(changed, k) for k in range(min(fixed, broken) + 1)) / 2**changed
    assert PairedOutcome(7, fixed, broken, 2).mcnemar_p == pytest.approx(min(1.0, 2 * tail))


def test_nothing_changed_is_no_evidence():
    assert PairedOutcome(7, 0, 0, 2).mcnemar_p == 1.0


def test_counting_by_hand():
    labels = torch.tensor([0, 1, 2, 3, 4])
    before = torch.tensor([0, 1, 0, 0, 0])
    after = torch.tensor([0, 0, 2, 0, 1])
    assert PairedOutcome.of(before, after, labels) == PairedOutcome(both_right=1, fixed=1, broken=1, both_wrong=2)
    subset = torch.tensor([False, True, True, False, False])
    assert PairedOutcome.of(before, after, labels, subset) == PairedOutcome(0, 1, 1, 0)


def test_an_empty_subset_has_no_accuracy():
    empty = PairedOutcome(0, 0, 0, 0)
    assert empty.accuracy_before != empty.accuracy_before and empty.mcnemar_p == 1.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"same shape, got \(2,\), \(2,\) and \(3,\)"):
        PairedOutcome.of(torch.zeros(2), torch.zeros(2), torch.zeros(3))
