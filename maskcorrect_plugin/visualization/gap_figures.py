"""Figures along the gap between classes: what correction changed, and how many images lie where."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation import paper
from maskcorrect_plugin.evaluation.protocol import Histogram, ProtocolReport
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET, Gap

from .charts import (
    MINUS,
    TITLE,
    bar_style,
    chart_axes,
    check_width,
    draw_legend,
    draw_title,
    figure_of,
    fitting_size,
    legend_height,
    percent_axis,
    plain_frame,
    size_of,
)
from .palette import COLORS, EDGE, FRAME, INK, MUTED, NORMAL, PAGE_WIDTH, SMALL, add_axes, add_text, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd

LEGEND = {"changed": "answer changed", "fixed": "fixed: wrong, then right", "broken": "broken: right, then wrong"}
"""What the bars of `draw_gap_bins` stand for."""
TABLE = ("images", "changed", "fixed", "broken")
"""Rows of numbers below the bars of `draw_gap_bins`."""
ROW = 0.14
"""Inches from one of them to the next."""
SIDE_BY_SIDE = 5.5
"""Inches: the narrowest figure with both histograms side by side."""


def draw_gap_bins(
    bins: "pd.DataFrame",
    *,
    definition: str = PAPER_SUBSET.definition,
    title: str | None = None,
    axes: Axes | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Which share of the answers correction changed, fixed and broke, bin by bin of the gap, with the counts below.

    Args:
        bins: What `evaluation.gap_bins.gap_bins` gives.
        definition: Of the gap that the bins are of.
        title: Above everything.
        axes: Draw here instead of in a new figure. The counts stand below the axes.
        width: Of a new figure, in inches.

    Raises:
        ValueError: there is no bin, or a column is missing.
    """
    missing = [name for name in ("low", "high", "labelled", *TABLE) if name not in bins.columns]
    if missing or not len(bins):
        raise ArgumentError(f"bins must be what gap_bins gives; {', '.join(missing) or 'every row'} is missing")
    gap = str(Gap(definition)).replace("-", MINUS)
    check_width(width)
    with styled():
        if axes is None:
            above = legend_height(LEGEND.values(), width - 0.62 - EDGE) + (TITLE if title else 0)
            axes = chart_axes(width, 2.0, left=0.62, above=above, below=0.42 + len(TABLE) * ROW)
        figure = figure_of(axes)
        _draw_shares(axes, bins)
        _draw_counts(axes, bins, gap)
        draw_title(axes, title, legend=LEGEND.values())
    return figure


def _draw_shares(axes: Axes, bins: "pd.DataFrame") -> None:
    places = np.arange(len(bins))
    changed = _share(bins["changed"], bins["images"])
    fixed, broken = (_share(bins[kind], bins["labelled"]) for kind in ("fixed", "broken"))
    outline: dict[str, Any] = {"facecolor": "#EEEEEE", "edgecolor": FRAME, "linewidth": 0.8}
    axes.bar(places[changed > 0], changed[changed > 0], 0.76, **outline)
    axes.bar(places - 0.17, fixed, 0.3, **bar_style("fixed"))
    axes.bar(places + 0.17, broken, 0.3, **bar_style("broken"))
    highest = max(changed.max(), fixed.max(), broken.max())
    axes.set(xlim=(-0.5, len(bins) - 0.5), ylim=(0, 1.08 * highest or 1))
    percent_axis(axes, "y", 5)
    axes.set_ylabel("share of the bin's images", size=NORMAL)
    plain_frame(axes, "top", "right")
    if not highest:
        middle: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, "no answer was changed", size=NORMAL, color=MUTED, **middle)
    draw_legend(
        axes,
        {
            LEGEND["changed"]: Patch(**outline),
            **{LEGEND[kind]: Patch(**bar_style(kind)) for kind in ("fixed", "broken")},
        },
    )


def _share(counts: "pd.Series[int]", of: "pd.Series[int]") -> NDArray[np.float64]:
    return np.asarray(counts / of.clip(lower=1), dtype=np.float64)


def _draw_counts(axes: Axes, bins: "pd.DataFrame", gap: str) -> None:
    """The edges of the bins on the axis, and below it a table of counts, a column under each bin."""
    edges = [f"{edge:g}" for edge in (*bins["low"], bins["high"].iloc[-1])]
    cells = {kind: [f"{count:,}" for count in bins[kind]] for kind in TABLE}
    if not bins["labelled"].sum():
        cells |= {kind: ["–"] * len(bins) for kind in ("fixed", "broken")}
    room = 0.9 * size_of(axes)[0] / len(bins)
    axes.set_xticks(np.arange(len(edges)) - 0.5, edges, size=fitting_size(edges, room, NORMAL))
    size = fitting_size([cell for row in cells.values() for cell in row], room, SMALL + 0.5)
    place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "center"}
    for row, (kind, texts) in enumerate(cells.items()):
        down = -72 * (0.28 + row * ROW)
        axes.annotate(kind, (-0.5, 0), (-8, down), ha="right", size=SMALL + 0.5, **place)
        for column, text in enumerate(texts):
            axes.annotate(text, (column, 0), (0, down), ha="center", size=size, **place)
    middle, down = len(bins) / 2 - 0.5, -72 * (0.3 + len(cells) * ROW)
    axes.annotate(f"gap {gap}", (middle, 0), (0, down), ha="center", size=NORMAL, **place)


def draw_gap_histograms(report: ProtocolReport, *, title: str | None = None, width: float = PAGE_WIDTH) -> Figure:
    """The paper's two histograms: p1 - p2 where the answer is right, p1 - p(true class) where it is wrong.

    Args:
        report: What `evaluation.protocol.paper_protocol` gives.
        title: Above everything.
        width: Of the figure, in inches. Below `SIDE_BY_SIDE` the second stands below the first.
    """
    columns = 2 if check_width(width) >= SIDE_BY_SIDE else 1
    panels = (
        (f"answered rightly: p1 {MINUS} p2", report.right_gaps, paper.RIGHT_WITHIN_BOUND, paper.RIGHT),
        (f"answered wrongly: p1 {MINUS} p(true class)", report.wrong_gaps, paper.WRONG_WITHIN_BOUND, paper.WRONG),
    )
    with styled():
        above, height, panel = (TITLE if title else 0), 1.9, width / columns
        figure = new_figure(width, above + (0.56 + height + 0.4) * (2 // columns))
        for position, (name, histogram, paper_within, paper_images) in enumerate(panels):
            row, column = divmod(position, columns)
            top = above + 0.56 + row * (0.56 + height + 0.4)
            axes = add_axes(figure, 0.68 + column * panel, top, panel - 0.78, height)
            _draw_histogram(axes, histogram)
            axes.set_xlabel(name.partition(": ")[2], size=NORMAL)
            lines = [_within("this run", histogram.within, histogram.images, histogram.bound)]
            if histogram.bound == paper.BOUND:
                lines.append(_within("the paper", paper_within, paper_images, paper.BOUND))
            place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "size": SMALL + 0.5}
            for line, text in enumerate(reversed(lines)):
                axes.annotate(text, (0, 1), (0, 6 + 10 * line), **place)
            draw_title(axes, name, rise=8 + 10 * len(lines))
        if title:
            add_text(figure, EDGE, EDGE, title, NORMAL + 2, weight="bold")
    return figure


def _within(whose: str, count: int, images: int, bound: float) -> str:
    share = f" ({count / images:.1%})" if images else ""
    return f"{whose}: {count:,} of {images:,}{share} at or below {bound:g}"


def _draw_histogram(axes: Axes, histogram: Histogram) -> None:
    edges, counts = np.array(histogram.edges), np.array(histogram.counts)
    colors = [COLORS["before"] if high <= histogram.bound else "#DDDDDD" for high in edges[1:]]
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colors, edgecolor="white", linewidth=0.8)
    if histogram.bound not in histogram.edges:
        axes.axvline(histogram.bound, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.12 * max(counts.max(), 1)))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylabel("images", size=NORMAL)
    plain_frame(axes, "top", "right")
    texts = [f"{count:,}" for count in counts]
    narrowest = np.diff(edges).min() / (edges[-1] - edges[0]) * size_of(axes)[0]
    size = fitting_size(texts, 0.95 * narrowest, SMALL)
    for middle, count, text in zip((edges[:-1] + edges[1:]) / 2, counts, texts, strict=True):
        axes.annotate(text, (middle, count), (0, 1.5), textcoords="offset points", ha="center", va="bottom", size=size)
