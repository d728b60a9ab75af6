from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.subclasses import confused_classes, subclasses


def test_classes_within_the_margin_by_hand():
    """0.25 below the first answer is still within a margin of 0.25."""
    before = [[0.25, 0.5, 0.25], [0.125, 0.125, 0.75], [0.5, 0.375, 0.125]]
    after = [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]]
    table = subclasses(fail(records_of(before, after, [1, None, 0]), [2]), margin=0.25)
    assert table["classes"].tolist() == [[1, 0, 2], [2]]
    assert table["probs"].tolist() == [[0.5, 0.25, 0.25], [0.75]]
    assert table["size"].tolist() == [3, 1] and table["answer_after"].tolist() == [2, 2]
    assert table["id"].tolist() == ["folder/0.png", "folder/1.png"]
    assert table["label"].isna().tolist() == [False, True]


def test_edges_by_hand():
    close = {"ab": [0.5, 0.45, 0.05], "ba": [0.45, 0.5, 0.05], "c": [0.1, 0.1, 0.8], "a": [0.9, 0.05, 0.05]}
    rows = [
        # before, after, true class
        ("ab", "ba", 1),  # a for b: fixed
        ("ab", "ab", 1),  # a for b: stays
        ("ab", "ba", 0),  # right: broken
        ("ba", "c", 1),  # right, then a third class: not broken as the other
        ("ba", "ab", 2),  # neither of the two
        ("ab", "ba", None),  # unknown
        ("a", "ba", 1),  # b is not within the margin
    ]
    records = records_of([close[row[0]] for row in rows], [close[row[1]] for row in rows], [row[2] for row in rows])
    table = confused_classes(records, 0.2, ["alpha", "beta", "gamma"])
    assert list(table.columns) == [
        *("first_index", "first_name", "second_index", "second_name"),
        *("images", "confused", "fixed", "broken"),
    ]
    assert list(table.itertuples(index=False, name=None)) == [(0, "alpha", 1, "beta", 6, 2, 1, 1)]


def edges_one_by_one(records, margin):
    counts = {}
    for row in records[records["failure"].isna()].itertuples():
        probs = np.asarray(row.probs_before, np.float32)
        near = [
            int(one)
            for one, prob in zip(row.classes_before, probs, strict=True)
            if probs[0] - prob <= np.float32(margin)
        ]
        before, after = int(row.classes_before[0]), int(row.classes_after[0])
        for pair in combinations(sorted(near), 2):
            count = counts.setdefault(pair, [0, 0, 0, 0])
            count[0] += 1
            if row.label in pair:
                other = pair[0] if pair[1] == row.label else pair[1]
                count[1] += before == other
                count[2] += before == other and after == row.label
                count[3] += before == row.label and after == other
    return counts


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), margin=st.sampled_from([0.0, 0.1, 0.3, 1.0]), top_k=st.integers(1, 7))
def test_edges_against_counting_image_by_image(seed, margin, top_k):
    records = fail(random_records(40, 7, seed, top_k=top_k), [3])
    records["label"] = records["label"].fillna(-1)
    table = confused_classes(records, margin)
    found = {tuple(row[:2]): list(row[2:]) for row in table.itertuples(index=False, name=None)}
    assert found == edges_one_by_one(records, margin)
    assert table["images"].is_monotonic_decreasing
    assert (table["fixed"] <= table["confused"]).all() and (table["confused"] <= table["images"]).all()
    sizes = subclasses(records, margin)["size"]
    assert table["images"].sum() == (sizes * (sizes - 1) // 2).sum()


def test_the_whole_margin_holds_every_stored_class():
    assert subclasses(random_records(9, classes=4), margin=1)["size"].tolist() == [4] * 9


@pytest.mark.parametrize("records", [empty_records(), fail(random_records(3), range(3)), random_records(4, classes=1)])
def test_nothing_to_confuse(records):
    assert len(confused_classes(records)) == 0
    assert list(confused_classes(records).columns) == list(confused_classes(random_records()).columns)
    assert (subclasses(records)["size"] == 1).all()


def test_a_graph_is_one_line_away():
    networkx = pytest.importorskip("networkx")
    table = confused_classes(random_records(30))
    graph = networkx.from_pandas_edgelist(table, "first_index", "second_index", True)
    first = table.iloc[0]
    assert graph.edges[first["first_index"], first["second_index"]]["images"] == first["images"]


@pytest.mark.parametrize("margin", [-0.1, 1.1, float("nan"), "near"])
def test_other_margins_are_refused(margin):
    with pytest.raises((ValueError, TypeError), match="margin"):
        confused_classes(random_records(3), margin)
