"""The statistics in words and as plain text for a terminal, whichever way they fall."""

import math
import textwrap
from collections.abc import Iterator

from maskcorrect_plugin.html_tables import html_table

from .intervals import Interval
from .statistics import PairedOutcome
from .summary import BeforeAfter, GroupSummary, Summary

WIDTH = 100
"""No line of text is longer."""
LABEL, COLUMN = 30, 33


def p_text(p_value: float, *, equals: bool = False, places: int = 3) -> str:
    """A p-value to three places, ``<0.001`` below them; with `equals` as the rest of a sentence, ``= 0.021``."""
    smallest = 10**-places
    if p_value < smallest:
        return f"{'< ' if equals else '<'}{smallest:.{places}f}"
    return f"{'= ' if equals else ''}{p_value:.{places}f}"


def percent(share: float) -> str:
    """A share in per cent with two places, ``71.59 %``; ``-`` where there is none (NaN)."""
    return "-" if math.isnan(share) else f"{100 * share:.2f} %"


LEVEL = 0.05
"""A p-value below it counts as more than chance."""


def verdict(
    table: PairedOutcome, level: float = LEVEL, *, p_value: float | None = None, p_name: str = "p", what: str = ""
) -> str:
    """The table in one sentence.

    Args:
        table: Answers before and after.
        level: A p-value below it counts as more than chance.
        p_value: What is judged by, adjusted for several methods, say; None takes the exact McNemar p of the table.
        p_name: What it is called.
        what: What fixed and broke, ``"Correction by CAM"``; ``"Correction"`` if empty.

    Example:
        >>> verdict(PairedOutcome(both_right=10, fixed=4, broken=4, both_wrong=3))
        'Correction fixed as many answers as it broke (4): no net effect.'
    """
    fixed, broken, what = table.fixed, table.broken, what or "Correction"
    if not table.total:
        return "No image has a label here, so nothing can be said of right and wrong."
    if fixed == broken == 0:
        return f"{what} neither fixed nor broke an answer."
    if fixed == broken:
        return f"{what} fixed as many answers as it broke ({fixed:,}): no net effect."
    p_value = table.mcnemar_p if p_value is None else p_value
    direction = "more" if fixed > broken else "fewer"
    chance = "would rarely make" if p_value < level else "could well make"
    return (
        f"{what} fixed {direction} answers than it broke ({fixed:,} against {broken:,}): a difference that chance "
        f"alone {chance} ({p_name} {p_text(p_value, equals=True)})."
    )


def wrapped(text: str) -> list[str]:
    """The text as lines of at most `WIDTH` columns; none for an empty text."""
    return textwrap.wrap(text, WIDTH, break_on_hyphens=False)


def summary_text(summary: Summary, title: str = "") -> str:
    """A summary as an aligned table, all images beside the subset, with the verdict on each; at most 100 columns.

    Args:
        summary: Of a run.
        title: First line; none if empty.
    """
    groups = _groups(summary)
    lines = [*wrapped(title), _line("", *groups)]
    lines += [_line(*cells) for cells in _lines(summary)]
    lines += _notes(summary)
    for name, group in groups.items():
        lines += ["", *wrapped(f"{name}: {verdict(group.outcome)}")]
    return "\n".join(lines)


def summary_html(summary: Summary) -> str:
    """The same as HTML, for notebooks."""
    groups = _groups(summary)
    verdicts = " ".join(f"{name}: {verdict(group.outcome)}" for name, group in groups.items())
    return html_table(["", *groups], _lines(summary), verdicts, " ".join(_notes(summary)))


def _groups(summary: Summary) -> dict[str, GroupSummary]:
    return {"all images": summary.overall, str(summary.definition): summary.subset}


def _lines(summary: Summary) -> Iterator[tuple[str, str, str]]:
    """Name, text for all images and text for the subset of each number."""
    for (name, first), (_, second) in zip(_rows(summary.overall), _rows(summary.subset), strict=True):
        yield name, first, second


def _notes(summary: Summary) -> list[str]:
    failed = [f"{summary.failed:,} of {summary.images:,} images failed and are left out."] if summary.failed else []
    return [*failed, "In brackets: 95 % intervals, Wilson's of accuracies, bootstrap of the difference."]


def _rows(group: GroupSummary) -> Iterator[tuple[str, str]]:
    """Name and text of each number of a group."""
    table = group.outcome

    def of_labelled(text: str) -> str:
        """Counts of right and wrong: with no label at all they would be zeros that look like a result."""
        return text if table.total else "-"

    yield "images", f"{group.images:,}"
    yield "without a label", f"{group.unlabelled:,}"
    yield "corrected", f"{group.corrected:,}"
    yield "answers changed", f"{group.changed:,}"
    yield "accuracy before", percent(table.accuracy_before) + _interval(group.interval_before)
    yield "accuracy after", percent(table.accuracy_after) + _interval(group.interval_after)
    yield "difference in points", _points(table.difference) + _interval(group.interval_difference, sign=True)
    yield "right before -> after", of_labelled(f"{table.right_before:,} -> {table.right_after:,}")
    yield "fixed", of_labelled(f"{table.fixed:,}")
    yield "broken", of_labelled(f"{table.broken:,}")
    yield "both right", of_labelled(f"{table.both_right:,}")
    yield "both wrong", of_labelled(f"{table.both_wrong:,}")
    yield "exact McNemar p", of_labelled(p_text(table.mcnemar_p))
    yield "top-5 accuracy", of_labelled(f"{percent(group.top5.before)} -> {percent(group.top5.after)}")
    yield "true class among candidates", percent(group.ceiling)
    yield "negative log-likelihood", _change(group.nll)
    yield "Brier score", _change(group.brier)
    yield "calibration error (ECE)", _change(group.ece)
    yield "forwards per image", "-" if math.isnan(group.forwards_per_image) else f"{group.forwards_per_image:,.1f}"


def _line(name: str, first: str, second: str) -> str:
    return f"{name:{LABEL}}{first:>{COLUMN}}{second:>{COLUMN}}".rstrip()


def _points(difference: float) -> str:
    return "-" if math.isnan(difference) else f"{100 * difference:+.2f}"


def _interval(interval: Interval, *, sign: bool = False) -> str:
    if math.isnan(interval.low):
        return ""
    low, high = (f"{100 * bound:{'+' if sign else ''}.2f}" for bound in (interval.low, interval.high))
    return f" [{low}, {high}]"


def _change(values: BeforeAfter) -> str:
    if math.isnan(values.before):
        return "-"
    return f"{values.before:.4f} -> {values.after:.4f}"
