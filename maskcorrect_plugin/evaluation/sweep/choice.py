"""Choosing a setting on some images, and what it does on the others."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskcorrect_plugin.checks import check_number
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.recipe import Recipe

from .grid import VARIED

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SettingOutcome:
    """One recipe on both splits.

    Attributes:
        recipe: What was tried.
        selection: Its 2 x 2 table on the images that choose.
        report: Its 2 x 2 table on the others.
    """

    recipe: Recipe
    selection: PairedOutcome
    report: PairedOutcome


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep found.

    Attributes:
        outcomes: One for each setting, in the order of the grid.
        chosen: The setting that is best on the selection split.
        own: The run's own setting.
        differences: Images whose answer under the run's own setting is another one than the run recorded: what storing
            maps in half precision costs.
        images: Images that could be done, both splits together.
        seed: Of the splits.
    """

    outcomes: tuple[SettingOutcome, ...]
    chosen: SettingOutcome
    own: SettingOutcome
    differences: int
    images: int
    seed: int

    def to_frame(self) -> "pd.DataFrame":
        """One row for each setting."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for outcome in self.outcomes:
            row: dict[str, Any] = {name: outcome.recipe.to_dict()[name] for name in VARIED}
            row["views"] = "+".join(row["views"])
            for split, table in (("selection", outcome.selection), ("report", outcome.report)):
                row.update({f"{split}_{name}": value for name, value in asdict(table).items()})
                row[f"{split}_accuracy_before"], row[f"{split}_accuracy_after"] = (
                    table.accuracy_before,
                    table.accuracy_after,
                )
            rows.append({**row, "chosen": outcome is self.chosen, "own": outcome is self.own})
        return pd.DataFrame(rows)


def selects(ids: Sequence[str], share: float = 0.5, seed: int = 0) -> NDArray[np.bool_]:
    """Which images choose: by their ids alone, so that the split is the same for every model, method and machine.

    Args:
        ids: Names of the images.
        share: Of the images that choose, about; in (0, 1).
        seed: Another one gives another split.

    Example:
        >>> selects(["a", "b", "c", "d"]).tolist() == selects(["d", "c", "b", "a"]).tolist()[::-1]
        True
    """
    check_number("share", share, 0, 1)
    numbers = [int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]) for name in ids]
    return np.array(numbers, dtype=np.float64) < share * 2.0**64


def choose(
    results: "pd.DataFrame",
    recipes: Sequence[Recipe],
    recorded_answers: "pd.Series[Any]",
    *,
    share: float = 0.5,
    seed: int = 0,
) -> SweepOutcome:
    """The outcome of a sweep.

    The best setting has the most right answers on the selection split; among equals the one with the smaller K, then
    the first of the grid.

    Args:
        results: One row per image: see `rerun.sweep_schema`.
        recipes: Of the list columns, the run's own first.
        recorded_answers: The run's corrected answers, in the order of `results`.
        share: Of the images that choose.
        seed: Of the split.

    Raises:
        ValueError: no labelled image on one of the splits.
    """
    done = results["failure"].isna().to_numpy(dtype=bool)
    known = results["label"].notna().to_numpy(dtype=bool) & done
    answers = np.stack(results.loc[known, "answers"].to_list()) if known.any() else np.empty((0, len(recipes)), int)
    labels = results.loc[known, "label"].to_numpy(dtype=np.int64)
    before = results.loc[known, "answer_before"].to_numpy(dtype=np.int64)
    selecting = selects(results.loc[known, "id"].to_list(), share, seed)
    if not selecting.any() or selecting.all():
        raise ArgumentError(
            f"a sweep needs labelled images to choose on and others to report on, got {int(selecting.sum())} and "
            f"{int((~selecting).sum())}"
        )
    outcomes = tuple(
        SettingOutcome(
            recipe,
            PairedOutcome.of(before, answers[:, column], labels, selecting),
            PairedOutcome.of(before, answers[:, column], labels, ~selecting),
        )
        for column, recipe in enumerate(recipes)
    )
    chosen = max(outcomes, key=lambda outcome: (outcome.selection.right_after, -outcome.recipe.top_k))
    under_own = np.array([row[0] for row in results.loc[done, "answers"]], dtype=np.int64)
    differences = int((under_own != recorded_answers[done].to_numpy(dtype=np.int64)).sum())
    return SweepOutcome(outcomes, chosen, outcomes[0], differences, int(done.sum()), seed)
