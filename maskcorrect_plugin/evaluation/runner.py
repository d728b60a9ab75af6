"""The loop of an evaluation: part by part, method by method, each part written when it is whole."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup
from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.normalization import denormalize, known_or_spread

from .correctable import Answer, Correctable, correct_each
from .records.columns import DISTRIBUTIONS, records_schema
from .records.maps import maps_schema, pack_maps
from .records.parts import write_table
from .records.rows import rows_of
from .records.thumbnails import kind_of, pack_thumbnail, quota, thumbnails_schema
from .run_folder import MAPS, RECORDS, THUMBNAILS, RunFolder

MAPS_PER_GROUP = 160
"""Maps that a group of images may hold at a time: 32 images of 5 candidates, 1 of 160."""


@dataclass(frozen=True)
class RecordOptions:
    """What a run keeps.

    Attributes:
        images_per_part: Images in one parquet part, the unit that a killed run may lose.
        distributions: How whole distributions are kept: ``"float16"``, ``"float32"`` or ``"top"`` (the most probable
            classes only).
        keep_maps: Keep the maps as the method makes them, for sweeps.
        thumbnails: Small pictures of changed images that are kept at most, spread evenly over the data set.
    """

    images_per_part: int = 32
    distributions: str = "float16"
    keep_maps: bool = False
    thumbnails: int = 0

    def __post_init__(self) -> None:
        check_int("images_per_part", self.images_per_part, 1)
        check_choice("distributions", self.distributions, DISTRIBUTIONS)
        check_int("thumbnails", self.thumbnails, 0)


class Progress(Protocol):
    """What a runner tells of its progress; a tqdm bar is one."""

    def update(self, n: int) -> Any:
        """So many more (image, method) pairs are done."""


class PartRunner:
    """Does one part of one method.

    Args:
        folder: Where parts go.
        dataset: Gives ids and labels.
        options: What is kept.
        mean: Of the normalisation, for thumbnails; None where it is not known.
        std: Likewise.
    """

    def __init__(
        self,
        folder: RunFolder,
        dataset: ImageDataset,
        options: RecordOptions,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.folder = folder
        self.dataset = dataset
        self.options = options
        self.mean, self.std = mean, std

    def run(self, method: str, corrector: Correctable, part: int, group: LoadedGroup) -> None:
        """Corrects the images of a part and writes it; the records come last, so that they mean that all is there.

        Raises:
            RunError: the part cannot be written.
            RuntimeError: an error of torch that hits every image.
        """
        entries = [self.dataset.record(index) for index in group.indices]
        rows: list[dict[str, Any]] = [
            {"index": index, "id": entry.id, "label": entry.label}
            for index, entry in zip(group.indices, entries, strict=True)
        ]
        for position, reason in group.failures.items():
            rows[position]["failure"] = reason
        maps: list[dict[str, Any]] = []
        thumbnails: list[tuple[float, dict[str, Any]]] = []
        for chosen in _slices(len(group.kept), MAPS_PER_GROUP // max(1, getattr(corrector, "num_views", 5))):
            kept = group.kept[chosen]
            some = [rows[position] for position in kept]
            answers = self._correct(corrector, group.inputs[chosen], some)
            for row, answer, image in zip(some, answers, group.inputs[chosen], strict=True):
                if answer.result is not None:
                    maps += self._kept_maps(row, answer)
                    thumbnails += self._thumbnails(row, answer, image, corrector)
        note = {"maskcorrect_method": method, "maskcorrect_part": str(part)}
        if self.options.keep_maps:
            write_table(self.folder.part_file(MAPS, method, part), maps, maps_schema(), note)
        if self.options.thumbnails:
            limit = quota(part, self.folder.manifest.num_parts, self.options.thumbnails)
            best = [row for _, row in sorted(thumbnails, key=lambda pair: -pair[0])[:limit]]
            write_table(self.folder.part_file(THUMBNAILS, method, part), best, thumbnails_schema(), note)
        write_table(
            self.folder.part_file(RECORDS, method, part), rows, records_schema(self.options.distributions), note
        )

    def _correct(self, corrector: Correctable, inputs: Tensor, rows: Sequence[dict[str, Any]]) -> list[Answer]:
        """Corrects some images and fills in their rows."""
        keep = set() if self.options.distributions == "top" else {"masked_probs"}
        if self.options.keep_maps or self.options.thumbnails:
            keep.add("coarse_maps")
        labels, ids = [row["label"] for row in rows], [row["id"] for row in rows]
        started = time.perf_counter()
        answers = correct_each(corrector, inputs, labels, ids, keep)
        seconds = (time.perf_counter() - started) / len(rows)
        values: list[dict[str, Any]] = []
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            if answer.result is None:
                row["failure"] = answer.failure
                continue
            if answer.row == 0:  # the rows of one result follow one another
                values = rows_of(answer.result, labels[index : index + len(answer.result)], self.options.distributions)
            row.update(values[answer.row], seconds=seconds)
        return answers

    def _kept_maps(self, row: Mapping[str, Any], answer: Answer) -> list[dict[str, Any]]:
        result = answer.result
        if not self.options.keep_maps or result is None or result.coarse_maps is None or not row["corrected"]:
            return []
        return [{"index": row["index"], "id": row["id"], **pack_maps(result.coarse_maps[answer.row])}]

    def _thumbnails(
        self, row: Mapping[str, Any], answer: Answer, image: Tensor, corrector: Correctable
    ) -> list[tuple[float, dict[str, Any]]]:
        """The picture of a changed image and its importance: fixed and broken first, then by how far truth moved."""
        known = row["label"] is not None
        right = (row["label_rank_before"] == 1, row["label_rank_after"] == 1) if known else (None, None)
        kind = kind_of(row["changed"], *right)
        if not self.options.thumbnails or kind is None or answer.result is None:
            return []
        moved = abs(row["label_prob_after"] - row["label_prob_before"]) if known else 0.0
        coarse = answer.result.coarse_maps
        maps = None
        if coarse is not None and (method := getattr(corrector, "method", None)) is not None:
            maps = method.render(coarse[answer.row : answer.row + 1], spatial_size(image))[0]
        picture = denormalize(image, *known_or_spread(image, self.mean, self.std))
        entry = {"index": row["index"], "id": row["id"], "kind": kind, **pack_thumbnail(picture, maps)}
        return [(moved + (kind != "changed"), entry)]


def _slices(count: int, size: int) -> Iterable[slice]:
    return (slice(start, start + max(1, size)) for start in range(0, count, max(1, size)))


def run_parts(
    runner: PartRunner,
    correctors: Mapping[str, Correctable],
    groups: Iterable[tuple[int, LoadedGroup]],
    progress: Progress | None = None,
    announce: Callable[[int], None] = lambda part: None,
) -> None:
    """Does all methods of each part that are not done yet.

    Args:
        runner: Does one.
        correctors: By the names of the methods.
        groups: Parts with their images, read in the background where the loader does so.
        progress: Told after each method of a part.
        announce: Called with each part before it is begun.
    """
    for part, group in groups:
        announce(part)
        for method, corrector in correctors.items():
            if not runner.folder.has(method, part):
                runner.run(method, corrector, part, group)
                if progress is not None:
                    progress.update(len(group.indices))
