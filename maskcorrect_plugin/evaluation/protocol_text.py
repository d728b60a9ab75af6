"""The paper's experiment as text for a terminal, beside the paper's own numbers."""

from itertools import pairwise

from . import paper
from .protocol import Histogram, ProtocolReport, ProtocolRow
from .text import p_text, percent, verdict, wrapped

LABEL, COLUMN = 32, 22


def protocol_text(report: ProtocolReport, title: str = "") -> str:
    """The tables of a report, its verdict and what keeps its numbers from being the paper's; at most 100 columns.

    Args:
        report: Of a run.
        title: First line; none if empty.
    """
    lines = [*wrapped(title), f"{'':{LABEL}}{'this run':>{COLUMN}}{'the paper':>{COLUMN}}"]
    for row in report.rows():
        lines.append(f"{row.name:{LABEL}}{_measured(row):>{COLUMN}}{_paper(row):>{COLUMN}}".rstrip())
    lines += ["", *_histogram_lines(report), ""]
    lines += wrapped(f"{report.subset}: {verdict(report.outcome)}")
    lines += [line for note in _notes(report) for line in wrapped(note)]
    return "\n".join(lines)


def _measured(row: ProtocolRow) -> str:
    return _value(row.name, row.measured, row.of)


def _paper(row: ProtocolRow) -> str:
    return "-" if row.paper is None else _value(row.name, row.paper, row.paper_of)


def _value(name: str, value: float, of: int | None) -> str:
    if name.endswith(" p"):
        return p_text(value, places=4)
    share = f" ({percent(value / of)})" if of else ""
    return f"{int(value):,}{share}"


def _histogram_lines(report: ProtocolReport) -> list[str]:
    """Both histograms, bin by bin."""
    first, second = report.right_gaps, report.wrong_gaps
    lines = [f"{'images in the bin':{LABEL}}{'rightly, p1 - p2':>{COLUMN}}{'wrongly, p1 - p(true)':>{COLUMN}}"]
    for (low, high), right, wrong in zip(pairwise(first.edges), first.counts, second.counts, strict=True):
        lines.append(f"{_bin(first, low, high):{LABEL}}{right:>{COLUMN},}{wrong:>{COLUMN},}")
    return lines


def _bin(histogram: Histogram, low: float, high: float) -> str:
    return f"{'from' if low == histogram.edges[0] else 'above'} {low:g} to {high:g}"


def _notes(report: ProtocolReport) -> list[str]:
    notes = [f"The paper: {paper.MODEL} on {paper.DATA}, {paper.IMAGES:,} images; it gives no test."]
    if report.images != paper.IMAGES:
        notes.append(f"Counts of {report.images:,} images do not compare with the paper's; shares may.")
    if report.failed or report.unlabelled:
        notes.append(f"Left out: {report.failed:,} images failed, {report.unlabelled:,} have no label.")
    return notes
