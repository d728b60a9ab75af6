"""The runs of a report, ordered: a family is everything that was tried on one model and one data set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.comparison import Comparison, MethodRow
from maskcorrect_plugin.evaluation.manifest import Manifest
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.summary import SUMMARY_COLUMNS
from maskcorrect_plugin.recipe_words import METHOD, NO_MAP, kind_of, views_in_short
from maskcorrect_plugin.registry import describe_methods

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tried:
    """One method of a family: its numbers, its settings, and where its records are.

    Attributes:
        row: The numbers.
        folder: Its run.
    """

    row: MethodRow
    folder: RunFolder

    @property
    def name(self) -> str:
        """As the comparison calls it."""
        return self.row.method

    @property
    def settings(self) -> dict[str, Any]:
        """What its result depends on besides model and images."""
        return dict(self.folder.manifest.identity["methods"][self.row.name_in_run])

    @property
    def kind(self) -> str:
        """Which of `recipe_words.KINDS` its recipe is."""
        return kind_of(self.settings)

    @property
    def explains(self) -> bool:
        """Its views follow the maps of an attribution method: it is no control, and does not look at the labels."""
        return self.kind == METHOD

    @property
    def control(self) -> str:
        """What it shows in place of what the network used, if it is a control; else empty."""
        if self.explains:
            return ""
        views = views_in_short(self.settings)
        if self.kind == NO_MAP:
            return f"it follows no map: {views}"
        method = str(self.settings["method"])
        known = describe_methods().get(method)
        return f"{views} by {method if known is None else known.summary}"

    @cached_property
    def records(self) -> "pd.DataFrame":
        """One row per image, without whole distributions, which a page has no use for."""
        subset = self.row.summary.definition
        return self.row.records([*dict.fromkeys(["index", "id", "saved", *SUMMARY_COLUMNS, *subset.gap.columns])])

    @property
    def saved(self) -> float:
        """Pictures of an image that took no forward, because it showed an equal one; 0 where no image could be done."""
        saved = self.records["saved"].dropna()
        return float(saved.mean()) if len(saved) else 0.0


@dataclass(frozen=True)
class Family:
    """Everything that was tried on one model and one data set.

    Attributes:
        number: From 0.
        methods: In the order given.
    """

    number: int
    methods: Sequence[Tried] = field(default_factory=tuple)

    @property
    def headline(self) -> Tried:
        """The method that the summary is about: the first attribution method asked for, never the best one."""
        fair = [tried for tried in self.methods if not tried.row.leaks]
        return next((tried for tried in fair if tried.explains), (fair or list(self.methods))[0])

    @property
    def explaining(self) -> list[Tried]:
        """The methods that are looked at closely: the attribution methods, else the headline alone."""
        return [tried for tried in self.methods if tried.explains] or [self.headline]

    @property
    def fair(self) -> list[Tried]:
        """The methods that do not look at the labels: each was a chance to find something."""
        return [tried for tried in self.methods if not tried.row.leaks]

    @property
    def manifest(self) -> Manifest:
        """What the headline's run is a run of."""
        return self.headline.folder.manifest

    @property
    def name(self) -> str:
        """``"MODEL on DATA"``."""
        return f"{self.headline.row.model} on {self.headline.row.data}"


def families_of(comparison: Comparison) -> list[Family]:
    """The families of a comparison, in its order."""
    folders = {row.run: RunFolder.open(row.run) for row in comparison.rows}
    return [
        Family(number, tuple(Tried(row, folders[row.run]) for row in rows))
        for number, rows in enumerate(comparison.families().values())
    ]
