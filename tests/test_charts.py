"""Figures of whole runs: what they show, and that nothing overlaps or is cut off on extreme data."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from drawn import check_layout, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from records import empty_records, random_records

from maskcorrect_plugin.evaluation.gap_bins import gap_bins
from maskcorrect_plugin.evaluation.intervals import holm, wilson_interval
from maskcorrect_plugin.evaluation.paper import SUBSET_OUTCOME
from maskcorrect_plugin.evaluation.protocol import Histogram, paper_protocol
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subclasses import confused_classes
from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.visualization import (
    draw_accuracies,
    draw_confused_classes,
    draw_fixed_broken,
    draw_gap_bins,
    draw_gap_histograms,
    save_figure,
)
from maskcorrect_plugin.visualization.confusion_figure import neighbours_first
from maskcorrect_plugin.visualization.palette import COLORS

LONG = "American Staffordshire terrier of $\\alpha_1$ a-very-long_and_{unbroken}_name_that_never_ends_anywhere "
METHODS = ("ScoreCAM", "pytorch_grad_cam:GradCAMElementWise", "control:oracle_class (leaks the true class)", LONG)


def bars(figure, kind):
    """The bars in the colour of that kind, left to right or top to bottom."""
    return [bar for bar in figure.axes[0].patches if to_hex(bar.get_facecolor()) == COLORS[kind].lower()]


def bins_of(images, changed, fixed, broken, labelled=None):
    edges = np.linspace(0, 1, len(images) + 1)
    table = {"low": edges[:-1], "high": edges[1:], "images": images, "labelled": labelled or images}
    return pd.DataFrame({**table, "changed": changed, "fixed": fixed, "broken": broken})


def test_bars_of_the_gap_bins_are_shares_of_their_bin():
    figure = draw_gap_bins(bins_of([10, 40], [5, 4], [2, 1], [1, 2]))
    assert [bar.get_height() for bar in bars(figure, "fixed")] == pytest.approx([0.2, 0.025])
    assert [bar.get_height() for bar in bars(figure, "broken")] == pytest.approx([0.1, 0.05])
    changed = [bar.get_height() for bar in figure.axes[0].patches if to_hex(bar.get_facecolor()) == "#eeeeee"]
    assert changed == pytest.approx([0.5, 0.1])
    assert all(bar.get_hatch() for bar in bars(figure, "broken"))
    assert {"10", "40", "gap p1 − p5"} <= set(texts(figure))


def test_gap_bins_without_change_or_labels_say_so():
    assert "no answer was changed" in texts(draw_gap_bins(bins_of([3, 4], [0, 0], [0, 0], [0, 0])))
    unlabelled = draw_gap_bins(gap_bins(random_records(60, unlabelled=60)))
    assert texts(unlabelled).count("–") == 20  # fixed and broken of each bin


@pytest.mark.parametrize(
    "bins",
    [
        bins_of([5], [1], [1], [0]),
        bins_of([123_456] * 10, [99_999] * 10, [12_345] * 10, [12_345] * 10),
        bins_of([50_000] * 20, [9_000] * 20, [10] * 20, [0] * 20),
        gap_bins(empty_records()),
    ],
)
def test_gap_bins_fit(bins):
    check_layout(draw_gap_bins(bins, title="MobileNetV2 on the photos"))


def test_gap_bins_must_be_a_table_of_bins():
    with pytest.raises(ValueError, match="bins must be what gap_bins gives; changed, fixed, broken is missing"):
        draw_gap_bins(bins_of([1], [1], [1], [0])[["low", "high", "images", "labelled"]])
    with pytest.raises(ValueError, match="every row is missing"):
        draw_gap_bins(bins_of([1], [1], [1], [0]).iloc[:0])


def test_histograms_stand_beside_the_papers_counts():
    report = paper_protocol(random_records(200))
    figure = draw_gap_histograms(report)
    for axes, histogram in zip(figure.axes, (report.right_gaps, report.wrong_gaps), strict=True):
        assert tuple(bar.get_height() for bar in axes.patches) == histogram.counts
        inside = [to_hex(bar.get_facecolor()) == COLORS["before"].lower() for bar in axes.patches]
        assert inside == [True] * 5 + [False] * 5
    assert "the paper: 7,272 of 35,796 (20.3%) at or below 0.5" in texts(figure)
    assert "the paper: 10,112 of 14,204 (71.2%) at or below 0.5" in texts(figure)
    within = report.wrong_gaps.within
    assert f"this run: {within} of {report.wrong} ({within / report.wrong:.1%}) at or below 0.5" in texts(figure)


def test_another_bound_does_not_stand_beside_the_papers():
    figure = draw_gap_histograms(paper_protocol(random_records(50), bound=0.25))
    assert not any("paper" in text for text in texts(figure))
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]  # the bound lies within a bin: a line shows it


@pytest.mark.parametrize("count", [0, 1, 300])
def test_histograms_fit(count):
    report = paper_protocol(random_records(count) if count else empty_records())
    check_layout(draw_gap_histograms(report))
    full = Histogram(report.right_gaps.edges, (50_000,) * 10, 0.5, 250_000, 500_000)
    check_layout(draw_gap_histograms(dataclasses.replace(report, right_gaps=full), title="VGG16 on ImageNet"))


def test_accuracies_stand_where_they_are_with_their_intervals():
    summary = summarise(random_records(100))
    figure = draw_accuracies({"CAM": summary.overall, "unlabelled": summarise(random_records(9, unlabelled=9)).overall})
    before, after = figure.axes[0].lines[1:]  # the first line separates the rows
    for line, share, interval in (
        (before, summary.overall.outcome.accuracy_before, summary.overall.interval_before),
        (after, summary.overall.outcome.accuracy_after, summary.overall.interval_after),
    ):
        assert list(line.get_xdata()) == [interval.low, share, interval.high]
    assert before.get_marker() != after.get_marker()
    assert "no labels" in texts(figure)


def test_fixed_and_broken_bars_are_as_long_as_their_counts():
    figure = draw_fixed_broken({"the paper": SUBSET_OUTCOME, "harm": PairedOutcome(5, 0, 3, 1)})
    assert [bar.get_width() for bar in bars(figure, "fixed")] == [538, 0]
    assert [bar.get_width() for bar in bars(figure, "broken")] == [-464, -3]
    assert "net +74 of 12,491\np = 0.021" in texts(figure) and "net −3 of 9\np = 0.250" in texts(figure)
    adjusted = draw_fixed_broken({"a": SUBSET_OUTCOME}, p_values=holm({"a": 0.02}), p_name="Holm p")
    assert "net +74 of 12,491\nHolm p = 0.020" in texts(adjusted)


@pytest.mark.parametrize(
    ("methods", "outcome"),
    [
        (METHODS[:1], PairedOutcome(5, 0, 0, 5)),
        (METHODS, SUBSET_OUTCOME),
        (METHODS, PairedOutcome(0, 49_999, 1, 0)),
        (METHODS[:3] * 4, SUBSET_OUTCOME),
    ],
)
def test_methods_fit(methods, outcome):
    names = [f"{name} {row}" for row, name in enumerate(methods)]
    group = dataclasses.replace(
        summarise(random_records(20)).overall,
        outcome=outcome,
        interval_before=wilson_interval(outcome.right_before, outcome.total),
        interval_after=wilson_interval(outcome.right_after, outcome.total),
    )
    check_layout(draw_accuracies(dict.fromkeys(names, group), title="ResNet-20 on CIFAR-10"))
    check_layout(draw_fixed_broken(dict.fromkeys(names, outcome)))


def test_methods_are_checked():
    with pytest.raises(ValueError, match="at least one method"):
        draw_accuracies({})
    with pytest.raises(ValueError, match="p_values must be one of 'CAM'; got 'cam'"):
        draw_fixed_broken({"CAM": SUBSET_OUTCOME}, p_values={"cam": 0.1})


def edges_of(*rows):
    return pd.DataFrame(rows, columns=["first_index", "second_index", "images", "confused", "fixed", "broken"])


def lines(figure):
    """Width and colour of each stroke."""
    patches = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    return [(patch.get_linewidth(), to_hex(patch.get_edgecolor()).upper()) for patch in patches]


def test_lines_are_as_wide_as_their_images_and_coloured_by_what_correction_did():
    figure = draw_confused_classes(edges_of((0, 1, 40, 9, 5, 2), (1, 2, 20, 9, 1, 4), (3, 4, 10, 9, 2, 2)))
    (fixed, fixed_ink), (broken, broken_ink), (hollow, white), (even, even_ink) = lines(figure)
    assert (fixed_ink, broken_ink, white) == (COLORS["fixed"], COLORS["broken"], "#FFFFFF")
    assert hollow < broken == fixed / 2 == even * 2
    assert even_ink not in COLORS.values()
    assert {"40", "20", "10", "class 0", "class 4"} <= set(texts(figure))


def test_the_strongest_pairs_are_drawn_and_what_is_left_out_is_counted():
    edges = edges_of((0, 1, 9, 0, 0, 0), (2, 3, 8, 0, 0, 0), (0, 2, 7, 0, 0, 0), (1, 3, 6, 0, 0, 0))
    assert len(lines(draw_confused_classes(edges, max_edges=2))) == 2
    few = draw_confused_classes(edges, max_classes=3)  # 2-3 would bring in a fourth class, 0-2 does not
    assert {"class 0", "class 1", "class 2"} <= set(texts(few)) and "class 3" not in texts(few)
    assert any("9 at the thickest; the strongest 2 of 4 pairs" in text for text in texts(few))


def test_names_come_from_the_table_or_from_the_caller():
    edges = confused_classes(random_records(50), class_names=list("abcdefg"))
    assert {"a", "g"} <= set(texts(draw_confused_classes(edges)))
    assert "first" in texts(draw_confused_classes(edges, class_names=["first", *"bcdefg"]))


def test_linked_classes_are_neighbours():
    assert neighbours_first({}) == []
    order = neighbours_first({(0, 5): 1, (1, 4): 1, (2, 3): 1})
    assert [{*order[at : at + 2]} for at in (0, 2, 4)] == [{0, 5}, {1, 4}, {2, 3}]


@pytest.mark.parametrize(("classes", "name"), [(2, LONG), (3, "cat"), (16, "cat"), (30, LONG[:40]), (60, "cat")])
def test_the_graph_fits(classes, name):
    pairs = [(one, one + 1, 50_000 - one, 9, one % 3, 1) for one in range(classes - 1)]
    figure = draw_confused_classes(edges_of(*pairs), class_names=[f"{row} {name}" for row in range(classes)], title="A")
    check_layout(figure)


def test_a_graph_without_edges_says_so():
    figure = draw_confused_classes(edges_of())
    assert "no image has two classes within the margin" in texts(figure)
    check_layout(figure)
    with pytest.raises(ValueError, match="second_index, images, fixed, broken is missing"):
        draw_confused_classes(pd.DataFrame({"first_index": [1]}))


def single_axes_figures():
    summary = summarise(random_records(30))
    return {
        "gap bins": lambda axes: draw_gap_bins(gap_bins(random_records(30)), axes=axes),
        "accuracies": lambda axes: draw_accuracies({"CAM": summary.overall}, axes=axes),
        "fixed and broken": lambda axes: draw_fixed_broken({"CAM": SUBSET_OUTCOME}, axes=axes),
        "graph": lambda axes: draw_confused_classes(edges_of((0, 1, 3, 1, 1, 0)), axes=axes),
    }


@pytest.mark.parametrize("name", single_axes_figures())
def test_the_callers_axes_are_drawn_into(name, tmp_path):
    draw = single_axes_figures()[name]
    figure = Figure(figsize=(10, 4))
    one, other = figure.subplots(1, 2)
    assert draw(other) is figure
    assert (other.patches or other.lines) and not one.patches and not one.lines
    assert save_figure(figure, tmp_path / "figure.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="must belong to a matplotlib Figure"):
        draw(figure.subfigures(1, 1).subplots())


def figures_of_any_width():
    records = random_records(300)
    group = summarise(records).overall
    names = [*METHODS, "control:hflip"]
    pairs = [(one, one + 1, 50_000 - one, 9, one % 3, 1) for one in range(20)]
    classes = [f"{row} {LONG}" for row in range(21)]
    return {
        "gap bins": lambda **options: draw_gap_bins(gap_bins(records), **options),
        "histograms": lambda **options: draw_gap_histograms(paper_protocol(records), **options),
        "accuracies": lambda **options: draw_accuracies(dict.fromkeys(names, group), **options),
        "fixed and broken": lambda **options: draw_fixed_broken(dict.fromkeys(names, SUBSET_OUTCOME), **options),
        "graph": lambda **options: draw_confused_classes(edges_of(*pairs), class_names=classes, **options),
    }


@pytest.mark.parametrize("name", figures_of_any_width())
def test_one_column_of_a_paper_or_a_phone_is_wide_enough(name):
    draw = figures_of_any_width()[name]
    for width, title in ((3.5, "A title"), (5.0, None), (10.0, "A title")):
        figure = draw(width=width, title=title)
        assert figure.get_size_inches()[0] == width
        check_layout(figure)
    with pytest.raises(ValueError, match=r"width must lie in \[3, 20\], got 2"):
        draw(width=2)


def test_narrow_histograms_stand_one_below_the_other():
    report = paper_protocol(random_records(50))
    wide, narrow = ([axes.get_position() for axes in draw_gap_histograms(report, width=w).axes] for w in (7.2, 3.5))
    assert wide[0].y0 == wide[1].y0 and wide[0].x1 < wide[1].x0
    assert narrow[0].x0 == narrow[1].x0 and narrow[1].y1 < narrow[0].y0
