"""What the charts of whole runs have in common: axes of a given size, bars that survive grey print, numbers on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from maskcorrect_plugin.checks import check_number
from maskcorrect_plugin.errors import ArgumentError

from .palette import COLORS, EDGE, FRAME, INK, NORMAL, add_axes, new_figure, text_width

HATCHES = {"broken": "//////"}
"""In grey, fixed and broken are nearly the same: broken bars are hatched."""
NARROWEST, WIDEST = 3, 20
"""Inches: widths of a figure that are allowed."""
TITLE = 0.24
"""Inches that a title takes above the axes."""
MINUS = "\N{MINUS SIGN}"


def figure_of(axes: Axes) -> Figure:
    """The figure that axes given by the caller belong to.

    Raises:
        ValueError: they belong to no figure, or to a part of one.
    """
    figure = axes.get_figure()
    if not isinstance(figure, Figure):
        raise ArgumentError(f"axes must belong to a matplotlib Figure, got {type(figure).__name__}")
    return figure


def chart_axes(
    width: float, height: float, *, left: float = EDGE, right: float = EDGE, above: float = EDGE, below: float = EDGE
) -> Axes:
    """Axes in a figure of their own. All in inches: the figure's width, the axes' height and the room around them."""
    figure = new_figure(width, above + height + below)
    return add_axes(figure, left, above, width - left - right, height)


def size_of(axes: Axes) -> tuple[float, float]:
    """Width and height of axes in inches."""
    dpi = figure_of(axes).dpi
    return axes.bbox.width / dpi, axes.bbox.height / dpi


def bar_style(kind: str, **more: Any) -> dict[str, Any]:
    """Colour and hatch of bars that stand for this key of `COLORS`."""
    return {"facecolor": COLORS[kind], "hatch": HATCHES.get(kind), "edgecolor": "white", "linewidth": 0, **more}


def legend_height(texts: Iterable[str], width: float) -> float:
    """Inches that a legend takes above axes of that width: in one line if it fits, else one text below the other."""
    lines = _legend_lines(list(texts), width)
    return 0.05 + 0.17 * lines


def _legend_lines(texts: Sequence[str], width: float) -> int:
    needed = sum(text_width(text, NORMAL) + 0.34 for text in texts)
    return 1 if needed <= width else len(texts)


def draw_legend(axes: Axes, items: Mapping[str, Any]) -> None:
    """A legend right above the axes, at the left: see `legend_height`.

    Args:
        axes: Where.
        items: What is displayed (an artist, or several on top of one another) by its meaning.
    """
    axes.legend(
        list(items.values()),
        list(items),
        ncols=1 if _legend_lines(list(items), size_of(axes)[0]) > 1 else len(items),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
        borderpad=0.2,
        borderaxespad=0.1,
        handlelength=1.2,
        handletextpad=0.5,
        columnspacing=1.6,
        fontsize=NORMAL,
    )


def draw_title(axes: Axes, title: str | None, rise: float = 4, legend: Iterable[str] = ()) -> None:
    """A bold title at the left, `rise` points above the axes, or right above a legend of these texts."""
    texts = list(legend)
    if texts:
        rise = 2 + 72 * legend_height(texts, size_of(axes)[0])
    if title:
        axes.set_title(title, size=NORMAL + 1, weight="bold", loc="left", color=INK, pad=rise, parse_math=False)


def plain_frame(axes: Axes, *hidden: str) -> None:
    """Hides these sides of the frame, and draws ticks as thin as the rest of it."""
    axes.spines[list(hidden)].set_visible(False)
    axes.tick_params(color=FRAME, width=0.6, length=2.5, pad=3)


def percent_axis(axes: Axes, which: str, most_ticks: int = 6) -> None:
    """Shares on the ``"x"`` or ``"y"`` axis are displayed in per cent."""
    axis = {"x": axes.xaxis, "y": axes.yaxis}[which]
    axis.set_major_locator(MaxNLocator(most_ticks))
    axis.set_major_formatter(PercentFormatter(1))


def fitting_size(texts: Sequence[str], width: float, size: float) -> float:
    """The type size, at most `size`, at which each of the texts fits into that many inches."""
    widest = max((text_width(text, size) for text in texts), default=0.0)
    return size if widest <= width else size * width / widest


def check_width(width: Any) -> float:
    """The width of a figure in inches."""
    return check_number("width", width, NARROWEST, WIDEST, include_high=True)


def signed(number: float) -> str:
    """An integer with its sign, ``+74``; a proper minus."""
    return f"{number:+,.0f}".replace("-", MINUS) if number else "0"
