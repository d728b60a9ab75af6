"""`compare`: finished runs as one table of model x data set x method."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.intervals import holm
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.paired_methods import PAIRED_COLUMNS, MethodComparison, compare_corrected
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET, Subset
from maskcorrect_plugin.evaluation.summary import SUMMARY_COLUMNS, GroupSummary, Summary, summarise

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("overall", "subset")


@dataclass(frozen=True)
class MethodRow:
    """One method of one run.

    Attributes:
        model: The model's spec, with its weights.
        data: Where the images come from.
        images_key: What tells data sets apart: rows with the same one are paired.
        method: The method's name; with its run's where several runs have one of that name.
        name_in_run: The method's name in its run.
        leaks: The method looks at the labels, so that its numbers are no result.
        run: Folder of the run.
        summary: Its numbers.
        seconds_per_image: Mean time of a correction; NaN where no image could be done.
        holm_overall: The McNemar p over all images, adjusted for all methods on the same model and data.
        holm_subset: Likewise over the subset.
        holm_likelihood: The p of the likelihood gain over no correction, adjusted likewise, over all images.
        holm_likelihood_subset: Likewise over the subset.
        against: Against the method that the comparison was asked to compare with, over all images; None for itself or
            without one.
        against_subset: Likewise over the subset.
        holm_against: The p of the likelihood gain over that method, adjusted for all that are compared with it.
        holm_against_subset: Likewise over the subset.
    """

    model: str
    data: str
    images_key: tuple[str, str]
    method: str
    name_in_run: str
    leaks: bool
    run: Path
    summary: Summary
    seconds_per_image: float
    holm_overall: float = math.nan
    holm_subset: float = math.nan
    holm_likelihood: float = math.nan
    holm_likelihood_subset: float = math.nan
    against: MethodComparison | None = None
    against_subset: MethodComparison | None = None
    holm_against: float = math.nan
    holm_against_subset: float = math.nan

    def group(self, name: str) -> GroupSummary:
        """``"overall"`` or ``"subset"``."""
        return self.summary.overall if name == "overall" else self.summary.subset

    def holm(self, name: str) -> float:
        """The adjusted McNemar p over ``"overall"`` or ``"subset"``; NaN where the method leaks."""
        return self.holm_overall if name == "overall" else self.holm_subset

    def likelihood_p(self, name: str) -> float:
        """The adjusted p of the likelihood gain over no correction; NaN where the method leaks."""
        return self.holm_likelihood if name == "overall" else self.holm_likelihood_subset

    def baseline_p(self, name: str) -> float:
        """The adjusted p of the likelihood gain over the baseline; NaN without one, or where the method leaks."""
        return self.holm_against if name == "overall" else self.holm_against_subset

    def baseline(self, name: str) -> MethodComparison | None:
        """Against the baseline over ``"overall"`` or ``"subset"``; None for itself or without one."""
        return self.against if name == "overall" else self.against_subset

    def records(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """The records of this method: see `records.columns`."""
        return RunFolder.open(self.run).records(self.name_in_run, columns)


@dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        rows: One for each method of each run, those of the same model and data together, in the order given.
        subset: The difficult images.
        baseline: The method that all others are also compared with, image by image; None without one.
    """

    rows: tuple[MethodRow, ...]
    subset: Subset
    baseline: str | None = None

    def families(self) -> dict[tuple[str, str], list[MethodRow]]:
        """The rows by model and data."""
        found: dict[tuple[str, str], list[MethodRow]] = {}
        for row in self.rows:
            found.setdefault(row.images_key, []).append(row)
        return found

    def groups(self, name: str = "overall") -> dict[str, GroupSummary]:
        """The numbers of each method by its name, as the figures take them (`visualization.draw_accuracies`, ...).

        Args:
            name: ``"overall"`` or ``"subset"``.
        """
        check_choice("name", name, GROUPS)
        one = len(self.families()) == 1
        names = [row.method if one else f"{row.method} ({row.model} on {row.data})" for row in self.rows]
        return {label: row.group(name) for label, row in zip(names, self.rows, strict=True)}

    def settings(self) -> dict[str, dict[str, Any]]:
        """What each method's result depends on besides model and images, by the names of `groups`."""
        identities = [RunFolder.open(row.run).manifest.identity["methods"][row.name_in_run] for row in self.rows]
        return {name: dict(one) for name, one in zip(self.groups(), identities, strict=True)}

    def _repr_html_(self) -> str:
        """The tables, as a notebook shows them."""
        from .text import comparison_html

        return comparison_html(self)

    def to_frame(self) -> "pd.DataFrame":
        """One row for each method and group of images, with the numbers of its summary as plain columns."""
        import pandas as pd

        return pd.DataFrame([_plain(row, group, self.baseline) for row in self.rows for group in GROUPS])


def compare(
    runs: Iterable[str | Path | RunFolder], subset: Subset = PAPER_SUBSET, baseline: str | None = None
) -> Comparison:
    """Compares the methods of finished runs.

    p-values are adjusted by Holm's method over the methods with the same model and data: each was a chance to find
    something. Methods that look at the labels are no candidates for a finding and are left out of it.

    Args:
        runs: Folders of runs; the same method may be in several.
        subset: The difficult images.
        baseline: A method, ``"control:hflip"`` for one, that all others are compared with, image by image.

    Raises:
        ValueError: no run, the same run twice, an unfinished run, or a baseline that a group of runs does not have.
    """
    folders = [run if isinstance(run, RunFolder) else RunFolder.open(run) for run in runs]
    if not folders:
        raise ArgumentError("runs must name at least one folder of a run, got none")
    for position, folder in enumerate(folders):
        if folder.path.resolve() in [other.path.resolve() for other in folders[:position]]:
            raise ArgumentError(f"runs must name each folder once, got {folder.path!s} again")
        _check_complete(folder)
    rows = [_row(folder, method, subset) for folder in folders for method in folder.methods]
    families = Comparison(tuple(rows), subset).families().values()
    done = [row for family in families for row in _adjusted(_named_apart(family))]
    if baseline is not None:
        done = [
            row
            for family in Comparison(tuple(done), subset).families().values()
            for row in _against(family, subset, baseline)
        ]
    return Comparison(tuple(done), subset, baseline)


def _check_complete(folder: RunFolder) -> None:
    for method in folder.methods:
        done, total = len(folder.done(method)), folder.manifest.num_parts
        if done < total:
            raise ArgumentError(
                f"runs must be finished, but {folder.path!s} has {done} of {total} parts of {method!r}; the command "
                "that began it goes on with it"
            )


def _row(folder: RunFolder, method: str, subset: Subset) -> MethodRow:
    identity, about = folder.manifest.identity, folder.manifest.about
    records = folder.records(method, [*dict.fromkeys([*SUMMARY_COLUMNS, *subset.gap.columns, "seconds"])])
    model, data = identity["model"], identity["data"]
    weights = "" if model["weights"] in (None, "DEFAULT") else f" ({model['weights']})"
    return MethodRow(
        model=f"{model['spec']}{weights}",
        data=str(about.get("source") or data["kind"]),
        images_key=(model["fingerprint"], data["fingerprint"]),
        method=method,
        name_in_run=method,
        leaks=bool(identity["methods"][method].get("leaks", False)),
        run=folder.path,
        summary=summarise(records, subset),
        seconds_per_image=float(records["seconds"].mean()),
    )


def _named_apart(family: Sequence[MethodRow]) -> list[MethodRow]:
    """Methods of the same name in several runs get the run's name, or its path where that is not enough."""
    for whole_path in (False, True):
        names = [row.method for row in family]
        family = [
            replace(row, method=f"{row.name_in_run} ({row.run if whole_path else row.run.name})")
            if names.count(row.method) > 1
            else row
            for row in family
        ]
    return list(family)


def _adjusted(family: Sequence[MethodRow]) -> list[MethodRow]:
    fair = {row.method: row for row in family if not row.leaks}
    adjusted = {
        group: holm({name: row.group(group).outcome.mcnemar_p for name, row in fair.items()}) for group in GROUPS
    }
    likelihood = {group: _holm({name: row.group(group).likelihood for name, row in fair.items()}) for group in GROUPS}
    return [
        replace(
            row,
            holm_overall=adjusted["overall"].get(row.method, math.nan),
            holm_subset=adjusted["subset"].get(row.method, math.nan),
            holm_likelihood=likelihood["overall"].get(row.method, math.nan),
            holm_likelihood_subset=likelihood["subset"].get(row.method, math.nan),
        )
        for row in family
    ]


def _holm(gains: Mapping[str, LikelihoodGain]) -> dict[str, float]:
    """Adjusted p-values of those gains that have one."""
    return holm({name: gain.p for name, gain in gains.items() if not math.isnan(gain.p)})


def _against(family: Sequence[MethodRow], subset: Subset, baseline: str) -> list[MethodRow]:
    reference = next((row for row in family if row.method == baseline), None)
    if reference is None:
        names = ", ".join(repr(row.method) for row in family)
        raise ArgumentError(
            f"baseline must be a method of every model and data set, got {baseline!r}; there are {names}"
        )
    columns = [*dict.fromkeys([*PAIRED_COLUMNS, *subset.gap.columns, "failure"])]
    first = reference.records(columns)

    def compared(row: MethodRow) -> MethodRow:
        second = row.records(columns)
        whole, part = (compare_corrected(first, second, images) for images in (None, subset))
        return replace(row, against=whole, against_subset=part)

    rows = [row if row is reference else compared(row) for row in family]
    fair = [row for row in rows if not row.leaks]
    whole, part = (
        _holm({row.method: against.likelihood for row in fair if (against := row.baseline(group)) is not None})
        for group in GROUPS
    )
    return [
        replace(row, holm_against=whole.get(row.method, math.nan), holm_against_subset=part.get(row.method, math.nan))
        for row in rows
    ]


def _plain(row: MethodRow, name: str, baseline: str | None) -> dict[str, Any]:
    group = row.group(name)
    table = group.outcome
    return {
        "model": row.model,
        "data": row.data,
        "method": row.method,
        "leaks": row.leaks,
        "images": name if name == "overall" else str(row.summary.definition),
        "n": table.total,
        "accuracy_before": table.accuracy_before,
        "accuracy_after": table.accuracy_after,
        "difference": table.difference,
        "difference_low": group.interval_difference.low,
        "difference_high": group.interval_difference.high,
        "fixed": table.fixed,
        "broken": table.broken,
        "mcnemar_p": table.mcnemar_p,
        "holm_p": row.holm(name),
        "changed": group.changed,
        "ceiling": group.ceiling,
        "likelihood_gain": group.likelihood.mean,
        "likelihood_error": group.likelihood.error,
        "likelihood_z": group.likelihood.z,
        "likelihood_holm_p": row.likelihood_p(name),
        "nll_before": group.nll.before,
        "nll_after": group.nll.after,
        "brier_before": group.brier.before,
        "brier_after": group.brier.after,
        "ece_before": group.ece.before,
        "ece_after": group.ece.after,
        "forwards_per_image": group.forwards_per_image,
        "seconds_per_image": row.seconds_per_image,
        "run": str(row.run),
        **({} if baseline is None else _plain_against(row, name, baseline)),
    }


def _plain_against(row: MethodRow, name: str, baseline: str) -> dict[str, Any]:
    """The columns that a comparison has with a baseline; empty for the baseline itself."""
    against = row.baseline(name)
    return {
        "baseline": baseline,
        "right_alone": None if against is None else against.only_second,
        "baseline_right_alone": None if against is None else against.only_first,
        "baseline_p": None if against is None else against.outcome.mcnemar_p,
        "baseline_likelihood_gain": None if against is None else against.likelihood.mean,
        "baseline_likelihood_z": None if against is None else against.likelihood.z,
        "baseline_likelihood_holm_p": None if against is None else row.baseline_p(name),
    }
