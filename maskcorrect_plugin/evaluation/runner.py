"""The loop of an evaluation: part by part, method by method, each part written when it is whole."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup
from maskcorrect_plugin.errors import RunError, reason
from maskcorrect_plugin.models import LoadedModel

from .correctable import Answer, Correctable, Images, correct_all, group_size, is_of_the_machine
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
    """Does one part, by all methods that are asked for.

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
        correctors: Mapping[str, Correctable],
        part: int,
        group: LoadedGroup,
        advance: Callable[[int], Any] = lambda count: None,
    ) -> None:
        """Corrects the images of a part and writes it; records come last, so that they mean that all is there.

        Args:
            correctors: By the names of the methods.
            part: Its number.
            group: Its images.
            advance: Called with how many more (image, method) pairs are done.

        Raises:
            RunError: the part cannot be written.
            Exception: of a corrector; see `_answers`.
        """
        limit = quota(part, self.folder.manifest.num_parts, self.options.thumbnails)
        parts = {name: _Part(self._rows(group), self._selection(each, limit)) for name, each in correctors.items()}
        advance(len(group.failures) * len(correctors))
        size = min(group_size(corrector, group.inputs) for corrector in correctors.values())
        keep = set() if self.options.distributions == "top" else {"view_probs"}
        if self.options.keep_maps or limit > 0:
            keep.add("coarse_maps")
        for start in range(0, len(group.kept), size):
            positions = group.kept[start : start + size]
            some: Images = (group.inputs if group.pictures is None else group.pictures)[start : start + size]
            entries = [next(iter(parts.values())).rows[position] for position in positions]
            answers = self._answers(correctors, some, entries, group, keep)
            for name, each in parts.items():
                rows = [each.rows[position] for position in positions]
                self._record(rows, answers[name])
                for row, answer, image in zip(rows, answers[name], group.inputs[start : start + size], strict=True):
                    if answer.result is not None:
                        each.maps += self._kept_maps(row, answer)
                        each.pictures.offer(row, answer, image)
                advance(len(rows))
        for name, each in parts.items():
            if self.options.keep_maps:
                self._write(MAPS, name, part, each.maps, maps_schema())
            if self.options.thumbnails:
                self._write(THUMBNAILS, name, part, each.pictures.rows(), thumbnails_schema())
            self._write(RECORDS, name, part, each.rows, records_schema(self.options.distributions))

    def _selection(self, corrector: Correctable, limit: int) -> PictureSelection:
        return PictureSelection(corrector, limit, self.loaded.mean, self.loaded.std)

    def _rows(self, group: LoadedGroup) -> list[dict[str, Any]]:
        """The rows of a part before anything is corrected."""
        entries = [self.dataset.record(index) for index in group.indices]
        return [
            {"index": index, "id": entry.id, "label": entry.label, "failure": group.failures.get(position)}
            for position, (index, entry) in enumerate(zip(group.indices, entries, strict=True))
        ]

    def _record(self, rows: Sequence[dict[str, Any]], answers: Sequence[Answer]) -> None:
        """Fills in the rows of some images."""
        values: list[dict[str, Any]] = []
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            if answer.result is None:
                row["failure"] = answer.failure
                continue
            if answer.row == 0:  # the rows of one result follow one another
                labels = [each["label"] for each in rows[index : index + len(answer.result)]]
                values = rows_of(answer.result, labels, self.options.distributions)
            row.update(values[answer.row])

    def _answers(
        self,
        correctors: Mapping[str, Correctable],
        images: Images,
        rows: Sequence[Mapping[str, Any]],
        group: LoadedGroup,
        keep: set[str],
    ) -> dict[str, list[Answer]]:
        """What becomes of some images.

        Raises:
            Exception: a corrector fails on all of these images, and on others of the data set as well.
        """
        labels, ids = [row["label"] for row in rows], [row["id"] for row in rows]
        try:
            return correct_all(correctors, images, labels, ids, keep)
        except Exception as error:
            if is_of_the_machine(error):
                raise
        answers = {}
        for name, corrector in correctors.items():  # one of them fails on all: the others do not
            try:
                answers.update(correct_all({name: corrector}, images, labels, ids, keep))
            except Exception as error:
                if is_of_the_machine(error) or not works_elsewhere(corrector, self.dataset, self.loaded, group.indices):
                    raise
                answers[name] = [Answer(failure=reason(error))] * len(rows)
        return answers

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


@dataclass
class _Part:
    """What one method has of a part so far."""

    rows: list[dict[str, Any]]
    pictures: PictureSelection
    maps: list[dict[str, Any]] = field(default_factory=list)


def run_parts(
    runner: PartRunner,
    correctors: Mapping[str, Correctable],
    groups: Iterable[tuple[int, LoadedGroup]],
    progress: Progress,
) -> None:
    """Does all methods of each part that are not done yet, together.

    Args:
        runner: Does one.
        correctors: By the names of the methods.
        groups: Parts with their images, read in the background where the loader does so.
        progress: Told of the images that are done.
    """
    for part, group in groups:
        missing = {name: each for name, each in correctors.items() if not runner.folder.has(name, part)}
        if missing:
            runner.run(missing, part, group, progress.update)
