"""The figures of the page, each with what a reader who does not see it is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup
from matplotlib.figure import Figure

from maskcorrect_plugin.evaluation.protocol import ProtocolReport
from maskcorrect_plugin.evaluation.subclasses import MARGIN
from maskcorrect_plugin.evaluation.summary import GroupSummary
from maskcorrect_plugin.visualization import (
    draw_accuracies,
    draw_confused_classes,
    draw_cost_gain,
    draw_fixed_broken,
    draw_gap_bins,
    draw_gap_histograms,
)
from maskcorrect_plugin.visualization.palette import COLUMN_WIDTH, PAGE_WIDTH

from . import formats
from .families import Family, Tried
from .svg import glyphs_of_the_browser, inline_svg

if TYPE_CHECKING:
    import pandas as pd

SEVERAL = 3
"""From so many methods on, costs are drawn."""
HALF = 5.0
"""Inches: the width of figures that stand side by side."""


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        caption: Below it.
        wide: The figure.
        narrow: The same for a phone.
    """

    caption: str
    wide: Markup
    narrow: Markup


def draw_methods(family: Family, group: str) -> list[Drawing]:
    """The accuracy by each method, and how many answers each fixed and broke."""
    summaries = {tried.name: tried.row.group(group) for tried in family.methods}
    outcomes = {name: summary.outcome for name, summary in summaries.items()}
    p_values = {tried.name: tried.row.holm(group) for tried in family.fair}  # what looks at the labels has none
    several = len(family.fair) > 1
    accuracy = "; ".join(
        f"{name}: {formats.share(table.accuracy_before)} before, {formats.share(table.accuracy_after)} after"
        for name, table in outcomes.items()
    )
    counts = "; ".join(
        f"{name}: {formats.count(table.fixed)} fixed, {formats.count(table.broken)} broken"
        for name, table in outcomes.items()
    )
    key = f"f{family.number}-{group}"
    p_name = "Holm p" if several else "p"
    drawings = [
        _drawing(
            partial(draw_fixed_broken, outcomes, p_values=p_values, p_name=p_name),
            "Answers that each method broke, and that it fixed",
            f"{key}-outcomes",
            f"Bars for each method. {counts}.",
            HALF,
        ),
        _drawing(
            partial(draw_accuracies, summaries),
            "Accuracy before and after, with Wilson's 95 % intervals",
            f"{key}-accuracies",
            f"Accuracy of each method. {accuracy}.",
            HALF,
        ),
    ]
    if len(summaries) >= SEVERAL and group == "overall":
        drawings.append(_draw_costs(family, summaries, f"{key}-costs"))
    return drawings


def _draw_costs(family: Family, summaries: Mapping[str, GroupSummary], key: str) -> Drawing:
    costs = "; ".join(
        f"{name}: {formats.number(summary.forwards_per_image)} forwards, "
        f"{formats.points(summary.outcome.difference)} points"
        for name, summary in summaries.items()
    )
    settings = {tried.name: tried.settings for tried in family.methods}
    caption = "What each method costs, and the accuracy that it gains, with 95 % intervals"
    return _drawing(
        partial(draw_cost_gain, summaries, settings=settings), caption, key, f"Points for each method. {costs}."
    )


def draw_histograms(family: Family, report: ProtocolReport) -> Drawing:
    """How far the first answer lies above the second, or above the true class."""
    right, wrong = report.right_gaps, report.wrong_gaps
    alternative = (
        f"Two histograms. Of {formats.count(right.images)} images answered rightly, {formats.count(right.within)} have "
        f"p1 - p2 at or below {right.bound:g}. Of {formats.count(wrong.images)} answered wrongly, "
        f"{formats.count(wrong.within)} have p1 - p(true class) at or below it."
    )
    caption = (
        "How sure the network was before correction: of the images that it answered rightly, how far the first class "
        "lies above the second; of those that it answered wrongly, how far above the true class"
    )
    return _drawing(partial(draw_gap_histograms, report), caption, f"f{family.number}-histograms", alternative)


def draw_bins(family: Family, tried: Tried, bins: "pd.DataFrame") -> Drawing:
    """What correction did by the gap."""
    definition = tried.row.summary.definition.definition
    busy = bins[bins["changed"] > 0]
    counts = "; ".join(
        f"{row.low:g} to {row.high:g}: {row.changed} of {row.images} changed, {row.fixed} fixed, {row.broken} broken"
        for row in busy.itertuples()
    )
    return _drawing(
        partial(draw_gap_bins, bins, definition=definition),
        "Share of the answers that correction changed, fixed and broke, by the gap before correction",
        _key(family, tried, "bins"),
        f"Bars by gap. {counts}.",
    )


def draw_confusion(family: Family, tried: Tried, edges: "pd.DataFrame", class_names: Sequence[str]) -> Drawing:
    """Which classes the network holds nearly as likely."""
    strongest = "; ".join(
        f"{row.first_name} and {row.second_name}: {row.images} images" for row in edges.head(5).itertuples()
    )
    return _drawing(
        partial(draw_confused_classes, edges, class_names=class_names),
        "Classes that the network held nearly as likely as its answer before correction "
        f"(within a margin of {MARGIN:g}). Two that are linked were so for the same image",
        _key(family, tried, "confused"),
        f"A graph of confused classes. {strongest}.",
    )


def _drawing(
    draw: Callable[..., Figure], caption: str, key: str, alternative: str, width: float = PAGE_WIDTH
) -> Drawing:
    """A figure at a width in inches, and at that of a phone."""
    with glyphs_of_the_browser():
        wide, narrow = (
            inline_svg(draw(width=inches), f"{key}-{round(72 * inches)}", alternative)
            for inches in (width, COLUMN_WIDTH)
        )
    return Drawing(caption, wide, narrow)


def _key(family: Family, tried: Tried, what: str) -> str:
    return f"f{family.number}-m{list(family.methods).index(tried)}-{what}"
