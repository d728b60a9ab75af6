"""When two runs are the same: ids and labels exactly, probabilities within 1e-5, answers except at closer ties."""

import json

import numpy as np
import pandas as pd

from maskcorrect_plugin import RunFolder
from maskcorrect_plugin.evaluation.records.maps import unpack_maps

CLOSE = 1e-5
HALF = 2**-11
"""What half precision makes of a difference below `CLOSE`: one unit of the last digit, for values up to 1."""
PROBABILITIES = ("probs_before", "probs_after", "label_prob_before", "label_prob_after", "gap12", "gap15", "weights")
EXACT = ("index", "id", "label", "failure", "num_candidates", "corrected", "flat", "forwards", "saved")


def files_of(folder):
    """Names of all files of a run, hidden ones included."""
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def assert_equal_runs(path, reference):
    """The two runs are the same, and whole: nothing missing, nothing twice, no temporary files."""
    assert files_of(path) == files_of(reference)
    one, other = RunFolder.open(path), RunFolder.open(reference)
    assert one.complete and one.manifest.identity == other.manifest.identity
    for method in other.methods:
        assert_equal_records(one.records(method), other.records(method))
        if one.manifest.identity["records"]["keep_maps"]:
            assert_equal_maps(one.maps(method), other.maps(method))
        if one.manifest.identity["records"]["thumbnails"]:
            kept, expected = one.thumbnails(method), other.thumbnails(method)
            assert kept[["id", "kind"]].equals(expected[["id", "kind"]])
    summaries = [json.loads((each / "summary.json").read_text()) for each in (path, reference)]
    counts = [{name: each["images"] for name, each in summary["methods"].items()} for summary in summaries]
    assert counts[0] == counts[1] and summaries[0]["run"] == summaries[1]["run"]


def assert_equal_records(records, expected):
    assert records["index"].tolist() == list(range(len(expected)))
    for name in EXACT:
        assert all(map(_same, records[name], expected[name])), name
    for name in PROBABILITIES:
        assert _difference(records[name], expected[name]) <= CLOSE, name
    for name in ("probs", "view_probs"):
        assert _difference(records[name], expected[name]) <= HALF, name
    ties = expected["probs_after"].map(lambda probs: np.nan if probs is None else probs[0] - probs[1]) < 2 * CLOSE
    for name in ("classes_before", "classes_after"):
        answers = [[None if row is None else row[0] for row in table[name]] for table in (records, expected)]
        assert all(one == two or tie for one, two, tie in zip(*answers, ties, strict=True)), name


def assert_equal_maps(maps, expected):
    assert maps["id"].tolist() == expected["id"].tolist()
    for (_, one), (_, other) in zip(maps.iterrows(), expected.iterrows(), strict=True):
        a, b = unpack_maps(one), unpack_maps(other)
        assert a.shape == b.shape and float((a - b).abs().max()) <= 1e-3 * float(b.abs().max())


def _same(one, other):
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return (pd.isna(one) and pd.isna(other)) or one == other


def _difference(one, other):
    """The largest difference of two columns of numbers or lists, where nulls must stand in the same places."""
    assert one.isna().tolist() == other.isna().tolist()
    columns = ([np.asarray(value, np.float64) for value in column.dropna()] for column in (one, other))
    pairs = list(zip(*columns, strict=True))
    assert all(a.shape == b.shape for a, b in pairs)
    return max((float(np.abs(a - b).max()) for a, b in pairs if a.size), default=0.0)
