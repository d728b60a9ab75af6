"""What correction did to the predictions of a whole run, over all images and over the difficult ones."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .answers import ANSWER_COLUMNS, Answers
from .columns import answered, first_of, flags, numbers
from .intervals import Interval, bootstrap_interval, wilson_interval
from .statistics import PairedOutcome
from .subset import PAPER_SUBSET, Subset

if TYPE_CHECKING:
    import pandas as pd

SUMMARY_COLUMNS = (
    *ANSWER_COLUMNS,
    *("probs_before", "probs_after", "label_prob_before", "label_prob_after", "label_rank_before", "label_rank_after"),
    *("brier_before", "brier_after", "gap12", "gap15", "num_candidates", "corrected", "changed", "forwards", "failure"),
)
"""What `summarise` reads: load these only, and 50,000 images take megabytes instead of gigabytes."""


@dataclass(frozen=True)
class BeforeAfter:
    """One number of the predictions before correction and after it; NaN where no image has it."""

    before: float
    after: float


@dataclass(frozen=True)
class GroupSummary:
    """Some of a run's images. Failed ones are left out; right and wrong concern those with a label.

    Attributes:
        images: Images that could be done.
        unlabelled: Of them, without a label.
        corrected: Images that were corrected; `max_gap` passes the others unchanged.
        changed: Images with another answer after correction, labelled or not.
        outcome: The 2 x 2 table, with the accuracies and the exact McNemar p.
        interval_before: Wilson's 95 % interval of the accuracy before.
        interval_after: The same after.
        interval_difference: 95 % bootstrap interval of the accuracy after less that before.
        top5: Share of images whose true class is among the five most probable.
        ceiling: Share of images whose true class is among the K candidates before correction: what no re-ranking of
            the candidates can exceed.
        nll: Negative log-likelihood in nats.
        likelihood: How much likelier the true classes are after correction, image by image.
        brier: Mean of ``sum_m (p_m - 1[m = label])^2``, in [0, 2].
        ece: Expected calibration error of the answers, 15 bins.
        forwards_per_image: Mean number of forwards.
    """

    images: int
    unlabelled: int
    corrected: int
    changed: int
    outcome: PairedOutcome
    interval_before: Interval
    interval_after: Interval
    interval_difference: Interval
    top5: BeforeAfter
    ceiling: float
    nll: BeforeAfter
    likelihood: metrics.LikelihoodGain
    brier: BeforeAfter
    ece: BeforeAfter
    forwards_per_image: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the derived numbers; None stands for NaN."""
        table = self.outcome
        derived = {
            "accuracy": {"before": table.accuracy_before, "after": table.accuracy_after},
            "difference": table.difference,
            "mcnemar_p": table.mcnemar_p,
            "likelihood": {**asdict(self.likelihood), "z": self.likelihood.z},
        }
        without_nan: dict[str, Any] = _without_nan({**asdict(self), **derived})
        return without_nan


@dataclass(frozen=True)
class Summary:
    """A whole run.

    Attributes:
        images: All images of the run.
        failed: Images that could not be done; the groups leave them out.
        definition: Which images the subset holds.
        overall: All images that could be done.
        subset: Those of them that `definition` chooses.
    """

    images: int
    failed: int
    definition: Subset
    overall: GroupSummary
    subset: GroupSummary

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None stands for NaN."""
        return {
            "images": self.images,
            "failed": self.failed,
            "overall": self.overall.to_dict(),
            "subset": {**asdict(self.definition), **self.subset.to_dict()},
        }

    def _repr_html_(self) -> str:
        """The numbers as a table, as a notebook shows them."""
        from .text import summary_html  # which builds on this module

        return summary_html(self)


def summarise(records: "pd.DataFrame", subset: Subset = PAPER_SUBSET) -> Summary:
    """All numbers of a run.

    Args:
        records: One row per image, with `SUMMARY_COLUMNS`. May be empty, without labels, or failed throughout.
        subset: The difficult images; the paper's by default.

    Raises:
        ValueError: a column is missing.
    """
    done = answered(records, (*SUMMARY_COLUMNS, *subset.gap.columns))
    inside = subset.contains(records)
    return Summary(
        images=len(records),
        failed=len(records) - len(done),
        definition=subset,
        overall=_summarise_group(done),
        subset=_summarise_group(done.loc[inside]),
    )


def _summarise_group(done: "pd.DataFrame") -> GroupSummary:
    answers = Answers.of(done)
    known = answers.known
    outcome = PairedOutcome.of(answers.before, answers.after, answers.labels, known)
    ranks = {side: numbers(done[f"label_rank_{side}"])[known] for side in ("before", "after")}
    right = {"before": answers.right_before[known], "after": answers.right_after[known]}

    def both(metric: Any, column: str) -> BeforeAfter:
        return BeforeAfter(*(metric(numbers(done[f"{column}_{side}"])[known]) for side in ("before", "after")))

    def calibration(side: str) -> float:
        confidences: NDArray[np.float64] = first_of(done[f"probs_{side}"], np.float64)[known]
        return metrics.expected_calibration_error(confidences, right[side])

    return GroupSummary(
        images=len(done),
        unlabelled=int((~known).sum()),
        corrected=int(flags(done["corrected"]).sum()),
        changed=int(flags(done["changed"]).sum()),
        outcome=outcome,
        interval_before=wilson_interval(outcome.right_before, outcome.total),
        interval_after=wilson_interval(outcome.right_after, outcome.total),
        interval_difference=bootstrap_interval(outcome),
        top5=BeforeAfter(metrics.top_k_accuracy(ranks["before"], 5), metrics.top_k_accuracy(ranks["after"], 5)),
        ceiling=metrics.top_k_accuracy(ranks["before"], numbers(done["num_candidates"])[known].astype(np.int64)),
        nll=both(metrics.negative_log_likelihood, "label_prob"),
        likelihood=metrics.LikelihoodGain.of(
            *(numbers(done[f"label_prob_{side}"])[known] for side in ("before", "after"))
        ),
        brier=both(metrics.mean, "brier"),
        ece=BeforeAfter(calibration("before"), calibration("after")),
        forwards_per_image=metrics.mean(numbers(done["forwards"])),
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
