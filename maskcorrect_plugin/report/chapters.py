"""What the page says of each family, chapter by chapter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.summary import GroupSummary

from . import formats
from .close_looks import CloseLook, Sureness, look_closely, sureness_of
from .families import Family
from .method_tables import Group, method_groups, probabilities_table
from .setup import facts, lead, settings_table, steps
from .tables import Cell, Column, Table
from .verdicts import Verdict, beside_controls, verdict_on

if TYPE_CHECKING:
    import pandas as pd

MOST_FAILURES = 20
"""Failed images that are listed."""


@dataclass(frozen=True)
class Outcome:
    """The headline method on some of the images.

    Attributes:
        title: Which images.
        verdict: Whether it helped, and how sure that is.
        summary: All numbers.
        meaning: What the title means; empty where it says everything.
    """

    title: str
    verdict: Verdict
    summary: GroupSummary
    meaning: str = ""

    @property
    def table(self) -> PairedOutcome:
        """The 2 x 2 table."""
        return self.summary.outcome


@dataclass(frozen=True)
class Chapters:
    """One family.

    Attributes:
        family: The methods.
        outcomes: The headline method on all images, and on the difficult ones.
        lead: What was done, in two sentences.
        controls: What controls do beside it; empty where there is nothing to say.
        steps: What was done.
        facts: Names and values: model, images, versions.
        settings: Of all methods.
        groups: The methods side by side, on all images and on the difficult ones.
        probabilities: Quality of the probabilities.
        sureness: The histograms; None without labels.
        looks: The attribution methods one by one.
        failures: Images that could not be done; None if there are none.
    """

    family: Family
    outcomes: Sequence[Outcome]
    lead: str
    controls: str
    steps: Sequence[str]
    facts: Sequence[tuple[str, str]]
    settings: Table
    groups: Sequence[Group]
    probabilities: Table | None
    sureness: Sureness | None
    looks: Sequence[CloseLook]
    failures: Table | None

    @property
    def anchor(self) -> str:
        """Begins the page's names for the parts of this family."""
        return f"f{self.family.number}"


def chapters_of(families: Sequence[Family]) -> list[Chapters]:
    """All chapters of all families."""
    return [_chapters(family) for family in families]


def _chapters(family: Family) -> Chapters:
    headline = family.headline
    definition = headline.row.summary.definition
    overall, subset = (formats.count(headline.row.group(group).images) for group in ("overall", "subset"))
    titles = {
        "overall": f"All {overall} images",
        "subset": f"{subset} difficult images: gap {formats.plain_minus(definition)}",
    }
    labelled = bool(headline.row.summary.overall.outcome.total)
    looks = [look_closely(family, tried) for tried in family.explaining]
    return Chapters(
        family=family,
        outcomes=[
            Outcome(
                title,
                verdict_on(family, headline, group),
                headline.row.group(group),
                formats.in_words(definition) if group == "subset" else "",
            )
            for group, title in titles.items()
        ],
        lead=lead(family),
        controls=beside_controls(family),
        steps=steps(family),
        facts=facts(family),
        settings=settings_table(family.methods),
        groups=method_groups(family),
        probabilities=probabilities_table(family) if labelled else None,
        sureness=sureness_of(family),
        looks=[look for look in looks if look is not None],
        failures=_failures(family),
    )


def _failures(family: Family) -> Table | None:
    """Which images failed, and why."""
    rows = [
        [Cell(str(name)), Cell(tried.name), Cell(str(reason))]
        for tried in family.methods
        for name, reason in _failed(tried.records)
    ]
    if not rows:
        return None
    note = f"The first {MOST_FAILURES} of {formats.count(len(rows))}." if len(rows) > MOST_FAILURES else ""
    columns = [Column(title, numeric=False) for title in ("image", "method", "reason")]
    return Table("Images that could not be done, and are left out", columns, rows[:MOST_FAILURES], note)


def _failed(records: "pd.DataFrame") -> list[tuple[str, str]]:
    failed = records[records["failure"].notna()]
    return list(zip(failed["id"], failed["failure"], strict=True))
