"""A comparison as plain text, at most 100 columns wide."""

import math
from collections.abc import Iterator, Sequence

from maskcorrect_plugin.evaluation.text import p_text

from .compare import GROUPS, Comparison, MethodRow

NAME = 26
LEAKS = "looks at the labels: no result, but what a perfect choice of the map could give"


def comparison_text(comparison: Comparison) -> str:
    """For each model and data set, all methods over all images and over the subset; leaking ones are marked."""
    blocks = [
        "\n".join(_family(rows, group, comparison)) for rows in comparison.families().values() for group in GROUPS
    ]
    notes = ["Holm p: exact McNemar p, adjusted for all methods on the same model and data that do not leak."]
    if any(row.leaks for row in comparison.rows):
        notes.append(f"* {LEAKS}.")
    return "\n\n".join([*blocks, "\n".join(notes)])


def _family(rows: Sequence[MethodRow], group: str, comparison: Comparison) -> Iterator[str]:
    first = rows[0]
    summary = first.group(group)
    which = "all images" if group == "overall" else str(comparison.subset)
    table = summary.outcome
    before = _percent(table.accuracy_before)
    yield f"{first.model} on {first.data}, {which}: {table.total:,} images, {before} right before"
    head = f"{'method':{NAME}}{'forwards':>9}{'after':>9}{'points':>8}{'95 % interval':>18}{'fixed':>7}{'broken':>7}"
    yield (
        head + f"{'Holm p':>8}" + (f"{'vs base':>8}" if comparison.baseline is not None and group == "overall" else "")
    )
    for row in rows:
        yield _line(row, group, comparison)
    yield f"{'top-K (no re-ranking exceeds it)':{NAME + 9}}{_percent(summary.ceiling):>9}"


def _line(row: MethodRow, group: str, comparison: Comparison) -> str:
    summary = row.group(group)
    table, interval = summary.outcome, summary.interval_difference
    name = f"{row.method}{' *' if row.leaks else ''}"
    name = name if len(name) < NAME else f"{name[: NAME - 4]}..."
    bounds = "-" if math.isnan(interval.low) else f"[{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]"
    adjusted = row.holm(group)
    line = (
        f"{name:{NAME}}{_number(summary.forwards_per_image, ',.1f'):>9}{_percent(table.accuracy_after):>9}"
        f"{_number(100 * table.difference, '+.2f'):>8}{bounds:>18}{table.fixed:7}{table.broken:7}"
        f"{'-' if math.isnan(adjusted) else p_text(adjusted):>8}"
    )
    if comparison.baseline is None or group != "overall":
        return line
    return line + (f"{row.against.only_second - row.against.only_first:+8}" if row.against else f"{'base':>8}")


def _percent(share: float) -> str:
    return _number(100 * share, ".2f") + ("" if math.isnan(share) else " %")


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else f"{value:{form}}"
