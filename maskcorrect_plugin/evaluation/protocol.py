"""The paper's experiment on the records of a run, every number beside the paper's own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_number

from . import paper
from .answers import ANSWER_COLUMNS, Answers
from .columns import answered, first_of, numbers
from .gap_bins import TENTHS, bin_of, check_edges, count_bins
from .statistics import PairedOutcome
from .subset import PAPER_SUBSET, Gap, Subset

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Histogram:
    """How many images lie where, along a difference of two probabilities.

    Attributes:
        edges: Of the bins, increasing. A bin holds its upper edge and not its lower one, but the first holds both.
        counts: Images in each bin.
        bound: The bound that the paper counts at.
        within: Images at or below it.
        images: All images, those outside the edges too.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    bound: float
    within: int
    images: int


@dataclass(frozen=True)
class ProtocolRow:
    """One number of the protocol.

    Attributes:
        name: What it is.
        measured: In this run.
        paper: In the paper, or computed from what it gives; None where subset or bound are not the paper's.
        of: What `measured` is a part of, where it is one: the number of images.
        paper_of: The same for `paper`.
    """

    name: str
    measured: float
    paper: float | None
    of: int | None = None
    paper_of: int | None = None


@dataclass(frozen=True)
class ProtocolReport:
    """The paper's three tables, of a run. Failed and unlabelled images are counted and left out.

    Attributes:
        images: Images with an answer and a label.
        failed: Images that could not be done.
        unlabelled: Images that could be done and have no label.
        right: Images answered rightly before correction.
        top5: Images whose true class is among the five most probable before correction.
        right_gaps: p1 - p2 over the images answered rightly.
        wrong_gaps: p1 - p(true class) over the images answered wrongly.
        subset: Where correction is evaluated.
        outcome: The 2 x 2 table on it.
    """

    images: int
    failed: int
    unlabelled: int
    right: int
    top5: int
    right_gaps: Histogram
    wrong_gaps: Histogram
    subset: Subset
    outcome: PairedOutcome

    @property
    def wrong(self) -> int:
        """Images answered wrongly before correction."""
        return self.images - self.right

    def rows(self) -> tuple[ProtocolRow, ...]:
        """Every number beside the paper's own."""
        bound = f"{self.right_gaps.bound:g}"
        whole, top5 = (self.images, paper.IMAGES), round(paper.TOP5_ACCURACY * paper.IMAGES)
        right, wrong = (self.right, paper.RIGHT), (self.wrong, paper.WRONG)
        test = [
            ProtocolRow("images", *whole),
            ProtocolRow("answered rightly (top-1)", *right, *whole),
            ProtocolRow("answered wrongly", *wrong, *whole),
            ProtocolRow("true class among the top 5", self.top5, top5, *whole),
        ]
        within = [
            ProtocolRow(f"rightly, p1 - p2 <= {bound}", self.right_gaps.within, paper.RIGHT_WITHIN_BOUND, *right),
            ProtocolRow(f"wrongly, p1 - p(true) <= {bound}", self.wrong_gaps.within, paper.WRONG_WITHIN_BOUND, *wrong),
        ]
        correction = [ProtocolRow(str(self.subset), self.outcome.total, paper.SUBSET_OUTCOME.total, *whole)]
        correction += _outcome_rows(self.outcome, paper.SUBSET_OUTCOME)
        same_bound, same_subset = self.right_gaps.bound == paper.BOUND, self.subset == PAPER_SUBSET
        return (*test, *_beside(within, same_bound), *_beside(correction, same_subset))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "wrong": self.wrong, "rows": [asdict(row) for row in self.rows()]}


def paper_protocol(
    records: "pd.DataFrame",
    subset: Subset = PAPER_SUBSET,
    bound: float = paper.BOUND,
    edges: Sequence[float] = TENTHS,
) -> ProtocolReport:
    """The paper's experiment on the records of a run. The network, the data and the method are what the run used.

    Args:
        records: One row per image, corrected at least where `subset` says.
        subset: Where correction is evaluated: p1 - p5 < 0.5 strictly.
        bound: At or below it the histograms' images are counted. In [0, 1].
        edges: Of the histograms' bins.

    Raises:
        ValueError: a column is missing, or an argument is outside its range.
    """
    check_number("bound", bound, 0, 1, include_high=True)
    edges = check_edges(edges)
    columns = (*ANSWER_COLUMNS, "probs_before", "label_prob_before", "label_rank_before")
    done = answered(records, columns)
    answers = Answers.of(done)
    known = answers.known
    right, wrong = answers.right_before, known & ~answers.right_before
    best = Gap("p1-p2").of(records)
    to_truth = first_of(done["probs_before"], np.float32) - numbers(done["label_prob_before"]).astype(np.float32)
    return ProtocolReport(
        images=int(known.sum()),
        failed=len(records) - len(done),
        unlabelled=int((~known).sum()),
        right=int(right.sum()),
        top5=int((numbers(done["label_rank_before"])[known] <= 5).sum()),
        right_gaps=_histogram(best[right], edges, bound),
        wrong_gaps=_histogram(to_truth[wrong], edges, bound),
        subset=subset,
        outcome=PairedOutcome.from_records(records, subset),
    )


def _histogram(values: NDArray[np.float32], edges: tuple[float, ...], bound: float) -> Histogram:
    counts = count_bins(bin_of(values, edges, closed="right"), len(edges) - 1)
    return Histogram(edges, tuple(counts.tolist()), bound, int((values <= np.float32(bound)).sum()), len(values))


def _outcome_rows(ours: PairedOutcome, theirs: PairedOutcome) -> list[ProtocolRow]:
    whole = (ours.total, theirs.total)
    return [
        ProtocolRow("right before correction", ours.right_before, theirs.right_before, *whole),
        ProtocolRow("right after correction", ours.right_after, theirs.right_after, *whole),
        ProtocolRow("both right", ours.both_right, theirs.both_right),
        ProtocolRow("fixed", ours.fixed, theirs.fixed),
        ProtocolRow("broken", ours.broken, theirs.broken),
        ProtocolRow("both wrong", ours.both_wrong, theirs.both_wrong),
        ProtocolRow("exact McNemar p", ours.mcnemar_p, theirs.mcnemar_p),
    ]


def _beside(rows: list[ProtocolRow], comparable: bool) -> list[ProtocolRow]:
    """The rows, without the paper's numbers where they are of something else."""
    return rows if comparable else [replace(row, paper=None, paper_of=None) for row in rows]
