"""`evaluate`: what correction does to the predictions over a data set, written so that nothing is lost."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor, nn

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.datasets import ImageDataset, LoadedGroup, as_image_dataset, iterate_groups
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, ImageError
from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.models.class_names import default_class_names
from maskcorrect_plugin.models.preprocessing import Transform
from maskcorrect_plugin.registry import NATIVE, get_backend, split_name
from maskcorrect_plugin.versions import versions

from .correctable import Correctable
from .manifest import Manifest, model_fingerprint, transform_text
from .records.parts import remove_leftovers
from .run_folder import RunFolder, folder_name
from .runner import PartRunner, RecordOptions, run_parts
from .worker import Worker

if TYPE_CHECKING:
    import pandas as pd

TRIED = 8
"""Images that are tried for one that can be read, to learn the size of the inputs."""


@dataclass(frozen=True)
class Evaluation:
    """One run over a data set, ready to start, to go on, or to be read.

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
        if not self.correctors:
            raise ArgumentError("correctors must hold at least one, got none")
        if len(self.dataset) == 0:
            raise ArgumentError(f"dataset must hold at least one image, got none in {self.dataset.source!r}")
        names = [folder_name(name).casefold() for name in self.correctors]
        if len(set(names)) < len(names):
            raise ArgumentError(f"correctors must have names that differ, got {', '.join(map(repr, self.correctors))}")
        check_int("num_workers", self.num_workers, 0)

    def probe(self) -> Tensor:
        """Finds what can never work, before the long work: one forward of noise for each corrector.

        Returns:
            An image as the model takes it, (C,H,W).

        Raises:
            MaskCorrectError: see `Corrector.probe`.
        """
        like = example_input(self.dataset, self.loaded.transform)
        for corrector in self.correctors.values():
            probe = getattr(corrector, "probe", None)
            if probe is not None:
                probe(like)
        return like

    def manifest(self) -> Manifest:
        """What the run is a run of. To be asked after `probe`, which finds the target layers that settings name."""
        data = self.dataset.describe()
        source = data.pop("source", None)
        settings = {name: dict(getattr(each, "settings", {})) for name, each in self.correctors.items()}
        identity = {
            "model": {
                "spec": self.loaded.spec,
                "weights": None if self.loaded.weights is None else Path(self.loaded.weights).name,
                "fingerprint": model_fingerprint(self.loaded.model),
                "transform": transform_text(self.loaded.transform),
                "num_classes": self.loaded.num_classes,
            },
            "data": data,
            "methods": settings,
            "records": vars(self.options),
            "versions": versions(self._libraries()),
        }
        about = {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "source": source,
            "mean": self.loaded.mean,
            "std": self.loaded.std,
            **self.about,
        }
        return Manifest(identity, about, self.loaded.class_names)

    def _libraries(self) -> set[str]:
        names = {"torch", "torchvision", "captum"}
        prefix = self.loaded.spec.partition(":")[0]
        names |= {"timm": {"timm"}, "hf": {"transformers"}}.get(prefix, set())
        for corrector in self.correctors.values():
            settings = getattr(corrector, "settings", {})
            for method in (settings.get("method"), settings.get("inner_method")):
                backend = split_name(str(method))[0]
                if backend != NATIVE and method is not None and backend != "control":
                    names.add(get_backend(backend).library or "")
        return names

    def open(self, output: Path) -> RunFolder:
        """Creates the folder of the run, or finds the one that is to go on.

        Raises:
            RunError: the folder is of another run, or cannot be written to.
        """
        manifest = self.manifest().create_or_match(output)
        remove_leftovers(output)
        return RunFolder(output, manifest)

    def missing(self, folder: RunFolder) -> list[int]:
        """Parts of this worker's share that are not done for all methods."""
        done = [set(folder.done(name)) for name in self.correctors]
        everything = set.intersection(*done)
        parts = range(folder.manifest.num_parts)
        return [part for part in parts if self.worker.owns(part) and part not in everything]

    def run(self, folder: RunFolder, *, show_progress: bool = False) -> None:
        """Does this worker's share of what is missing. It can be stopped at any time, and called again.

        Raises:
            RunError: a part cannot be written; all finished ones are intact.
            RuntimeError: an error of torch that hits every image of a part.
        """
        from tqdm import tqdm

        parts = self.missing(folder)
        mine = [part for part in range(folder.manifest.num_parts) if self.worker.owns(part)]
        total = sum(len(folder.manifest.part(part)) for part in mine) * len(self.correctors)
        done = total - sum(
            len(folder.manifest.part(part)) for part in parts for name in self.correctors if not folder.has(name, part)
        )
        runner = PartRunner(folder, self.dataset, self.options, self.loaded.mean, self.loaded.std)
        with tqdm(
            total=total, initial=done, unit="image", disable=not show_progress, dynamic_ncols=True, smoothing=0.05
        ) as bar:
            run_parts(runner, self.correctors, self._groups(folder, parts), bar)

    def _groups(self, folder: RunFolder, parts: list[int]) -> Iterator[tuple[int, LoadedGroup]]:
        positions = [list(folder.manifest.part(part)) for part in parts]
        loaded = iterate_groups(self.dataset, self.loaded.transform, positions, num_workers=self.num_workers)
        return zip(parts, loaded, strict=True)


def example_input(dataset: ImageDataset, transform: Transform) -> Tensor:
    """One image as the model takes it, (C,H,W): the first that can be read, or a blank one."""
    for index in range(min(TRIED, len(dataset))):
        with suppress(ImageError):
            return dataset.load(index, transform)
    return transform(Image.new("RGB", (256, 256), (128, 128, 128)))


def evaluate(
    correctors: Correctable | Mapping[str, Correctable],
    dataset: Any,
    loaded: LoadedModel | nn.Module,
    output: str | Path | None = None,
    *,
    options: RecordOptions | None = None,
    num_workers: int = 0,
    show_progress: bool | None = None,
) -> "dict[str, pd.DataFrame]":
    """Corrects a whole data set and gives the records of each method.

    The run is written part by part; where it is stopped or killed, the same call goes on from the last whole part.

    Args:
        correctors: What is evaluated: a `ProbabilityCorrector`, a control, or anything with ``correct(inputs, labels,
            ids)``; or several by name.
        dataset: An `ImageDataset` (see `load_dataset`), or a map-style data set of torch that gives (image, label).
        loaded: The model with its transform (see `load_model`), or the bare model where the data set gives tensors.
        output: Folder of the run; None keeps nothing on disk.
        options: What is kept.
        num_workers: Processes that read images in the background.
        show_progress: Show a progress bar; None does so on a terminal.

    Returns:
        The records of each method, by name: see `records.columns`.

    Raises:
        ValueError, TypeError: wrong arguments, or what can never work with this model, before any image is read.
        RunError: (a ValueError) the folder is of another run, or cannot be written to.
    """
    named = correctors if isinstance(correctors, Mapping) else {_name_of(correctors): correctors}
    images = as_image_dataset(dataset)
    model = loaded if isinstance(loaded, LoadedModel) else _bare_model(loaded, images)
    evaluation = Evaluation(named, images, model, options or RecordOptions(), num_workers=num_workers)
    progress = sys.stderr.isatty() if show_progress is None else show_progress
    evaluation.probe()
    if output is not None:
        return _run(evaluation, Path(output), progress)
    with tempfile.TemporaryDirectory() as folder:
        return _run(evaluation, Path(folder), progress)


def _run(evaluation: Evaluation, output: Path, show_progress: bool) -> "dict[str, pd.DataFrame]":
    folder = evaluation.open(output)
    evaluation.run(folder, show_progress=show_progress)
    return {method: folder.records(method) for method in folder.methods}


def _name_of(corrector: Correctable) -> str:
    return str(getattr(corrector, "settings", {}).get("method", type(corrector).__name__))


def _bare_model(model: nn.Module, dataset: ImageDataset) -> LoadedModel:
    """A model without a transform, for data sets of tensors; one forward counts its classes."""
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"loaded must be a LoadedModel or a torch.nn.Module, got {type(model).__name__}")
    like = example_input(dataset, _no_transform).unsqueeze(0)
    engine = PassEngine(model)
    with evaluation_mode(model):
        count = engine.scores(engine.place(like)).shape[1]
    return LoadedModel(model, _no_transform, default_class_names(count), None, None, type(model).__name__, None)


def _no_transform(image: Image.Image) -> Tensor:
    raise ArgumentError("dataset must give tensors, or loaded must be a LoadedModel with a transform for its images")
