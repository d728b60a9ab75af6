"""What notebooks show of figures, results and comparisons; all text from outside is escaped."""

import io
import re
from dataclasses import replace
from html import unescape

import pytest
from conftest import images, make_tiny_net
from PIL import Image
from records import fail, random_records
from small_run import run_small

from maskcorrect_plugin import ProbabilityCorrector, compare
from maskcorrect_plugin.comparison.text import comparison_text
from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.evaluation.text import summary_text
from maskcorrect_plugin.html_tables import html_table
from maskcorrect_plugin.results import ROWS_SHOWN
from maskcorrect_plugin.visualization import draw_correction


def corrected(count=3):
    corrector = ProbabilityCorrector(make_tiny_net(), "CAM", target_layer="act", top_k=3)
    return corrector.correct(images(count), keep=("attributions", "view_probs"))


def test_a_figure_gives_a_picture_without_pyplot():
    figure = corrected().show(images(3)[0].sigmoid())
    picture = Image.open(io.BytesIO(figure._repr_png_()))
    assert picture.format == "PNG" and picture.width > 300


def test_show_is_draw_correction():
    result, picture = corrected(), images(3)[1].sigmoid()
    names = ("tench", "red fox", "grey fox", "lynx", "ibex")
    shown = result.show(picture, 1, class_names=names, label=2)
    expected = draw_correction(picture, result, 1, class_names=names, label=2)
    assert shown._repr_png_() == expected._repr_png_()
    with pytest.raises(ValueError, match="must hold its attributions"):
        replace(result, attributions=None).show(picture)


def test_a_result_lists_the_answers_before_and_after():
    result = corrected(ROWS_SHOWN + 2)
    table = result._repr_html_()
    assert table.count("<tr>") == ROWS_SHOWN + 1
    assert "and 2 more images" in table
    assert f"{int(result.changed.sum())} of {len(result)} answers changed" in table
    answer = int(result.prediction[0])
    assert f"<td>class {answer} ({float(result.probs[0, answer]):.3f})</td>" in table


def test_texts_are_escaped():
    table = html_table(["<b>"], [["<script>"]], title="a & b", note='"c"')
    assert "<script>" not in table and "<b>" not in table
    for escaped in ("&lt;b&gt;", "&lt;script&gt;", "a &amp; b", "&quot;c&quot;"):
        assert f">{escaped}<" in table


def test_a_comparison_shows_the_same_numbers_as_its_text(tmp_path):
    run_small(tmp_path / "run", ("CAM", "control:oracle_class"))
    comparison = compare([tmp_path / "run"], baseline="CAM")
    table = comparison._repr_html_()
    lines = [line.split() for line in comparison_text(comparison).splitlines() if line.startswith("control:oracle")]
    assert len(lines) == 4  # a row and what it is against the baseline, over all images and over the subset
    for word in (word.strip("[],") for line in lines for word in line):
        assert word in table
    assert "control:oracle_class *" in table and "looks at the labels" in table
    groups = comparison.groups("subset")
    assert groups == {row.method: row.summary.subset for row in comparison.rows}
    with pytest.raises(ValueError, match="name must be one of"):
        comparison.groups("all")


def test_a_summary_shows_the_same_numbers_as_its_text():
    summary = summarise(fail(random_records(60), [3]))
    shown = summary._repr_html_()
    text = " ".join(summary_text(summary).split())
    for cell in re.findall(r"<t[dh]>([^<]+)</t[dh]>", shown):
        assert " ".join(unescape(cell).split()) in text
    assert "all images" in shown and "1 of 60 images failed" in shown
