"""A comparison as plain text, at most 100 columns wide, and as the tables of a notebook."""

import html
import math
from collections.abc import Iterator, Sequence

from maskcorrect_plugin.evaluation.text import p_text, wrapped
from maskcorrect_plugin.html_tables import html_table

from .compare import GROUPS, Comparison, MethodRow

NAME = 26
WIDTHS = {"forwards": 9, "after": 9, "points": 8, "95 % interval": 18, "fixed": 7, "broken": 7, "Holm p": 8}
"""The columns after the name, and how wide they are."""
AGAINST = {"vs base": 8}
"""And one more where there is a baseline."""
CEILING = "top-K (no re-ranking exceeds it)"
HOLM = "Holm p: exact McNemar p, adjusted for all methods on the same model and data that do not leak."
BASE = "vs base: images that the method alone answers rightly, less those that the baseline alone does."
LEAKS = "looks at the labels: no result, but what a perfect choice of the map could give"


def comparison_text(comparison: Comparison) -> str:
    """For each model and data set, all methods over all images and over the subset; leaking ones are marked."""
    blocks = [
        "\n".join(_family(rows, group, comparison)) for rows in comparison.families().values() for group in GROUPS
    ]
    return "\n\n".join([*blocks, "\n".join(_notes(comparison))])


def comparison_html(comparison: Comparison) -> str:
    """The same as HTML, with the names in full."""
    tables = []
    for rows in comparison.families().values():
        for group in GROUPS:
            lines = [[_name(row), *_cells(row, group, comparison)] for row in rows]
            columns = _columns(comparison)
            blank = [""] * (len(columns) - 2)
            lines.append([CEILING, "", _percent(rows[0].group(group).ceiling), *blank])
            tables.append(html_table(["method", *columns], lines, _title(rows[0], group, comparison)))
            tables += [f"<p><small>{html.escape(line)}</small></p>" for line in _against(rows, group, comparison)]
    return "".join([*tables, *(f"<p><small>{note}</small></p>" for note in _notes(comparison))])


def _notes(comparison: Comparison) -> list[str]:
    notes = [HOLM] if comparison.baseline is None else [HOLM, BASE]
    return [*notes, f"* {LEAKS}."] if any(row.leaks for row in comparison.rows) else notes


def _title(first: MethodRow, group: str, comparison: Comparison) -> str:
    which = "all images" if group == "overall" else str(comparison.subset)
    table = first.group(group).outcome
    before = _percent(table.accuracy_before)
    return f"{first.model} on {first.data}, {which}: {table.total:,} images, {before} right before"


def _columns(comparison: Comparison) -> dict[str, int]:
    return WIDTHS if comparison.baseline is None else WIDTHS | AGAINST


def _family(rows: Sequence[MethodRow], group: str, comparison: Comparison) -> Iterator[str]:
    yield _title(rows[0], group, comparison)
    columns = _columns(comparison)
    yield f"{'method':{NAME}}" + "".join(f"{name:>{width}}" for name, width in columns.items())
    for row in rows:
        cells = zip(_cells(row, group, comparison), columns.values(), strict=True)
        name = _name(row)
        name = name if len(name) < NAME else f"{name[: NAME - 4]}..."
        yield f"{name:{NAME}}" + "".join(f"{cell:>{width}}" for cell, width in cells)
    yield f"{CEILING:{NAME + 9}}{_percent(rows[0].group(group).ceiling):>9}"
    for line in _against(rows, group, comparison):
        yield from wrapped(line)


def _against(rows: Sequence[MethodRow], group: str, comparison: Comparison) -> Iterator[str]:
    """What is behind the last column, with the test that it is more than chance; not adjusted for several methods."""
    for row in rows:
        against = row.baseline(group)
        if against is not None and against.outcome.total:
            yield (
                f"{_name(row)} alone is right on {against.only_second:,}, {comparison.baseline} alone on "
                f"{against.only_first:,} (exact McNemar p {p_text(against.outcome.mcnemar_p, equals=True)})."
            )


def _name(row: MethodRow) -> str:
    return f"{row.method}{' *' if row.leaks else ''}"


def _cells(row: MethodRow, group: str, comparison: Comparison) -> list[str]:
    """What stands behind the name, one text for each of `_columns`."""
    summary = row.group(group)
    table, interval = summary.outcome, summary.interval_difference
    bounds = "-" if math.isnan(interval.low) else f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
    adjusted = row.holm(group)
    cells = [
        _number(summary.forwards_per_image, ",.1f"),
        _percent(table.accuracy_after),
        _number(100 * table.difference, "+.2f"),
        bounds,
        str(table.fixed) if table.total else "-",
        str(table.broken) if table.total else "-",
        "-" if math.isnan(adjusted) or not table.total else p_text(adjusted),
    ]
    if comparison.baseline is None:
        return cells
    against = row.baseline(group)
    return [*cells, "base" if against is None else f"{against.only_second - against.only_first:+}"]


def _percent(share: float) -> str:
    return _number(100 * share, ".2f") + ("" if math.isnan(share) else " %")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"
