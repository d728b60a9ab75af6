"""Speed against gain: what each method costs, and what it is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from scipy.optimize import isotonic_regression

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.summary import GroupSummary
from maskcorrect_plugin.recipe_words import LEAKS, MAP_SOURCE, METHOD, NO_MAP, kind_of

from .charts import (
    MINUS,
    TITLE,
    chart_axes,
    check_width,
    draw_legend,
    draw_title,
    figure_of,
    legend_height,
    plain_frame,
    size_of,
)
from .palette import COLORS, EDGE, FRAME, INK, MUTED, NORMAL, PAGE_WIDTH, SMALL, draw_note, styled, text_width, wrap

NAMES = 2.7
"""Inches that a method with its gain may take at the right of the axes."""
NAMES_SHARE = 0.43
"""Of the figure's width, at most so much."""
TICK = 0.2
"""Inches from one number below the axis to the next, at least."""
PITCH = 0.17
"""Inches from one name to the next, at least."""
SMALLEST = 2.6
"""Inches: height of the axes, at least."""
APART = 0.09
"""Inches between points that cost the same: they are moved aside, so that their intervals can be told apart."""
UNKNOWN = {"method": ""}
"""Settings of a recipe of which none are known."""
LEADER = 0.3
"""Inches from the axes to the names."""
MARKS: dict[str, dict[str, Any]] = {
    METHOD: {"marker": "o", "color": COLORS["after"]},
    MAP_SOURCE: {"marker": "s", "color": MUTED, "markerfacecolor": "white"},
    NO_MAP: {"marker": "^", "color": COLORS["before"], "markerfacecolor": "white"},
    LEAKS: {"marker": "X", "color": COLORS["broken"]},
}
"""How a point looks by the kind of its recipe; shapes differ, too, for grey print."""


def draw_cost_gain(
    groups: Mapping[str, GroupSummary],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """The forwards that each method spends on an image against the accuracy that it gains, with 95 % intervals.

    Args:
        groups: By the method's name: ``summary.overall`` or ``summary.subset`` of each, as `Comparison.groups` gives
            them. Those without a labelled image are left out.
        settings: Of each by the same name, as `Comparison.settings` gives them: they tell attribution methods, other
            maps and recipes without a map apart. What has none counts as an attribution method.
        title: Above everything.
        axes: Draw here instead of in a new figure. Names stand at the right of the axes.
        width: Of a new figure, in inches.

    Raises:
        ValueError: there is no method.
    """
    if not groups:
        raise ArgumentError("groups must hold at least one method, got none")
    known = {name: group for name, group in groups.items() if group.outcome.total and group.forwards_per_image > 0}
    room = min(NAMES, NAMES_SHARE * check_width(width)) - 0.45
    labels = [shorten(name, room) + f"  {_points(group)}" for name, group in known.items()]
    kinds = {name: kind_of((settings or {}).get(name, UNKNOWN)) for name in known}
    with styled():
        if axes is None:
            right = LEADER + max((text_width(label, NORMAL) for label in labels), default=0) + 0.1 + EDGE
            height = max(SMALLEST, len(labels) * PITCH)
            above = legend_height(_in_order(kinds), width - 0.5 - right) + (TITLE if title else 0)
            below = 0.52 if width >= PAGE_WIDTH else 0.66  # the note has two lines
            axes = chart_axes(width, height, left=0.5, right=right, above=above, below=below)
        plain_frame(axes, "top", "right")
        draw_title(axes, title, legend=_in_order(kinds))
        if known:
            _draw_points(axes, known, labels, kinds)
        else:
            axes.set(xticks=[], yticks=[])
            draw_note(axes, "no image has a label")
    return figure_of(axes)


def shorten(name: str, room: float) -> str:
    """The name of a method on one line. Where room is scarce, its library goes before the rest does.

    Args:
        name: For example ``"pytorch_grad_cam:LayerCAM"``, of whose kind there may be several.
        room: In inches.
    """
    method = name.partition(":")[2]
    return wrap(f"…{method}" if method and text_width(name, NORMAL) > room else name, room, NORMAL, 1)


def _in_order(kinds: Mapping[str, str]) -> list[str]:
    """The kinds that occur, each once."""
    return [kind for kind in MARKS if kind in kinds.values()]


def _points(group: GroupSummary) -> str:
    """The gain in percentage points, with its sign."""
    return f"{100 * group.outcome.difference:+.2f}".replace("-", MINUS)


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Places as near as possible to those wanted, at least `apart` from one another, from `low` to `high`.

    Where there is no room for that, they are closer.

    Args:
        wanted: In any order, which is kept.
        apart: Least distance.
        low: No place is below it,
        high: and none above it.

    Example:
        >>> spread([1.0, 1.0, 3.0], 0.5, 0.0, 5.0)
        [0.75, 1.25, 3.0]
    """
    count = len(wanted)
    apart = min(apart, (high - low) / max(1, count - 1))
    order = np.argsort(wanted, kind="stable")
    steps = apart * np.arange(count)
    # Without its step a place may equal its neighbour's, but not pass it: that is an isotonic regression.
    free = isotonic_regression(np.asarray(wanted, dtype=np.float64)[order] - steps).x
    places = np.empty(count)
    places[order] = np.clip(free, low, max(low, high - apart * (count - 1))) + steps
    return [float(place) for place in places]


def _draw_points(
    axes: Axes, groups: Mapping[str, GroupSummary], labels: Sequence[str], kinds: Mapping[str, str]
) -> None:
    costs = np.log10([group.forwards_per_image for group in groups.values()])
    lowest, highest = min(0.0, float(costs.min())), float(costs.max()) + 0.12
    width, height = size_of(axes)
    inch = max(highest - lowest, 0.5) / width
    places = spread(costs.tolist(), APART * inch, lowest + APART * inch, highest)
    axes.set_xscale("log")
    axes.set_xlim(10**lowest, 10 ** (lowest + width * inch))
    axes.axhline(0, color=INK, linewidth=0.8)
    for place, (name, group) in zip(places, groups.items(), strict=True):
        _draw_point(axes, 10**place, kinds[name], group)
    _label_axes(axes, groups)
    low, high = axes.get_ylim()
    gains = [100 * group.outcome.difference for group in groups.values()]
    heights = spread([(gain - low) / (high - low) * height for gain in gains], PITCH, 0, height)
    for place, gain, level, label in zip(places, gains, heights, labels, strict=True):
        _draw_name(axes, (10**place, gain), level / height, label)
    lines = {kind: Line2D([], [], linewidth=1.2, markersize=4.5, **MARKS[kind]) for kind in _in_order(kinds)}
    draw_legend(axes, lines)


def _draw_point(axes: Axes, place: float, kind: str, group: GroupSummary) -> None:
    interval, gain = group.interval_difference, 100 * group.outcome.difference
    levels = [100 * interval.low, gain, 100 * interval.high]
    style = {"markersize": 4.5, "linewidth": 1.2, "zorder": 3, "clip_on": False, **MARKS[kind]}
    axes.plot([place] * 3, levels, markevery=[1], **style)


def _draw_name(axes: Axes, point: tuple[float, float], level: float, label: str) -> None:
    """The name at the right, at that share of the axes' height, and a thin line to it."""
    width, _ = size_of(axes)
    end = (1 + LEADER / width, level)
    line = {"arrowstyle": "-", "color": FRAME, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
    axes.annotate("", point, end, textcoords="axes fraction", arrowprops=line, zorder=1)
    beside: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "center"}
    axes.annotate(label, end, (3, 0), size=NORMAL, parse_math=False, **beside)


def _label_axes(axes: Axes, groups: Mapping[str, GroupSummary]) -> None:
    low, high = axes.get_xlim()
    width, _ = size_of(axes)
    fine = np.log10(2) * width / np.log10(high / low) >= TICK  # 1 and 2 keep that far apart
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if fine else (1,), numticks=max(2, int(width / TICK))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", MINUS) if value else "0"))
    axes.set_xlabel("forwards per image (1: no correction)", size=NORMAL)
    axes.set_ylabel("accuracy gained, in points", size=NORMAL)
    totals = sorted({group.outcome.total for group in groups.values()})
    images = f"{totals[0]:,}" if len(totals) == 1 else f"{totals[0]:,} to {totals[-1]:,}"
    below: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    note = f"n = {images}; bars: 95 % intervals; points that cost the same are moved aside"
    room = figure_of(axes).get_figwidth() * (1 - axes.get_position().x0) - EDGE
    axes.annotate(wrap(note, room, SMALL), (0, 0), (0, -27), size=SMALL, color=MUTED, **below)
