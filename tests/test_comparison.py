"""Runs side by side: families, Holm's adjustment over what does not leak, a baseline paired by id."""

import math
import shutil

import pytest
from small_run import COUNT, run_small

from maskcorrect_plugin import compare
from maskcorrect_plugin.comparison.text import comparison_text
from maskcorrect_plugin.evaluation.intervals import holm
from maskcorrect_plugin.evaluation.statistics import PairedOutcome

METHODS = ("CAM", "ScoreCAM", "control:hflip", "control:oracle_class")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, run_small(folder, METHODS)[2]


def test_rows_hold_the_tables_of_the_records(run):
    folder, records = run
    rows = compare([folder]).rows
    assert [row.method for row in rows] == list(METHODS)
    for row in rows:
        assert row.summary.overall.outcome == PairedOutcome.from_records(records[row.method])
        assert row.summary.images == COUNT and row.seconds_per_image > 0
    assert [row.leaks for row in rows] == [False, False, False, True]


def test_p_values_are_adjusted_over_the_methods_that_do_not_leak(run):
    rows = compare([run[0]]).rows
    expected = holm({row.method: row.summary.overall.outcome.mcnemar_p for row in rows[:3]})
    assert {row.method: row.holm_overall for row in rows[:3]} == expected
    assert math.isnan(rows[3].holm_overall) and math.isnan(rows[3].holm_subset)


def test_a_baseline_is_paired_image_by_image(run):
    folder, records = run
    rows = compare([folder], baseline="control:hflip").rows
    assert rows[2].against is None
    base, cam = (records[name].set_index("id") for name in ("control:hflip", "CAM"))
    only_cam = sum((cam.label_rank_after == 1) & (base.label_rank_after != 1))
    only_base = sum((cam.label_rank_after != 1) & (base.label_rank_after == 1))
    assert (rows[0].against.only_second, rows[0].against.only_first) == (only_cam, only_base)
    inside = base.index[base.gap15 < 0.5]
    only_base = sum((cam.loc[inside].label_rank_after != 1) & (base.loc[inside].label_rank_after == 1))
    assert rows[0].against_subset.only_first == only_base
    with pytest.raises(ValueError, match="baseline must be a method of every model and data set, got 'none'"):
        compare([folder], baseline="none")


def test_what_a_baseline_says_is_in_the_table_and_in_the_text(run):
    comparison = compare([run[0]], baseline="control:hflip")
    table, against = comparison.to_frame().set_index(["method", "images"]), comparison.rows[0].against
    assert table.loc[("CAM", "overall"), "right_alone"] == against.only_second
    assert table.loc[("CAM", "overall"), "baseline_right_alone"] == against.only_first
    assert table.loc[("CAM", "overall"), "baseline_p"] == against.outcome.mcnemar_p
    assert table.loc["control:hflip", "baseline_p"].isna().all()
    assert "baseline" not in compare([run[0]]).to_frame()
    for text in (comparison_text(comparison), comparison._repr_html_()):
        assert (
            text.count("vs base:") == 1 and text.count(" alone is right on ") == 2 * 3
        )  # the baseline itself has none


def test_the_same_method_of_two_runs_is_told_apart_by_the_run(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "two")
    comparison = compare([run[0], tmp_path / "two"], baseline="CAM (one)")
    assert len(comparison.families()) == 1  # the same model and images
    assert {row.method for row in comparison.rows} >= {"CAM (one)", "CAM (two)"}
    twin = next(row for row in comparison.rows if row.method == "CAM (two)")
    assert twin.against.changed == 0


def test_other_images_make_another_family(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "other")
    manifest = tmp_path / "other" / "run.json"
    text = manifest.read_text()
    fingerprint = compare([run[0]]).rows[0].images_key[1]
    manifest.write_text(text.replace(fingerprint, "0" * 64))
    assert len(compare([run[0], tmp_path / "other"]).families()) == 2


def test_unfinished_and_missing_runs_are_refused(run, tmp_path):
    shutil.copytree(run[0], tmp_path / "half")
    (tmp_path / "half" / "records" / "CAM" / "part-00001.parquet").unlink()
    with pytest.raises(ValueError, match=r"must be finished, but .*half has 3 of 4 parts of 'CAM'"):
        compare([tmp_path / "half"])
    with pytest.raises(ValueError, match="no run of an evaluation"):
        compare([tmp_path])
    with pytest.raises(ValueError, match="at least one folder"):
        compare([])


def test_the_frame_has_one_row_for_each_method_and_group(run):
    frame = compare([run[0]]).to_frame()
    assert len(frame) == 2 * len(METHODS)
    row = frame[(frame.method == "CAM") & (frame.images == "overall")].iloc[0]
    assert row.accuracy_after - row.accuracy_before == pytest.approx(row.difference)
    assert row.n == COUNT and (row.fixed - row.broken) / COUNT == pytest.approx(row.difference)


def test_the_text_marks_what_leaks_and_fits_the_terminal(run):
    text = comparison_text(compare([run[0]], baseline="CAM"))
    assert max(map(len, text.splitlines())) <= 100
    assert "control:oracle_class *" in text and "looks at the labels" in text
    assert text.count("top-K") == 2
