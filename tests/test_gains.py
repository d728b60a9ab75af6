import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.gains import class_gains, pair_gains
from maskcorrect_plugin.evaluation.statistics import PairedOutcome

NAMES = ("cat", "dog", "ibex")
ONE_HOT = {"cat": [0.6, 0.3, 0.1], "dog": [0.3, 0.6, 0.1], "ibex": [0.1, 0.3, 0.6]}


def run(*rows):
    """Records of images given as (true class, answer before, answer after)."""
    labels = [None if label is None else NAMES.index(label) for label, _, _ in rows]
    return records_of([ONE_HOT[before] for _, before, _ in rows], [ONE_HOT[after] for _, _, after in rows], labels)


RUN = run(
    ("cat", "dog", "cat"),
    ("cat", "dog", "dog"),
    ("cat", "dog", "ibex"),
    ("cat", "cat", "dog"),
    ("cat", "cat", "cat"),
    ("dog", "ibex", "dog"),
    ("dog", "dog", "dog"),
    ("ibex", "ibex", "cat"),
    (None, "cat", "dog"),
)


def test_class_gains_by_hand():
    expected = [
        # class, images, right before, right after, fixed, broken, gain
        (1, "dog", 2, 1, 2, 1, 0, 1),
        (0, "cat", 5, 2, 2, 1, 1, 0),
        (2, "ibex", 1, 1, 0, 0, 1, -1),
    ]
    table = class_gains(RUN, NAMES)
    assert list(table.itertuples(index=False, name=None)) == expected
    columns = ["class_index", "class_name", "images", "right_before", "right_after", "fixed", "broken", "gain"]
    assert list(table.columns) == columns


def test_pair_gains_by_hand():
    expected = [
        # true, answered, before, after, fixed, broken, gain
        (1, "dog", 2, "ibex", 1, 0, 1, 0, 1),
        (0, "cat", 1, "dog", 3, 2, 1, 1, 0),
        (0, "cat", 2, "ibex", 0, 1, 0, 0, 0),
        (2, "ibex", 0, "cat", 0, 1, 0, 1, -1),
    ]
    assert list(pair_gains(RUN, NAMES).itertuples(index=False, name=None)) == expected
    assert list(pair_gains(RUN).columns) == ["true_index", "answer_index", "before", "after", "fixed", "broken", "gain"]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), classes=st.integers(1, 8), unlabelled=st.integers(0, 5))
def test_both_tables_add_up_to_the_outcome(seed, classes, unlabelled):
    records = fail(random_records(40, classes, seed, unlabelled), [11, 12])
    outcome = PairedOutcome.from_records(records)
    by_class, by_pair = class_gains(records), pair_gains(records)
    assert by_class["images"].sum() == outcome.total
    assert by_class["right_before"].sum() == outcome.right_before
    assert by_class["right_after"].sum() == outcome.right_after
    assert by_pair["before"].sum() == outcome.total - outcome.right_before
    assert by_pair["after"].sum() == outcome.total - outcome.right_after
    for table in (by_class, by_pair):
        assert (table["fixed"].sum(), table["broken"].sum()) == (outcome.fixed, outcome.broken)
        assert table["gain"].sum() == outcome.gain and table["gain"].is_monotonic_decreasing
    assert not (by_pair["true_index"] == by_pair["answer_index"]).any()


@pytest.mark.parametrize(
    "records", [empty_records(), random_records(5, unlabelled=5), fail(random_records(3), range(3))]
)
@pytest.mark.parametrize("table", [class_gains, pair_gains])
def test_without_labels_the_tables_are_empty(records, table):
    assert len(table(records)) == 0
    assert list(table(records).columns) == list(table(random_records()).columns)
    assert pd.api.types.is_integer_dtype(table(records)["gain"])


def test_too_few_names_are_refused():
    with pytest.raises(ValueError, match="class_names must hold one name for each class, at least 3; got 2"):
        class_gains(RUN, NAMES[:2])
