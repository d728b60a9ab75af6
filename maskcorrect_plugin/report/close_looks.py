"""A method looked at closely: by gap, by pairs of confused classes, by class."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.evaluation import paper
from maskcorrect_plugin.evaluation.gains import class_gains, pair_gains
from maskcorrect_plugin.evaluation.gap_bins import gap_bins
from maskcorrect_plugin.evaluation.protocol import ProtocolReport, ProtocolRow, paper_protocol
from maskcorrect_plugin.evaluation.subclasses import MARGIN, confused_classes
from maskcorrect_plugin.printable import printable

from . import formats
from .families import Family, Tried
from .figures import Drawing, draw_bins, draw_confusion, draw_histograms
from .tables import Cell, Column, Table, counted, gained

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 200
"""Rows of a table; of longer ones both ends are displayed."""


@dataclass(frozen=True)
class Sureness:
    """How sure the network was before correction.

    Attributes:
        histograms: The paper's two.
        paper: Every number of the paper's experiment beside the paper's own.
    """

    histograms: Drawing
    paper: Table


@dataclass(frozen=True)
class CloseLook:
    """One method by gap and by class.

    Attributes:
        name: The method.
        bins: What it did by the gap, as a figure.
        bins_table: The same in numbers.
        confusion: The graph of confused classes; None without confusions.
        confusion_table: The same in numbers.
        classes: Gains by class; None without labels.
        pairs: Gains by pair of true class and wrong answer; None without labels.
    """

    name: str
    bins: Drawing
    bins_table: Table
    confusion: Drawing | None
    confusion_table: Table
    classes: Table | None
    pairs: Table | None


def sureness_of(family: Family) -> Sureness | None:
    """The histograms of a family; None without labels."""
    headline = family.headline
    if not headline.row.summary.overall.outcome.total:
        return None
    report = paper_protocol(headline.records, headline.row.summary.definition)
    return Sureness(draw_histograms(family, report), _paper_table(headline, report))


def look_closely(family: Family, tried: Tried) -> CloseLook | None:
    """Everything about one method; None where no image could be done."""
    if not tried.row.summary.overall.images:
        return None
    records = tried.records
    names = [printable(name) for name in tried.folder.manifest.class_names]
    bins = gap_bins(records, tried.row.summary.definition.definition)
    edges = confused_classes(records, class_names=names)
    labelled = bool(tried.row.summary.overall.outcome.total)
    return CloseLook(
        name=tried.name,
        bins=draw_bins(family, tried, bins),
        bins_table=_bins_table(bins, labelled),
        confusion=draw_confusion(family, tried, edges, names) if len(edges) else None,
        confusion_table=_confusion_table(edges, labelled),
        classes=_classes_table(class_gains(records, names)) if labelled else None,
        pairs=_pairs_table(pair_gains(records, names)) if labelled else None,
    )


def _bins_table(bins: "pd.DataFrame", labelled: bool) -> Table:
    columns = [Column("gap", numeric=False), Column("images"), Column("changed")]
    columns += [Column("fixed"), Column("broken")] if labelled else []
    rows = []
    for row in bins.itertuples():
        cells = [Cell(f"{row.low:g} to {row.high:g}", row.low), counted(row.images), counted(row.changed)]
        outcome = [counted(row.fixed, "fixed"), counted(row.broken, "broken")] if labelled else []
        rows.append([*cells, *outcome])
    return Table("Answers by gap", columns, rows, sortable=False)


def _confusion_table(edges: "pd.DataFrame", labelled: bool) -> Table:
    columns = [
        Column("class", numeric=False),
        Column("and class", numeric=False),
        Column("images", hint=f"with both within {MARGIN:g} of the first answer's probability"),
    ]
    if labelled:
        columns += [
            Column("confused", hint="images of one of them that were answered as the other"),
            Column("fixed", hint="confused images answered rightly after correction"),
            Column("broken", hint="images answered rightly before, and as the other class after"),
        ]

    def cells(row: Any) -> list[Cell]:
        outcome = [counted(row.confused), counted(row.fixed, "fixed"), counted(row.broken, "broken")]
        return [Cell(row.first_name), Cell(row.second_name), counted(row.images), *(outcome if labelled else [])]

    strongest = edges.head(MOST_ROWS)
    note = "" if len(edges) <= MOST_ROWS else f"The strongest {MOST_ROWS} of {formats.count(len(edges))} pairs."
    return Table("Pairs of confused classes", columns, [cells(row) for row in strongest.itertuples()], note)


def _classes_table(gains: "pd.DataFrame") -> Table:
    columns = [
        Column("true class", numeric=False),
        Column("images"),
        Column("right before"),
        Column("right after"),
        Column("fixed"),
        Column("broken"),
        Column("gain", hint="fixed less broken"),
    ]

    def cells(row: Any) -> list[Cell]:
        numbers = [counted(row.images), counted(row.right_before), counted(row.right_after)]
        return [Cell(row.class_name), *numbers, *_moves(row)]

    return _both_ends("Gains by class", columns, gains, cells, "classes")


def _pairs_table(gains: "pd.DataFrame") -> Table:
    columns = [
        Column("true class", numeric=False),
        Column("answered", numeric=False),
        Column("before", hint="images of the true class answered so before correction"),
        Column("after", hint="and after it"),
        Column("fixed"),
        Column("broken"),
        Column("gain", hint="fixed less broken"),
    ]

    def cells(row: Any) -> list[Cell]:
        return [Cell(row.true_name), Cell(row.answer_name), counted(row.before), counted(row.after), *_moves(row)]

    return _both_ends("Gains by wrong answer", columns, gains, cells, "pairs")


def _moves(row: Any) -> list[Cell]:
    return [counted(row.fixed, "fixed"), counted(row.broken, "broken"), gained(int(row.gain))]


def _both_ends(
    caption: str, columns: Sequence[Column], gains: "pd.DataFrame", cells: Callable[[Any], list[Cell]], what: str
) -> Table:
    """The rows with the largest gains and those with the largest losses, or all of them."""
    half = MOST_ROWS // 2
    if len(gains) <= MOST_ROWS:
        return Table(caption, columns, [cells(row) for row in gains.itertuples()])
    ends = [*gains.head(half).itertuples(), *gains.tail(half).itertuples()]
    note = f"The {half} {what} that gained most and the {half} that lost most, of {formats.count(len(gains))}."
    return Table(caption, columns, [cells(row) for row in ends], note)


def _paper_table(headline: Tried, report: ProtocolReport) -> Table:
    columns = [Column("number", numeric=False), Column("this run"), Column("the paper")]

    def text(row: ProtocolRow, value: float | None, of: int | None) -> Cell:
        if value is None:
            return Cell(formats.NOTHING)
        if row.name.endswith(" p"):
            return Cell(formats.p_value(value))
        return Cell(formats.count(value) + (f" ({formats.share(value / of)})" if of else ""))

    rows = [
        [
            Cell(formats.plain_minus(row.name).replace("<=", "≤")),
            text(row, row.measured, row.of),
            text(row, row.paper, row.paper_of),
        ]
        for row in report.rows()
    ]
    note = (
        f"The paper: {paper.MODEL} on {paper.DATA}, {formats.count(paper.IMAGES)} images, by Score-CAM. "
        "Counts compare with it only there."
    )
    return Table(f"The paper's experiment, by {headline.name}", columns, rows, note, sortable=False)
