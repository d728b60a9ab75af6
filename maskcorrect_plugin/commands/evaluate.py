"""``maskcorrect evaluate``: what correction does to the predictions over a data set, by one or several methods."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskcorrect_plugin.commands.corrector_options import CorrectorOptions
from maskcorrect_plugin.commands.terminal import Style, echo, plain_warnings, speed_notes
from maskcorrect_plugin.datasets import ImageDataset, SampledDataset, load_dataset
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.examples import needs_pictures
from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.manifest import check_output
from maskcorrect_plugin.evaluation.measure import measure
from maskcorrect_plugin.evaluation.run_folder import SUMMARY, RunFolder
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET, Subset
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.inference import first_tensor
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.recipe import Recipe

from .estimate_text import estimate_text
from .run_progress import run_progress
from .run_report import report, write_summary
from .run_text import opening_text, share_text, stopped_text
from .stopping import ending_on_sigterm

PAPER_MODEL = "torchvision:vgg16"
NO_PATHS = ("demo", "hf", "DEFAULT", "none")
"""Beginnings of names of data and weights, also where there is a file or folder of that name."""
READERS_PER_GPU = 8
"""Processes that read images for one GPU, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CorrectorOptions):
    """The arguments of ``maskcorrect evaluate``; the modules `options` and `evaluation_options` say what each means."""

    data: str
    recipes: Sequence[str] | None
    methods: Sequence[str] | None
    output: Path | None
    split: str | None
    image_column: str | None
    label_column: str | None
    root: Path | None
    limit: int | None
    seed: int
    subset: str
    images_per_part: int
    distributions: str
    keep_maps: bool
    thumbnails: int
    num_workers: int | None
    worker: str | None
    protocol: str | None
    dry_run: bool
    as_json: bool
    quiet: bool


def evaluate(options: EvaluateOptions) -> int:
    """Runs the command.

    Returns:
        0; also when single images failed, which the summary counts.

    Raises:
        MaskCorrectError: wrong usage, before the long work.
    """
    options = with_protocol(options)
    named = options.named_recipes(options.recipes or (), options.methods or ())
    subset, worker = Subset.parse(options.subset), Worker.of(options.worker)
    if options.output is None and not options.dry_run:
        raise ArgumentError("output must name the folder of the run, such as -o runs/vgg16; only --dry-run needs none")
    if options.output is not None:
        check_output(options.output)
    style = Style.of(sys.stderr)
    with plain_warnings(style), speed_notes(style, shown=options.compile != "off" and not options.quiet):
        evaluation = prepare(options, named, worker)
        evaluation.probe()
        if options.dry_run or options.output is None:
            echo(estimate_text(measure(evaluation)))
            return 0
        folder = evaluation.open(options.output)
        already_reported = folder.complete
        _run(options, evaluation, folder)
        _conclude(options, evaluation, folder, subset, again=already_reported)
    return 0


def _run(options: EvaluateOptions, evaluation: Evaluation, folder: RunFolder) -> None:
    """Does what is missing, and says what is there when it is stopped."""
    if not options.quiet and not options.as_json and evaluation.worker.speaks:
        echo(opening_text(evaluation, folder))
    try:
        with ending_on_sigterm(), run_progress(evaluation, folder, quiet=options.quiet) as progress:
            if not folder.complete:
                (folder.path / SUMMARY).unlink(missing_ok=True)  # of a run of which a part has been removed since
            evaluation.run(folder, progress)
    except (KeyboardInterrupt, SystemExit):
        echo(stopped_text(evaluation, folder), stderr=True)
        raise


def _conclude(
    options: EvaluateOptions, evaluation: Evaluation, folder: RunFolder, subset: Subset, *, again: bool
) -> None:
    """Once all parts are there: statistics, written and printed by one worker. Before that: that the share is done.

    Args:
        options: What was asked for.
        evaluation: The run.
        folder: Its folder.
        subset: The difficult images.
        again: The run was complete before this command: the first worker tells. Else it is the one that is first to
            write the summary.
    """
    if not folder.complete:
        if not options.quiet:
            echo(share_text(evaluation, folder), stderr=options.as_json)
        return
    if again and not evaluation.worker.speaks:
        return
    text, document = report(folder, subset, paper=options.protocol is not None)
    if not write_summary(folder, document, keep_existing=not again):
        return
    if options.as_json:
        echo(document)
    elif not options.quiet:
        echo(text)


def with_protocol(options: EvaluateOptions) -> EvaluateOptions:
    """The options with what the paper's protocol sets, where nothing else was asked for.

    Raises:
        ValueError: neither a model nor a protocol that has one.
    """
    if not options.model and options.protocol is None:
        raise ArgumentError("model must be given, such as -m torchvision:resnet50; only --protocol paper has its own")
    if options.protocol is None:
        return options
    return replace(
        options,
        model=options.model or PAPER_MODEL,
        max_gap=PAPER_SUBSET.bound if options.max_gap is None else options.max_gap,
    )


def prepare(options: EvaluateOptions, named: Mapping[str, Recipe], worker: Worker) -> Evaluation:
    """Loads the model and the data, and makes the correctors."""
    loaded = options.load(worker.local_rank)
    dataset: ImageDataset = load_dataset(
        options.data,
        class_names=loaded.class_names,
        split=options.split,
        image_column=options.image_column,
        label_column=options.label_column,
        root=options.root,
    )
    if options.limit is not None:
        dataset = SampledDataset(dataset, options.limit, options.seed)
    correctors = options.correctors(named, loaded, dataset)
    readers = options.num_workers
    if readers is None:
        readers = _default_readers(loaded, worker, pictures=needs_pictures(correctors.values()))
    return Evaluation(
        correctors,
        dataset,
        loaded,
        RecordOptions(options.images_per_part, options.distributions, options.keep_maps, options.thumbnails),
        worker,
        readers,
        {"arguments": sys.argv[1:], "options": plain_options(options)},
    )


def _default_readers(loaded: LoadedModel, worker: Worker, *, pictures: bool) -> int:
    """Processes that read images.

    Beside a model on the CPU, which needs it all, none, but one for originals, of which there is more to read; else
    this worker's share.
    """
    tensor = first_tensor(loaded.model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if tensor is None or tensor.device.type == "cpu":
        return int(pictures and cores > 1)
    return max(1, min(READERS_PER_GPU, cores // worker.local_size))


def plain_options(options: EvaluateOptions) -> dict[str, Any]:
    """The options as plain values that mean the same in any folder: `sweep` makes model and data of them again."""
    values = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in vars(options).items()}
    for name in ("data", "weights"):
        path = Path(str(values[name])).expanduser()
        if path.exists() and str(values[name]).partition(":")[0] not in NO_PATHS:
            values[name] = str(path.resolve())
    return values
