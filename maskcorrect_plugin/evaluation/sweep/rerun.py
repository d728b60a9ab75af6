"""The cheap part of a correction on kept maps: every recipe of a grid, on the images of a run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup
from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.evaluation.records.maps import unpack_maps
from maskcorrect_plugin.evaluation.records.parts import write_table
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.together import correct_together

from .folder import SweepFolder
from .kept_maps import KeptMaps

if TYPE_CHECKING:
    import pyarrow as pa


def sweep_schema() -> "pa.Schema":
    """The parquet schema of a sweep: one row per image, with one value per setting in the list columns."""
    import pyarrow as pa

    fields = {
        "index": pa.int64(),
        "id": pa.string(),
        "label": pa.int32(),
        "failure": pa.string(),
        "answer_before": pa.int32(),
        "answers": pa.list_(pa.int32()),
        "label_prob_before": pa.float32(),
        "label_probs": pa.list_(pa.float32()),
        "gap12": pa.float32(),
        "gap15": pa.float32(),
        "probs_before": pa.list_(pa.float32()),
    }
    return pa.schema(list(fields.items()))


class Rerun:
    """Runs recipes on the images of a run, by the maps that it kept.

    Args:
        corrector: As the run had it.
        dataset: The images of the run.
        recipes: What is tried.
    """

    def __init__(self, corrector: ProbabilityCorrector, dataset: ImageDataset, recipes: list[Recipe]) -> None:
        self.corrector = corrector
        self.dataset = dataset
        self.maps = KeptMaps(corrector.guide)
        self.correctors = {
            str(number): ProbabilityCorrector(
                corrector.model,
                self.maps,
                recipe=recipe.replace(max_gap=None),
                preprocessing=corrector.preprocessing,
                share=corrector,
                output=corrector.engine.output,
                precision=corrector.engine.precision,
            )
            for number, recipe in enumerate(recipes)
        }

    @property
    def needs_pictures(self) -> bool:
        """Whether a view of one of the recipes is cut from the original pictures."""
        return any(corrector.needs_pictures for corrector in self.correctors.values())

    def run_part(self, folder: SweepFolder, part: int, group: LoadedGroup) -> None:
        """Does one part and writes it.

        Raises:
            RunError: it cannot be written, or the run lacks the maps of an image that it corrected.
        """
        recorded = folder.recorded(part)
        maps = {int(row["index"]): row for row in folder.kept_maps(part)}
        rows = [self._carried_over(recorded[index]) for index in group.indices]
        for position, reason in group.failures.items():
            rows[position]["failure"] = rows[position]["failure"] or reason
        readable = [(row, position) for row, position in enumerate(group.kept) if rows[position]["failure"] is None]
        chosen = [(row, position) for row, position in readable if recorded[group.indices[position]]["corrected"]]
        if chosen:
            entries = [recorded[group.indices[position]] for _, position in chosen]
            self.maps.hold({str(entry["id"]): _kept(entry, maps) for entry in entries})
            answers, label_probs = self._answers(group, [row for row, _ in chosen], entries)
            for column, (_, position) in enumerate(chosen):
                rows[position]["answers"] = answers[:, column].int().numpy()
                rows[position]["label_probs"] = label_probs[:, column].float().numpy()
        write_table(folder.part_file(part), rows, sweep_schema(), {"maskcorrect_part": str(part)})

    def _carried_over(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What the run says of an image; one that it did not correct has the same answer under every recipe."""
        names = ("index", "id", "label", "failure", "label_prob_before", "gap12", "gap15", "probs_before")
        row = {name: entry[name] for name in names}
        count = len(self.correctors)
        if row["failure"] is None:
            answer = int(entry["classes_before"][0])
            unchanged = [entry["label_prob_before"]] * count
            row.update(answer_before=answer, answers=[answer] * count)
            row["label_probs"] = None if entry["label_prob_before"] is None else unchanged
        return row

    def _answers(
        self, group: LoadedGroup, chosen: list[int], entries: list[Mapping[str, Any]]
    ) -> tuple[Tensor, Tensor]:
        """Answers (S,n) and probabilities of the true class (S,n; NaN without one), for S recipes."""
        images: Any = group.inputs[chosen] if group.pictures is None else [group.pictures[row] for row in chosen]
        labels = torch.tensor([-1 if entry["label"] is None else int(entry["label"]) for entry in entries])
        results = correct_together(self.correctors, images, ids=[str(entry["id"]) for entry in entries])
        answers, label_probs = [], []
        for result in results.values():
            corrected = result.corrected_probs.cpu()
            answers.append(corrected.argmax(dim=-1))
            own = corrected.gather(1, labels.clamp_min(0)[:, None]).squeeze(1)
            label_probs.append(torch.where(labels >= 0, own, torch.nan))
        return torch.stack(answers), torch.stack(label_probs)


def _kept(entry: Mapping[str, Any], maps: Mapping[int, Any]) -> tuple[Tensor, list[int]]:
    """The kept maps of an image, and the classes that they are of."""
    if int(entry["index"]) not in maps:
        raise RunError(f"the run corrected {entry['id']!r}, but its maps are missing; make the part anew")
    kept = unpack_maps(maps[int(entry["index"])])
    return kept, [int(index) for index in list(entry["classes_before"])[: len(kept)]]
