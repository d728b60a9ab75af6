"""`Evaluation`: one run over a data set, ready to start, to go on, or to be read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup, iterate_groups, worker_deaths
from maskcorrect_plugin.describing import is_described
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.models import LoadedModel

from .atomic import remove_leftovers
from .correctable import Correctable
from .description import describe_run
from .examples import check_pictures, example_input, needs_pictures
from .manifest import Manifest
from .run_folder import RunFolder, folder_name
from .runner import PartRunner, Progress, RecordOptions, run_parts
from .worker import Worker


@dataclass(frozen=True)
class Evaluation:
    """One run over a data set.

    Attributes:
        correctors: What is evaluated, by name.
        dataset: The images.
        loaded: The model with its transform.
        options: What is kept.
        worker: Which share of the parts is this process's.
        num_workers: Processes that read images in the background; 0 reads them in this one.
        about: What else goes into the description of the run without having to match: device, command, ...
    """

    correctors: Mapping[str, Correctable]
    dataset: ImageDataset
    loaded: LoadedModel
    options: RecordOptions = field(default_factory=RecordOptions)
    worker: Worker = field(default_factory=Worker)
    num_workers: int = 0
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_correctors(self.correctors, self.loaded.model)
        if len(self.dataset) == 0:
            raise ArgumentError(f"dataset must hold at least one image, got none in {self.dataset.source!r}")
        check_int("num_workers", self.num_workers, 0)

    def probe(self) -> Tensor:
        """Finds what can never work, before the long work: one forward of noise for each corrector.

        Returns:
            An image as the model takes it, (C,H,W).

        Raises:
            MaskCorrectError: see `ProbabilityCorrector.probe`.
            ValueError: a label that is no class of the model; a data set of tensors, where a view needs the pictures.
        """
        _check_labels(self.dataset, self.loaded.num_classes)
        like = example_input(self.dataset, self.loaded.transform)
        for corrector in self.correctors.values():
            probe = getattr(corrector, "probe", None)
            if probe is not None:
                probe(like)
        if needs_pictures(self.correctors.values()):
            check_pictures(self.dataset, self.loaded)
        return like

    def manifest(self) -> Manifest:
        """What the run is a run of. To be asked after `probe`, which finds the target layers that settings name."""
        return describe_run(self.correctors, self.dataset, self.loaded, vars(self.options), self.about)

    def open(self, output: Path, *, kept: bool = True) -> RunFolder:
        """Creates the folder of the run, or finds the one that is to go on.

        Args:
            output: The folder.
            kept: Whether it stays, so that a later call may go on with it.

        Raises:
            RunError: the folder is of another run, or cannot be written to.
            ValueError: it stays, and a corrector cannot be told from another one.
        """
        if kept:
            _check_described(self.correctors)
        manifest = self.manifest().create_or_match(output)
        remove_leftovers(output)
        return RunFolder(output, manifest)

    def missing(self, folder: RunFolder) -> list[int]:
        """Parts of this worker's share that are not done for all methods."""
        everything = set.intersection(*(set(folder.done(name)) for name in self.correctors))
        return [part for part in self._share(folder) if part not in everything]

    def progress(self, folder: RunFolder) -> tuple[int, int]:
        """How many (image, method) pairs of this worker's share are done, and how many there are."""
        sizes = {part: len(folder.manifest.part(part)) for part in self._share(folder)}
        done = sum(sizes.get(part, 0) for name in self.correctors for part in folder.done(name))
        return done, sum(sizes.values()) * len(self.correctors)

    def run(self, folder: RunFolder, progress: Progress | None = None) -> None:
        """Does this worker's share of what is missing. It can be stopped at any time, and called again.

        Args:
            folder: Of the run.
            progress: Told of images that are done; None shows nothing.

        Raises:
            RunError: a part cannot be written; all finished ones are intact.
            LoadingError: a process that reads images died.
            Exception: of a corrector that fails on all images, whatever it is.
        """
        runner = PartRunner(folder, self.dataset, self.loaded, self.options)
        with worker_deaths():
            run_parts(runner, self.correctors, self._groups(folder, self.missing(folder)), progress or _Silence())

    def _share(self, folder: RunFolder) -> list[int]:
        return [part for part in range(folder.manifest.num_parts) if self.worker.owns(part)]

    def _groups(self, folder: RunFolder, parts: list[int]) -> Iterator[tuple[int, LoadedGroup]]:
        positions = [list(folder.manifest.part(part)) for part in parts]
        loaded = iterate_groups(
            self.dataset,
            self.loaded.preprocessing,
            positions,
            num_workers=self.num_workers,
            pictures=needs_pictures(self.correctors.values()),
        )
        return zip(parts, loaded, strict=True)


class _Silence:
    def update(self, n: int) -> None:
        """Nothing."""


def _check_correctors(correctors: Mapping[str, Correctable], model: nn.Module) -> None:
    if not correctors:
        raise ArgumentError("correctors must hold at least one, got none")
    names = [folder_name(name).casefold() for name in correctors]
    if len(set(names)) < len(names):
        raise ArgumentError(f"correctors must have names that differ, got {', '.join(map(repr, correctors))}")
    for name, corrector in correctors.items():
        if not callable(getattr(corrector, "correct", None)):
            raise ArgumentTypeError(
                f"correctors must have a method correct(inputs, labels=None, ids=None), but {name!r} is "
                f"{type(corrector).__name__}"
            )
        if isinstance(corrector, ProbabilityCorrector) and corrector.model is not model:
            raise ArgumentError(f"loaded must be the model that correctors correct, but {name!r} corrects another one")


def _check_described(correctors: Mapping[str, Correctable]) -> None:
    """Refuses what another run could go on with unnoticed."""
    for name, corrector in correctors.items():
        if isinstance(corrector, ProbabilityCorrector) and not corrector.reproducible:
            unseen = {key: value for key, value in corrector.settings.items() if not is_described(value)}
            raise ArgumentError(
                f"{name!r} holds an object whose content cannot be seen, so that a run could resume with another one "
                f"without notice: {unseen}. Give it attributes that are plain values or tensors, or keep nothing on "
                "disk (output=None)"
            )


def _check_labels(dataset: ImageDataset, num_classes: int) -> None:
    """Labels that a data set made of its own, without knowing the model, may be of other classes."""
    labels = ((index, dataset.record(index).label) for index in range(len(dataset)))
    wrong = next(((index, label) for index, label in labels if label is not None and label >= num_classes), None)
    if wrong is not None:
        raise ArgumentError(
            f"labels must be classes of the model, from 0 to {num_classes - 1}; image {wrong[0]} of "
            f"{dataset.source!r} has {wrong[1]}"
        )
