"""A comparison as plain text, at most 100 columns wide, and as the tables of a notebook."""

import html
import math
from collections.abc import Iterator, Sequence

from maskcorrect_plugin.evaluation.text import p_text, wrapped
from maskcorrect_plugin.html_tables import html_table

from .compare import GROUPS, Comparison, MethodRow

NAME = 22
WIDTHS = {
    "forwards": 9,
    "after": 9,
    "points": 8,
    "95 % interval": 17,
    "fixed": 6,
    "broken": 7,
    "Holm p": 7,
    "z": 6,
    "p(z)": 7,
}
"""The columns after the name, and how wide they are."""
AGAINST = {"vs base": 8, "z vs base": 10}
"""Where there is a baseline, in place of the interval."""
CEILING = "top-K (no re-ranking exceeds it)"
HOLM = (
    "Holm p: exact McNemar p, adjusted for all methods on the same model and data that do not leak. z: gain of the "
    "log-likelihood of the true class over no correction, in standard errors, with its p adjusted likewise; it sees "
    "smaller effects than answers do."
)
BASE = "vs base: images that the method alone answers rightly, less those that the baseline alone does."
LEAKS = "looks at the labels: no result, but what a perfect choice of the map could give"


def comparison_text(comparison: Comparison) -> str:
    """For each model and data set, all methods over all images and over the subset; leaking ones are marked."""
    blocks = [
        "\n".join(_family(rows, group, comparison)) for rows in comparison.families().values() for group in GROUPS
    ]
    return "\n\n".join([*blocks, "\n".join(line for note in _notes(comparison) for line in wrapped(note))])


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
    if comparison.baseline is None:
        return WIDTHS
    return {name: width for name, width in WIDTHS.items() if name != "95 % interval"} | AGAINST


def _family(rows: Sequence[MethodRow], group: str, comparison: Comparison) -> Iterator[str]:
    yield _title(rows[0], group, comparison)
    columns = _columns(comparison)
    yield f"{'method':{NAME}}" + "".join(f"{name:>{width}}" for name, width in columns.items())
    for row in rows:
        cells = zip(_cells(row, group, comparison), columns.values(), strict=True)
        name = _name(row)
        if len(name) >= NAME:  # a line of its own: names that are cut look alike
            yield name
            name = ""
        yield (f"{name:{NAME}}" + "".join(f"{cell:>{width}}" for cell, width in cells)).rstrip()
    yield f"{CEILING:{NAME + 9}}{_percent(rows[0].group(group).ceiling):>9}"
    for line in _against(rows, group, comparison):
        yield from wrapped(line)


def _against(rows: Sequence[MethodRow], group: str, comparison: Comparison) -> Iterator[str]:
    """What is behind the last column, with the test that it is more than chance; not adjusted for several methods."""
    for row in rows:
        against = row.baseline(group)
        if against is not None and against.outcome.total:
            gain, holm_p = against.likelihood, row.baseline_p(group)
            sure = "" if math.isnan(holm_p) else f", Holm p {p_text(holm_p, equals=True)}"
            yield (
                f"{_name(row)} alone is right on {against.only_second:,}, {comparison.baseline} alone on "
                f"{against.only_first:,} (exact McNemar p {p_text(against.outcome.mcnemar_p, equals=True)}); the "
                f"log-likelihood differs by {gain.mean:+.4f} an image (z = {gain.z:+.1f}{sure})."
            )


def _name(row: MethodRow) -> str:
    return f"{row.method}{' *' if row.leaks else ''}"


def _cells(row: MethodRow, group: str, comparison: Comparison) -> list[str]:
    """What stands behind the name, one text for each of `_columns`."""
    summary = row.group(group)
    table, interval = summary.outcome, summary.interval_difference
    bounds = "-" if math.isnan(interval.low) else f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
    adjusted = row.holm(group)
    gain, against = summary.likelihood, row.baseline(group)
    known = {
        "forwards": _number(summary.forwards_per_image, ",.1f"),
        "after": _percent(table.accuracy_after),
        "points": _number(100 * table.difference, "+z.2f"),
        "95 % interval": bounds,
        "fixed": str(table.fixed) if table.total else "-",
        "broken": str(table.broken) if table.total else "-",
        "Holm p": _p_text(adjusted if table.total else math.nan),
        "z": _number(gain.z, "+z.1f"),
        "p(z)": _p_text(row.likelihood_p(group)),
        "vs base": "base" if against is None else f"{against.only_second - against.only_first:+}",
        "z vs base": "" if against is None else _number(against.likelihood.z, "+z.1f"),
    }
    return [known[name] for name in _columns(comparison)]


def _p_text(value: float) -> str:
    return "-" if math.isnan(value) else p_text(value)


def _percent(share: float) -> str:
    return _number(100 * share, ".2f") + ("" if math.isnan(share) else " %")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"
