import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.gap_bins import TENTHS, bin_of, gap_bins
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import Gap, Subset


def test_by_hand():
    """Gaps .5, .5, .25, 1: a bin holds its lower edge, the last one also its upper."""
    before = [[0.75, 0.25], [0.75, 0.25], [0.625, 0.375], [1.0, 0.0]]
    after = [[0.25, 0.75], [0.6, 0.4], [0.4, 0.6], [1.0, 0.0]]
    table = gap_bins(records_of(before, after, [1, 0, 0, None]), edges=[0, 0.5, 1])
    expected = {
        "low": [0.0, 0.5],
        "high": [0.5, 1.0],
        "images": [1, 3],
        "labelled": [1, 2],
        "changed": [1, 1],
        "fixed": [0, 1],
        "broken": [1, 0],
    }
    assert table.to_dict("list") == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), definition=st.sampled_from(["p1-p2", "p1-p3", "p1-p5"]))
def test_bins_add_up_to_the_run_and_those_below_the_bound_to_the_subset(seed, definition):
    records = fail(random_records(50, seed=seed, unlabelled=4), [20])
    table = gap_bins(records, definition)
    assert len(table) == 10 and table["images"].sum() == 49
    for part, outcome in (
        (table, PairedOutcome.from_records(records)),
        (table[table["high"] <= 0.5], PairedOutcome.from_records(records, Subset(definition, 0.5))),
    ):
        assert (part["fixed"].sum(), part["broken"].sum()) == (outcome.fixed, outcome.broken)
        assert part["labelled"].sum() == outcome.total
    assert table["changed"].sum() == records["changed"].sum()


def test_images_outside_the_edges_are_not_counted():
    records = random_records(100)
    gaps = Gap("p1-p2").of(records)
    table = gap_bins(records, "p1-p2", [0.25, 0.5])
    assert table["images"].tolist() == [int(((gaps >= 0.25) & (gaps <= 0.5)).sum())]


@pytest.mark.parametrize(
    ("closed", "expected"), [("left", [0, 2, 3, 9, 9, -1, 10]), ("right", [0, 1, 2, 9, 9, -1, 10])]
)
def test_tenths_in_the_precision_of_the_records(closed, expected):
    """0.3 of float32 lies above the double 0.3, yet it is the edge."""
    values = np.float32([0.0, 0.2, 0.3, 0.95, 1.0, -0.1, 1.1])
    assert bin_of(values, TENTHS, closed).tolist() == expected


def test_no_images_give_empty_bins():
    assert gap_bins(empty_records())["images"].tolist() == [0] * 10


@pytest.mark.parametrize("edges", [[0.5], [], [0.5, 0.2], [0, 0], [-0.1, 1], [0, 1.5], [0, float("nan")]])
def test_edges_must_increase_within_zero_and_one(edges):
    with pytest.raises(ValueError, match="edges must be at least two increasing numbers"):
        gap_bins(random_records(5), edges=edges)
    with pytest.raises(TypeError, match="edges must be numbers"):
        gap_bins(random_records(5), edges=["low", "high"])
