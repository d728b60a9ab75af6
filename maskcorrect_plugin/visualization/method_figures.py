"""Several methods side by side: the accuracy before and after by each, and how many answers each fixed and broke."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.summary import GroupSummary
from maskcorrect_plugin.evaluation.text import p_text

from .charts import (
    TITLE,
    bar_style,
    chart_axes,
    check_width,
    draw_legend,
    draw_title,
    figure_of,
    legend_height,
    percent_axis,
    plain_frame,
    signed,
    size_of,
)
from .palette import COLORS, FRAME, INK, NORMAL, PAGE_WIDTH, SMALL, styled, text_width, wrap

PITCH = 0.36
"""Inches from method to method."""
NAMES = 2.2
"""Inches that the name of a method may take; longer ones are broken into two lines."""
NAMES_SHARE = 0.31
"""Of the figure's width, at most so much."""
TICK = 0.6
"""Inches from tick to tick, at least."""
MARKERS = {"before": "s", "after": "o"}
OFFSET = 0.15
"""Of the marks before and after from the middle of their row, in rows."""


def draw_accuracies(
    groups: Mapping[str, GroupSummary],
    *,
    title: str | None = None,
    axes: Axes | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The accuracy before and after correction by each method, with Wilson's 95 % intervals.

    Args:
        groups: By the method's name, from top to bottom: ``summary.overall`` or ``summary.subset`` of each.
        title: Above everything.
        axes: Draw here instead of in a new figure. Names stand at the left of the axes, numbers at the right.
        width: Of a new figure, in inches.

    Raises:
        ValueError: there is no method.
    """
    numbers = {name: _accuracy_text(group.outcome) for name, group in groups.items()}
    with styled():
        legend = {"before": "before", "after": "after correction"}
        axes = _method_axes(numbers, axes, title, width, legend.values(), below=0.4)
        for row, group in enumerate(groups.values()):
            if group.outcome.total:
                _draw_accuracy(axes, row, group)
        axes.set_xlabel("accuracy, with 95 % interval", size=NORMAL)
        axes.margins(x=0.06)
        percent_axis(axes, "x", max(2, min(6, int(size_of(axes)[0] / TICK))))
        draw_legend(axes, {text: Line2D([], [], **_mark(side)) for side, text in legend.items()})
    return figure_of(axes)


def _accuracy_text(table: PairedOutcome) -> str:
    if not table.total:
        return "no labels"
    return f"{table.accuracy_before:.2%} → {table.accuracy_after:.2%}\nn = {table.total:,}"


def _draw_accuracy(axes: Axes, row: int, group: GroupSummary) -> None:
    sides = {
        "before": (group.outcome.accuracy_before, group.interval_before, row - OFFSET),
        "after": (group.outcome.accuracy_after, group.interval_after, row + OFFSET),
    }
    for side, (accuracy, interval, height) in sides.items():
        axes.plot([interval.low, accuracy, interval.high], [height] * 3, markevery=[1], **_mark(side))


def _mark(side: str) -> dict[str, Any]:
    return {"color": COLORS[side], "marker": MARKERS[side], "markersize": 4, "linewidth": 1.2}


def draw_fixed_broken(
    outcomes: Mapping[str, PairedOutcome],
    *,
    p_values: Mapping[str, float] | None = None,
    p_name: str = "p",
    title: str | None = None,
    axes: Axes | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """How many answers each method broke, to the left, and fixed, to the right.

    Args:
        outcomes: By the method's name, from top to bottom.
        p_values: Displayed at the right, for example adjusted by `evaluation.intervals.holm`; None takes the exact
            McNemar p of each outcome.
        p_name: What they are called, for example ``"Holm p"``.
        title: Above everything.
        axes: Draw here instead of in a new figure. Names stand at the left of the axes, numbers at the right.
        width: Of a new figure, in inches.

    Raises:
        ValueError: there is no method, or `p_values` names another one.
    """
    for name in p_values or {}:
        check_choice("p_values", name, tuple(outcomes))
    shown = {name: outcome.mcnemar_p for name, outcome in outcomes.items()} if p_values is None else p_values
    numbers = {name: f"net {signed(outcome.gain)} of {outcome.total:,}" for name, outcome in outcomes.items()}
    numbers |= {name: f"{numbers[name]}\n{p_name} {p_text(value, equals=True)}" for name, value in shown.items()}
    most = max((max(outcome.fixed, outcome.broken) for outcome in outcomes.values()), default=0)
    with styled():
        legend = {"broken": "broken: right, then wrong", "fixed": "fixed: wrong, then right"}
        axes = _method_axes(numbers, axes, title, width, legend.values(), below=0.1)
        room = text_width(f"{most:,}", SMALL) + 0.08
        reach = max(most, 1) / (1 - room / (size_of(axes)[0] / 2))
        axes.set(xlim=(-reach, reach), xticks=[])
        for row, outcome in enumerate(outcomes.values()):
            _draw_bars(axes, row, outcome)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.spines["bottom"].set_visible(False)
        draw_legend(axes, {text: Patch(**bar_style(kind)) for kind, text in legend.items()})
    return figure_of(axes)


def _draw_bars(axes: Axes, row: int, outcome: PairedOutcome) -> None:
    for kind, count, direction in (("broken", outcome.broken, -1), ("fixed", outcome.fixed, 1)):
        axes.barh(row, direction * count, 0.55, **bar_style(kind))
        place: dict[str, Any] = {"xytext": (3 * direction, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(
            f"{count:,}", (direction * count, row), ha="left" if direction > 0 else "right", size=SMALL, **place
        )


def _method_axes(
    numbers: Mapping[str, str],
    axes: Axes | None,
    title: str | None,
    width: float,
    legend: Collection[str],
    below: float,
) -> Axes:
    """Axes with a row for each method, the first at the top: its name at the left, its numbers at the right."""
    if not numbers:
        raise ArgumentError("there must be at least one method, got none")
    labels = [wrap(name, min(NAMES, NAMES_SHARE * check_width(width)), NORMAL) for name in numbers]
    if axes is None:
        left, right = _widest(labels, NORMAL) + 0.12, _widest(numbers.values(), SMALL + 0.5) + 0.2
        above = legend_height(legend, width - left - right) + (TITLE if title else 0)
        axes = chart_axes(width, PITCH * len(numbers), left=left, right=right, above=above, below=below)
    axes.set(ylim=(len(numbers) - 0.5, -0.5))
    axes.set_yticks(range(len(numbers)), labels, size=NORMAL, parse_math=False)
    plain_frame(axes, "top", "right", "left")
    axes.tick_params(axis="y", length=0)
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    for row, text in enumerate(numbers.values()):
        axes.annotate(text, (1, row), (8, 0), size=SMALL + 0.5, linespacing=1.25, parse_math=False, **place)
        if row:
            axes.axhline(row - 0.5, color=FRAME, linewidth=0.3, alpha=0.5)
    draw_title(axes, title, legend=legend)
    return axes


def _widest(texts: Iterable[str], size: float) -> float:
    return max(text_width(line, size) for text in texts for line in text.split("\n"))
