"""Records: every column against the definition in plain NumPy, and the files as pandas and DuckDB see them."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import images, make_tiny_net
from lively import CLASSES as LIVELY_CLASSES
from lively import COUNT, run_lively

from maskcorrect_plugin import ProbabilityCorrector
from maskcorrect_plugin.evaluation.records.columns import records_schema
from maskcorrect_plugin.evaluation.records.rows import rows_of
from maskcorrect_plugin.results import CorrectionResult

CLASSES, TOP_K, IMAGES, MAX_GAP = 12, 3, 40, 0.15
LABELS = [None if index % 7 == 0 else (5 * index) % CLASSES for index in range(IMAGES)]


@pytest.fixture(scope="module")
def result():
    """A correction of which some images were passed unchanged, and some answers changed."""
    net = make_tiny_net(num_classes=CLASSES)
    corrector = ProbabilityCorrector(net, "CAM", "act", top_k=TOP_K, max_gap=MAX_GAP)
    result = corrector.correct(images(IMAGES), keep=("view_probs",))
    assert 0 < result.corrected.sum() < IMAGES and result.changed.any()
    return result


def float64(tensor):
    return tensor.double().numpy()


def expected_row(result, index, label):
    """The columns of one image from the tensors of a result, one number at a time."""
    row = {}
    for side, all_probs in (("before", result.probs), ("after", result.corrected_probs)):
        probs = float64(all_probs)[index]
        ranked = sorted(range(len(probs)), key=lambda m: (-probs[m], m))
        row[f"classes_{side}"] = ranked[: max(5, result.candidates.shape[1])]
        row[f"probs_{side}"] = [probs[m] for m in row[f"classes_{side}"]]
        if label is not None:
            row[f"label_prob_{side}"] = probs[label]
            row[f"label_rank_{side}"] = ranked.index(label) + 1
            row[f"brier_{side}"] = sum((probs[m] - (m == label)) ** 2 for m in range(len(probs)))
    row["gap12"] = row["probs_before"][0] - row["probs_before"][1]
    row["gap15"] = row["probs_before"][0] - row["probs_before"][4]
    row["num_candidates"] = result.candidates.shape[1]
    row["corrected"] = row["gap15"] < MAX_GAP
    row["changed"] = row["classes_before"][0] != row["classes_after"][0]
    row["flat"] = [bool(value) for value in result.flat[index]]
    row["forwards"] = int(result.forwards[index])
    row["saved"] = int(result.saved[index])
    row["seconds"] = float(result.seconds[index])
    row["weights"] = [float(result.probs[index, c]) if row["corrected"] else 0.0 for c in row["classes_before"][:TOP_K]]
    row["probs"] = float64(result.probs)[index]
    row["view_probs"] = float64(result.view_probs)[index].reshape(-1)
    return row


def test_every_column_is_what_the_definition_says(result):
    rows = rows_of(result, LABELS, "float32")
    for index, (row, label) in enumerate(zip(rows, LABELS, strict=True)):
        expected = expected_row(result, index, label)
        assert row.keys() == expected.keys()
        for name, value in expected.items():
            exact = isinstance(value, bool | int) or name.startswith("classes") or name == "flat"
            if exact:
                assert np.array_equal(row[name], value), (index, name)
            else:
                np.testing.assert_allclose(row[name], value, rtol=0, atol=2e-7, err_msg=f"{index} {name}")


def test_all_columns_but_those_of_the_data_set_are_filled(result):
    labelled = rows_of(result, [0] * IMAGES)[0]
    assert {"index", "id", "label", "failure", *labelled} == set(records_schema().names)


def test_half_precision_and_top_keep_what_they_say(result):
    half, single, top = (rows_of(result, LABELS, kind) for kind in ("float16", "float32", "top"))
    for small, exact, without in zip(half, single, top, strict=True):
        assert small["probs"].dtype == small["view_probs"].dtype == np.float16
        assert exact["probs"].dtype == exact["view_probs"].dtype == np.float32
        np.testing.assert_allclose(small["view_probs"], exact["view_probs"], atol=2**-12)
        assert without.keys() == exact.keys() - {"probs", "view_probs"}


def tied(before, after):
    """A result with these distributions and nothing else of interest."""
    before, after = torch.tensor([before]), torch.tensor([after])
    count, nothing = torch.ones(1, dtype=torch.int64), torch.zeros(1, 2, dtype=torch.bool)
    return CorrectionResult(
        before, before.topk(2).indices, after - before, after, count.float(), nothing[:, 0], nothing[:, 0], nothing,
        torch.zeros(1, 2), count, count - 1, count.double(),
    )  # fmt: skip


def test_among_equals_the_lower_class_ranks_first_everywhere():
    (row,) = rows_of(tied([0.3, 0.4, 0.3], [0.4, 0.2, 0.4]), [2], "top")
    assert row["classes_before"].tolist() == [1, 0, 2] and row["classes_after"].tolist() == [0, 2, 1]
    assert (row["label_rank_before"], row["label_rank_after"]) == (3, 2)
    assert row["changed"]


def test_fewer_than_five_classes_keep_all_of_them():
    (row,) = rows_of(tied([0.7, 0.3], [0.4, 0.6]), [0], "float16")
    assert row["classes_before"].tolist() == [0, 1] and row["classes_after"].tolist() == [1, 0]
    assert row["gap12"] == pytest.approx(0.4)


def recomputed(record):
    """The corrected distribution from a record alone, as the documents say."""
    probs, weights = record["probs"].astype(np.float64), record["weights"].astype(np.float64)
    masked = record["view_probs"].astype(np.float64).reshape(len(weights), len(probs))
    return (probs + weights @ masked) / (1 + weights.sum())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records") / "run"
    return folder, run_lively(folder, ("CAM", "ScoreCAM", "control:hflip"), thumbnails=5)[2]


def test_answers_can_be_recomputed_from_half_precision(run):
    agreed = 0
    for records in run[1].values():
        for _, record in records.iterrows():
            corrected = recomputed(record)
            np.testing.assert_allclose(corrected[record["classes_after"]], record["probs_after"], atol=1e-3)
            margin = record["probs_after"][0] - record["probs_after"][1]
            agrees = corrected.argmax() == record["classes_after"][0]
            assert agrees or margin < 1e-3
            agreed += agrees
    assert agreed >= 0.98 * 3 * COUNT
    assert all(records["changed"].sum() > 2 for records in run[1].values())


def test_records_read_back_have_nullable_columns_and_the_order_of_the_data_set(run):
    records = run[1]["CAM"]
    assert records["index"].tolist() == list(range(COUNT))
    assert records["id"].tolist() == [str(index) for index in range(COUNT)]
    assert records.dtypes[["label", "forwards", "changed"]].astype(str).tolist() == ["Int32", "Int32", "boolean"]
    assert (records["seconds"] > 0).all() and records["failure"].isna().all()


def test_pandas_opens_records_with_one_line(run):
    folder, records = run
    for method, name in (("CAM", "CAM"), ("control:hflip", "control.hflip")):
        opened = pd.read_parquet(f"{folder}/records/{name}")
        assert opened["id"].tolist() == records[method]["id"].tolist()
        assert [row.dtype for row in opened["view_probs"][:2]] == [np.float16] * 2
        assert (opened["label_rank_after"] == 1).mean() == (records[method]["label_rank_after"] == 1).mean()


def test_duckdb_opens_records_with_one_line(run):
    duckdb = pytest.importorskip("duckdb")
    folder, records = run
    columns = "count(*), avg((label_rank_after = 1)::int), min(len(view_probs))"
    count, accuracy, length = duckdb.sql(f"SELECT {columns} FROM '{folder}/records/CAM/*.parquet'").fetchall()[0]
    assert count == COUNT and length == 3 * LIVELY_CLASSES
    assert accuracy == pytest.approx((records["CAM"]["label_rank_after"] == 1).mean())
    first = duckdb.sql(f"SELECT probs FROM '{folder}/records/CAM/*.parquet' ORDER BY index LIMIT 1").fetchall()[0][0]
    np.testing.assert_allclose(first, records["CAM"]["probs"][0].astype(np.float64))


def test_a_temporary_file_beside_the_parts_disturbs_nobody(run):
    folder, _ = run
    leftover = folder / "records" / "CAM" / ".writing-elsewhere-1-0"
    leftover.write_bytes(b"half")
    try:
        assert len(pd.read_parquet(folder / "records" / "CAM")) == COUNT
        duckdb = pytest.importorskip("duckdb")
        assert duckdb.sql(f"SELECT count(*) FROM '{folder}/records/CAM/*.parquet'").fetchall() == [(COUNT,)]
    finally:
        leftover.unlink()
