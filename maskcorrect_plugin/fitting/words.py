"""What a fit says: one sentence on top, and its tables, the same on the terminal and on a page."""

from collections.abc import Sequence
from typing import NamedTuple

from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.text import LEVEL, p_text

from .fit import FEW, Fit
from .validation import FitRow, two_sided


class FitTable(NamedTuple):
    """A table of texts.

    Attributes:
        title: What it is.
        head: Names of the columns.
        rows: As many texts each.
        note: Below it.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def headline(fit: Fit) -> str:
    """What to use, what it gains, how sure that is, and what it costs."""
    row = fit.row("fitted")
    gain = f"log-likelihood {row.gain.mean:+.3f} an image (z = {row.gain.z:+.1f})"
    if not fit.helps:
        return (
            f"Use no correction: on {fit.images:,} images the fitted weights are not surely better than none ({gain}; "
            f"its lower 95 % bound is {fit.bound:+.3f}). The file holds the identity, which costs nothing."
        )
    used = [view.label for view, weight in zip(fit.views, fit.fitted.views, strict=True) if weight]
    if not used:
        return (
            f"Use no view: all weights are zero. A temperature of {fit.fitted.temperature:.2f} alone gives {gain} and "
            "changes no answer."
        )
    table = row.outcome
    return (
        f"Use {', '.join(used)} ({fit.fitted.pool} pool): {100 * table.difference:+.1f} points on {fit.images:,} "
        f"images that did not fit the weights ({table.fixed} fixed, {table.broken} broken, exact McNemar p "
        f"{p_text(table.mcnemar_p, equals=True)}); {gain}, of which {fit.over_temperature.mean:+.3f} are more than a "
        f"temperature alone gives (z = {fit.over_temperature.z:+.1f}); for {row.forwards:.1f} forwards an image."
    )


def tables(fit: Fit) -> list[FitTable]:
    """Everything else, table by table."""
    found = [_rows(fit), _worth(fit), _steps(fit), _gaps(fit)]
    return [table for table in found if table.rows]


def notes(fit: Fit) -> list[str]:
    """What the tables do not say."""
    lines = [map_sentence(fit)] if map_sentence(fit) else []
    lines.append(
        "All figures are cross-validated: five folds, each corrected by weights that were fitted on the other four. "
        "The order of the views in the frontier was found on the same images, so that its best point is a little too "
        "good."
    )
    if fit.images < FEW:
        lines.append(f"{fit.images} images are few: from {FEW} on these figures can be relied on.")
    return lines


def map_sentence(fit: Fit) -> str:
    """Whether the map matters, if the run can tell."""
    gain = fit.map_matters
    if gain is None:
        return ""
    p = two_sided(gain.z)
    said = "The map matters" if p < LEVEL and gain.mean > 0 else "That the map matters cannot be told from chance"
    if p < LEVEL and gain.mean < 0:
        said = "Another image's map does better"
    return (
        f"{said}: the same views by another image's map, fitted alike, lose {gain.mean:.4f} of log-likelihood an image "
        f"(standard error {gain.error:.4f}, z = {gain.z:+.1f}, p {p_text(p, equals=True)})."
    )


def _rows(fit: Fit) -> FitTable:
    head = ("", "right", "points", "fixed", "broken", "p", "difficult", "log-likelihood", "Brier", "ECE", "forwards")
    return FitTable(
        "Corrections of the same images",
        head,
        [_row(row) for row in fit.rows],
        "difficult: points on the images with p1 - p5 < 0.5; log-likelihood: mean gain over no correction with its "
        "standard error; ECE: expected calibration error.",
    )


def _row(row: FitRow) -> tuple[str, ...]:
    table = row.outcome
    plain = row.name == "before"
    return (
        row.name,
        f"{100 * table.accuracy_after:.1f} %",
        "" if plain else f"{100 * table.difference:+.1f}",
        "" if plain else str(table.fixed),
        "" if plain else str(table.broken),
        "" if plain else p_text(table.mcnemar_p),
        "" if plain or not row.difficult.total else f"{100 * row.difficult.difference:+.1f}",
        "" if plain else gain_text(row.gain),
        f"{row.brier:.3f}",
        f"{row.calibration:.3f}",
        f"{row.forwards:.1f}",
    )


def gain_text(gain: LikelihoodGain) -> str:
    """``+0.121 (0.047)``: mean and standard error."""
    return f"{gain.mean:+.3f} ({gain.error:.3f})"


def _worth(fit: Fit) -> FitTable:
    rows = [
        (
            worth.view.label,
            f"{worth.weight:.3f}",
            f"{worth.cost.mean:+.4f}",
            f"{worth.cost.error:.4f}",
            f"{worth.cost.z:+.1f}",
            p_text(worth.p),
        )
        for worth in fit.worth
    ]
    note = f"Temperature {fit.fitted.temperature:.3f}. A view of weight 0 is not shown and costs nothing."
    head = ("view", "weight", "lost without it", "standard error", "z", "Holm p")
    return FitTable("What each view is worth", head, rows, note)


def _steps(fit: Fit) -> FitTable:
    rows = []
    for step in fit.steps:
        added = step.views[-1].label if step.views else "temperature alone"
        rows.append((f"{step.forwards:.1f}", added, f"{step.points:+.1f}", gain_text(step.gain)))
    return FitTable("Gain against forwards, a view at a time", ("forwards", "adds", "points", "log-likelihood"), rows)


def _gaps(fit: Fit) -> FitTable:
    rows = [
        (f"{step.max_gap:g}", f"{step.forwards:.2f}", f"{step.points:+.1f}", gain_text(step.gain)) for step in fit.gaps
    ]
    head = ("max_gap", "forwards", "points", "log-likelihood")
    return FitTable("Gain against forwards, difficult images only", head, rows)
