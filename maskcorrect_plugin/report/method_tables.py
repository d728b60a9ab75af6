"""The methods of a family side by side."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from maskcorrect_plugin.evaluation.summary import BeforeAfter, GroupSummary

from . import formats
from .families import Family, Tried
from .figures import Drawing, draw_methods
from .tables import Cell, Column, Table, counted
from .verdicts import TITLES, finding, judging_p

LEAKS = "looks at the labels"


@dataclass(frozen=True)
class Group:
    """All images of a family, or the difficult ones: its methods as a table and as figures.

    Attributes:
        title: Which images.
        table: One row for each method.
        drawings: The accuracies, and the answers fixed and broken; none without labels.
    """

    title: str
    table: Table
    drawings: Sequence[Drawing]


def method_groups(family: Family) -> list[Group]:
    """All images first, then the difficult ones if there are any."""
    groups = [_group(family, "overall", "All images")]
    definition = family.headline.row.summary.definition
    if family.headline.row.summary.subset.images:
        groups.append(_group(family, "subset", f"Difficult images: gap {formats.plain_minus(definition)}"))
    return groups


def _group(family: Family, name: str, title: str) -> Group:
    summary = family.headline.row.group(name)
    labelled = summary.outcome.total
    before = f", {formats.share(summary.outcome.accuracy_before)} answered rightly before" if labelled else ""
    caption = f"{formats.count(summary.images)} images{before}"
    table = Table(
        caption, _columns(family, labelled), [_row(family, tried, name) for tried in family.methods], _note(summary)
    )
    return Group(title, table, draw_methods(family, name) if labelled else [])


def _columns(family: Family, labelled: int) -> list[Column]:
    several = len(family.fair) > 1
    first = [Column("method", numeric=False), Column("forwards", hint="forwards of the model per image")]
    if _saves(family):
        first.append(Column("saved", hint="pictures per image that took no forward, because they equalled another one"))
    last = [
        Column("changed", hint="images with another answer"),
        Column("seconds", hint="seconds per image, on the machine of the run"),
    ]
    if not labelled:
        return [*first, *last]
    results = [
        Column("finding", numeric=False, hint="by the last p-value at the right, below 0.05 or not"),
        Column("after", hint="accuracy after correction"),
        Column("points", hint="accuracy after less before, in percentage points"),
        Column("95 % interval", hint="of the difference, by the bootstrap over images"),
        Column("fixed", hint="wrong before, right after"),
        Column("broken", hint="right before, wrong after"),
        Column("p", hint="exact McNemar test of fixed against broken"),
    ]
    if several:
        results.append(Column("Holm p", hint="the same, adjusted for all methods tried that do not look at the labels"))
    return [*first, *results, *last]


def _row(family: Family, tried: Tried, name: str) -> list[Cell]:
    summary, table = tried.row.group(name), tried.row.group(name).outcome
    tag = LEAKS if tried.row.leaks else "control" if not tried.explains else ""
    first = [Cell(tried.name, tag=tag), _number(summary.forwards_per_image)]
    if _saves(family):
        first.append(_number(tried.saved))
    last = [counted(summary.changed), _number(tried.row.seconds_per_image, ".2g")]
    if not table.total:
        return [*first, *last]
    p_value, holm = judging_p(tried.row, name), tried.row.holm(name)
    kind = finding(table, p_value)
    title = "no result" if tried.row.leaks else TITLES[kind].removeprefix("Correction ").lower()
    results = [
        Cell(title, kind="" if tried.row.leaks else {"helped": "fixed", "hurt": "broken"}.get(kind, "")),
        Cell(formats.share(table.accuracy_after), table.accuracy_after),
        Cell(formats.points(table.difference), table.difference),
        Cell(formats.points_interval(summary.interval_difference), summary.interval_difference.low),
        counted(table.fixed, "fixed"),
        counted(table.broken, "broken"),
        Cell(formats.p_value(table.mcnemar_p), table.mcnemar_p),
    ]
    if len(family.fair) > 1:
        results.append(Cell(formats.p_value(holm), holm))
    return [*first, *results, *last]


def _saves(family: Family) -> bool:
    """Whether any recipe of the family saved forwards."""
    return any(tried.saved > 0 for tried in family.methods)


def _p_cell(value: float) -> Cell:
    return Cell(formats.NOTHING if math.isnan(value) else formats.p_value(value), value)


def _number(value: float, form: str = ",.1f") -> Cell:
    return Cell(formats.number(value, form), value)


def _note(summary: GroupSummary) -> str:
    if not summary.outcome.total:
        return ""
    return (
        f"No re-ranking of the candidates can exceed {formats.share(summary.ceiling)}: "
        "so often the true class is among them."
    )


def probabilities_table(family: Family) -> Table:
    """What correction did to the probabilities themselves, over all images."""
    columns = [
        Column("method", numeric=False),
        Column("top-5 accuracy", hint="sorted by its change, as the others are"),
        Column("negative log-likelihood", hint="in nats: lower is better"),
        Column("Brier score", hint="from 0 to 2: lower is better"),
        Column("calibration error", hint="ECE, 15 bins: lower is better"),
        Column("z", hint="gain of the log-likelihood, image by image, in standard errors: higher is better"),
        Column("Holm p of z", hint="adjusted for all methods tried that do not look at the labels"),
    ]
    rows = [
        [
            Cell(tried.name),
            *_probabilities(tried.row.summary.overall),
            _number(tried.row.summary.overall.likelihood.z, "+.1f"),
            _p_cell(tried.row.likelihood_p("overall")),
        ]
        for tried in family.methods
    ]
    return Table("Quality of the probabilities over all images, before → after correction", columns, rows)


def _probabilities(summary: GroupSummary) -> Iterator[Cell]:
    metrics: list[tuple[BeforeAfter, Any]] = [(summary.top5, formats.share)]
    metrics += [
        (values, lambda value: formats.number(value, ".4f")) for values in (summary.nll, summary.brier, summary.ece)
    ]
    for values, text in metrics:
        yield Cell(f"{text(values.before)} → {text(values.after)}", values.after - values.before)
