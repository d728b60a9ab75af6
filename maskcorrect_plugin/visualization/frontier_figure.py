"""Gain against forwards: what each further view adds, and what is left where easy images are passed unchanged."""

from collections.abc import Sequence
from typing import Protocol

from matplotlib.figure import Figure

from .charts import chart_axes, draw_legend, figure_of, legend_height, plain_frame
from .palette import COLORS, INK, styled

HEIGHT = 2.3
"""Inches of the axes."""


class Gain(Protocol):
    """A likelihood gain: see `evaluation.metrics.LikelihoodGain`."""

    @property
    def mean(self) -> float:
        """In nats an image."""

    @property
    def error(self) -> float:
        """Its standard error."""


class Point(Protocol):
    """One point: see `fitting.frontier`."""

    @property
    def forwards(self) -> float:
        """Mean forwards of an image."""

    @property
    def gain(self) -> Gain:
        """Of the log-likelihood over no correction."""


def draw_frontier(views: Sequence[Point], gaps: Sequence[Point], *, width: float = 5.0) -> Figure:
    """The two frontiers of a fit.

    Args:
        views: One point for each number of views, in order.
        gaps: One point for each bound of the gap.
        width: Inches.
    """
    texts = ("a view at a time (bars: one standard error)", "all fitted views, difficult images only")
    with styled():
        axes = chart_axes(width, HEIGHT, left=0.7, right=0.15, above=legend_height(texts, width - 0.85), below=0.45)
        plain_frame(axes, "top", "right")
        axes.axhline(0, color=INK, linewidth=0.6)
        by_view = axes.errorbar(
            [point.forwards for point in views],
            [point.gain.mean for point in views],
            yerr=[point.gain.error for point in views],
            fmt="o-",
            markersize=4,
            capsize=2,
            linewidth=1.2,
            color=COLORS["after"],
        )
        (by_gap,) = axes.plot(
            [point.forwards for point in gaps],
            [point.gain.mean for point in gaps],
            "s--",
            markersize=3.5,
            linewidth=1,
            color=COLORS["before"],
        )
        axes.set_xlabel("forwards an image")
        axes.set_ylabel("gain of log-likelihood an image")
        draw_legend(axes, dict(zip(texts, (by_view, by_gap), strict=True)))
    return figure_of(axes)
