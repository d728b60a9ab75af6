"""The loop of an evaluation: part by part, method by method, each part written when it is whole."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup
from maskcorrect_plugin.errors import RunError, reason
from maskcorrect_plugin.models import LoadedModel

from .correctable import Answer, Correctable, correct_each, group_size, is_of_the_machine
from .examples import works_elsewhere
from .pictures import PictureSelection
from .records.columns import DISTRIBUTIONS, records_schema
from .records.maps import maps_schema, pack_maps
from .records.parts import write_table
from .records.rows import rows_of
from .records.thumbnails import quota, thumbnails_schema
from .run_folder import MAPS, RECORDS, THUMBNAILS, RunFolder

if TYPE_CHECKING:
    import pyarrow as pa


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


@dataclass(frozen=True)
class PartRunner:
    """Does one part of one method.

    Attributes:
        folder: Where parts go.
        dataset: Gives ids and labels.
        loaded: Gives the normalisation, for pictures, and the transform.
        options: What is kept.
    """

    folder: RunFolder
    dataset: ImageDataset
    loaded: LoadedModel
    options: RecordOptions

    def run(
        self,
        method: str,
        corrector: Correctable,
        part: int,
        group: LoadedGroup,
        advance: Callable[[int], Any] = lambda count: None,
    ) -> None:
        """Corrects the images of a part and writes it; the records come last, so that they mean that all is there.

        Args:
            method: Name of the method.
            corrector: What corrects.
            part: Its number.
            group: Its images.
            advance: Called with how many more images are done.

        Raises:
            RunError: the part cannot be written.
            Exception: of the corrector; see `_answers`.
        """
        rows = self._rows(group)
        maps: list[dict[str, Any]] = []
        limit = quota(part, self.folder.manifest.num_parts, self.options.thumbnails)
        pictures = PictureSelection(corrector, limit, self.loaded.mean, self.loaded.std)
        advance(len(group.failures))
        size = group_size(corrector, group.inputs)
        for start in range(0, len(group.kept), size):
            inputs = group.inputs[start : start + size]
            some = [rows[position] for position in group.kept[start : start + size]]
            answers = self._correct(corrector, inputs, some, group, with_maps=self.options.keep_maps or limit > 0)
            for row, answer, image in zip(some, answers, inputs, strict=True):
                if answer.result is not None:
                    maps += self._kept_maps(row, answer)
                    pictures.offer(row, answer, image)
            advance(len(some))
        if self.options.keep_maps:
            self._write(MAPS, method, part, maps, maps_schema())
        if self.options.thumbnails:
            self._write(THUMBNAILS, method, part, pictures.rows(), thumbnails_schema())
        self._write(RECORDS, method, part, rows, records_schema(self.options.distributions))

    def _rows(self, group: LoadedGroup) -> list[dict[str, Any]]:
        """The rows of a part before anything is corrected."""
        entries = [self.dataset.record(index) for index in group.indices]
        return [
            {"index": index, "id": entry.id, "label": entry.label, "failure": group.failures.get(position)}
            for position, (index, entry) in enumerate(zip(group.indices, entries, strict=True))
        ]

    def _correct(
        self,
        corrector: Correctable,
        inputs: Tensor,
        rows: Sequence[dict[str, Any]],
        group: LoadedGroup,
        *,
        with_maps: bool,
    ) -> list[Answer]:
        """Corrects some images and fills in their rows."""
        keep = set() if self.options.distributions == "top" else {"masked_probs"}
        if with_maps:
            keep.add("coarse_maps")
        started = time.perf_counter()
        answers = self._answers(corrector, inputs, rows, group, keep)
        seconds = (time.perf_counter() - started) / len(rows)
        values: list[dict[str, Any]] = []
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            if answer.result is None:
                row["failure"] = answer.failure
                continue
            if answer.row == 0:  # the rows of one result follow one another
                labels = [each["label"] for each in rows[index : index + len(answer.result)]]
                values = rows_of(answer.result, labels, self.options.distributions)
            row.update(values[answer.row], seconds=seconds)
        return answers

    def _answers(
        self,
        corrector: Correctable,
        inputs: Tensor,
        rows: Sequence[Mapping[str, Any]],
        group: LoadedGroup,
        keep: set[str],
    ) -> list[Answer]:
        """What becomes of some images.

        Raises:
            Exception: the corrector fails on all of these images, and on others of the data set as well.
        """
        try:
            return correct_each(corrector, inputs, [row["label"] for row in rows], [row["id"] for row in rows], keep)
        except Exception as error:
            if is_of_the_machine(error) or not works_elsewhere(
                corrector, self.dataset, self.loaded.transform, group.indices
            ):
                raise
            return [Answer(failure=reason(error))] * len(rows)

    def _kept_maps(self, row: Mapping[str, Any], answer: Answer) -> list[dict[str, Any]]:
        result = answer.result
        if not self.options.keep_maps or result is None or result.coarse_maps is None or not row["corrected"]:
            return []
        return [{"index": row["index"], "id": row["id"], **pack_maps(result.coarse_maps[answer.row])}]

    def _write(self, kind: str, method: str, part: int, rows: Sequence[Mapping[str, Any]], schema: "pa.Schema") -> None:
        note = {"maskcorrect_method": method, "maskcorrect_part": str(part)}
        try:
            write_table(self.folder.part_file(kind, method, part), rows, schema, note)
        except RunError as error:
            raise RunError(f"{error}. All finished parts are intact; the same command goes on from there") from error


def run_parts(
    runner: PartRunner,
    correctors: Mapping[str, Correctable],
    groups: Iterable[tuple[int, LoadedGroup]],
    progress: Progress,
) -> None:
    """Does all methods of each part that are not done yet.

    Args:
        runner: Does one.
        correctors: By the names of the methods.
        groups: Parts with their images, read in the background where the loader does so.
        progress: Told of the images that are done.
    """
    for part, group in groups:
        for method, corrector in correctors.items():
            if not runner.folder.has(method, part):
                runner.run(method, corrector, part, group, progress.update)
