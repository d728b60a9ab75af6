"""The cheap part of a correction on kept maps: mask, ask again, add, for every setting of a grid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup
from maskcorrect_plugin.evaluation.records.maps import unpack_maps
from maskcorrect_plugin.evaluation.records.parts import write_table
from maskcorrect_plugin.inference import evaluation_mode
from maskcorrect_plugin.views import make_view

from .folder import SweepFolder
from .grid import Grid

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


@dataclass(frozen=True)
class Rerun:
    """Runs the settings of a grid on the images of a run.

    Attributes:
        corrector: As the run had it; its view is replaced for each setting.
        dataset: The images of the run.
        grid: What is tried.
        fill: Of the mask view, as the run had it.
        mean: Of the normalisation, for a black fill.
        std: Likewise.
    """

    corrector: ProbabilityCorrector
    dataset: ImageDataset
    grid: Grid
    fill: str = "zero"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def run_part(self, folder: SweepFolder, part: int, group: LoadedGroup) -> None:
        """Does one part and writes it.

        Raises:
            RunError: it cannot be written, or the run keeps no maps of it.
        """
        recorded = folder.recorded(part)
        maps = {int(row["index"]): row for row in folder.kept_maps(part)}
        rows = [self._carried_over(recorded[index]) for index in group.indices]
        for position, reason in group.failures.items():
            rows[position]["failure"] = rows[position]["failure"] or reason
        readable = [(row, position) for row, position in enumerate(group.kept) if rows[position]["failure"] is None]
        corrected = [(row, position) for row, position in readable if group.indices[position] in maps]
        if corrected:
            chosen, positions = [row for row, _ in corrected], [position for _, position in corrected]
            entries = [recorded[group.indices[position]] for position in positions]
            coarse = torch.stack([unpack_maps(maps[group.indices[position]]) for position in positions])
            answers, label_probs = self._answers(group.inputs[chosen], coarse, entries)
            for column, position in enumerate(positions):
                rows[position]["answers"] = answers[:, column].int().numpy()
                rows[position]["label_probs"] = label_probs[:, column].float().numpy()
        write_table(folder.part_file(part), rows, sweep_schema(), {"maskcorrect_part": str(part)})

    def _carried_over(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What the run says of an image; one that it did not correct has the same answer under every setting."""
        names = ("index", "id", "label", "failure", "label_prob_before", "gap12", "gap15", "probs_before")
        row = {name: entry[name] for name in names}
        count = len(self.grid.settings())
        if row["failure"] is None:
            answer = int(entry["classes_before"][0])
            unchanged = [entry["label_prob_before"]] * count
            row.update(answer_before=answer, answers=[answer] * count)
            row["label_probs"] = None if entry["label_prob_before"] is None else unchanged
        return row

    def _answers(self, inputs: Tensor, coarse: Tensor, entries: list[Mapping[str, Any]]) -> tuple[Tensor, Tensor]:
        """Answers (S,n) and probabilities of the true class (S,n; NaN without one), for S settings."""
        corrector = self.corrector
        inputs = corrector.engine.place(inputs)
        top_k = coarse.shape[1]
        candidates = torch.tensor([list(entry["classes_before"])[:top_k] for entry in entries], device=inputs.device)
        labels = torch.tensor([-1 if entry["label"] is None else int(entry["label"]) for entry in entries])
        answers, label_probs = [], []
        with evaluation_mode(corrector.model):
            probs = corrector.engine.probs(corrector.engine.scores(inputs))
            maps = corrector.method.render(coarse.to(inputs.device), functional.spatial_size(inputs))
            maps = torch.where(functional.is_flat(maps)[..., None, None], 0, maps)
            for view, threshold in self.grid.looks():
                corrector.view = make_view(view, threshold, self.fill, self.mean, self.std)
                masked = corrector.ask_about_maps(inputs, maps, corrector.view.prepare(inputs))
                for corrected in self._corrected(probs, masked, candidates):
                    answers.append(corrected.argmax(dim=-1).cpu())
                    own = corrected.cpu().gather(1, labels.clamp_min(0)[:, None]).squeeze(1)
                    label_probs.append(torch.where(labels >= 0, own, torch.nan))
        return torch.stack(answers), torch.stack(label_probs)

    def _corrected(self, probs: Tensor, masked: Tensor, candidates: Tensor) -> Iterator[Tensor]:
        """Corrected distributions for each K, vote and weights, in the order of `Grid.settings`."""
        for top_k in self.grid.top_ks:
            some = candidates[:, :top_k]
            for vote in self.grid.votes:
                for weights in self.grid.weights:
                    chosen = functional.candidate_weights(probs, some, weights)
                    term = functional.correction_term(chosen, masked[:, :top_k], some, vote)
                    yield functional.apply_correction(probs, term)
