"""``maskcorrect evaluate``: what correction does to the predictions over a data set, by one or several methods."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskcorrect_plugin.commands.corrector_options import SCORE_CAM, CorrectorOptions
from maskcorrect_plugin.commands.method_spec import MethodSpec, check_specs
from maskcorrect_plugin.commands.terminal import Style, echo, plain_warnings, printable
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.corrector import Corrector
from maskcorrect_plugin.datasets import ImageDataset, SampledDataset, load_dataset, worker_deaths
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.controls import DatasetPartners, create_control, is_control
from maskcorrect_plugin.evaluation.estimate import measure
from maskcorrect_plugin.evaluation.evaluate import Evaluation
from maskcorrect_plugin.evaluation.manifest import check_unused
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.inference import first_tensor
from maskcorrect_plugin.models import LoadedModel

from .estimate_text import estimate_text
from .run_report import report

READERS_PER_GPU = 8
"""Processes that read images for one GPU, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CorrectorOptions):
    """The arguments of ``maskcorrect evaluate``; the modules `options` and `evaluation_options` say what each means."""

    data: str
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
    specs = check_specs(options.methods or [SCORE_CAM])
    subset, worker = Subset.parse(options.subset), Worker.of(options.worker)
    options.check({spec.name: spec.options for spec in specs if not is_control(spec.name)})
    if options.output is None and not options.dry_run:
        raise ArgumentError("output must name the folder of the run, such as -o runs/vgg16; only --dry-run needs none")
    if options.output is not None:
        check_unused(options.output)
    with plain_warnings(Style.of(sys.stderr)), worker_deaths():
        evaluation = prepare(options, specs, worker)
        evaluation.probe()
        if options.dry_run:
            echo(estimate_text(measure(evaluation)))
            return 0
        folder = evaluation.open(Path(str(options.output)))
        if not options.quiet and not options.as_json:
            echo(opening_text(evaluation, folder))
        try:
            evaluation.run(folder, show_progress=sys.stderr.isatty() and not options.quiet)
        except KeyboardInterrupt:
            echo(f"stopped; {unfinished_text(evaluation, folder)}", stderr=True)
            raise
    return conclude(options, evaluation, folder, subset)


def prepare(options: EvaluateOptions, specs: Sequence[MethodSpec], worker: Worker) -> Evaluation:
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
    tensor = first_tensor(loaded.model)
    on_gpu = tensor is not None and tensor.device.type == "cuda"
    readers = (READERS_PER_GPU if on_gpu else 0) if options.num_workers is None else options.num_workers
    return Evaluation(
        make_correctors(options, specs, loaded, dataset),
        dataset,
        loaded,
        RecordOptions(options.images_per_part, options.distributions, options.keep_maps, options.thumbnails),
        worker,
        readers,
        {"arguments": sys.argv[1:], "protocol": options.protocol},
    )


def make_correctors(
    options: CorrectorOptions, specs: Sequence[MethodSpec], loaded: LoadedModel, dataset: ImageDataset
) -> Mapping[str, Corrector]:
    """A corrector or control for each method; controls take their maps from the first that is no control."""
    arguments = options.corrector_arguments(loaded)
    inner = next((spec for spec in specs if not is_control(spec.name)), MethodSpec(SCORE_CAM, SCORE_CAM, {}))
    correctors: dict[str, Corrector] = {}
    for spec in specs:
        if is_control(spec.name):
            own = {"method": inner.name, **options.method_options(inner.name, inner.options)}
            if "method" in spec.options:
                own = options.method_options(str(spec.options["method"]))
            partners = DatasetPartners(dataset, loaded.transform)
            correctors[spec.text] = create_control(
                spec.name, loaded.model, dataset=partners, **{**arguments, **own, **spec.options}
            )
        else:
            method_options = options.method_options(spec.name, spec.options)
            correctors[spec.text] = ProbabilityCorrector(loaded.model, spec.name, **{**arguments, **method_options})
    return correctors


def opening_text(evaluation: Evaluation, folder: RunFolder) -> str:
    """The first lines of a run: what it is, how much of it is there, whose share this is."""
    manifest, worker = folder.manifest, evaluation.worker
    methods = ", ".join(evaluation.correctors)
    lines = [f"{evaluation.loaded.spec} on {manifest.num_images:,} images of {evaluation.dataset.source}: {methods}"]
    if worker.size > 1:
        lines.append(f"worker {worker.rank} of {worker.size} ({worker.source})")
    done = sum(len(folder.done(method)) for method in folder.methods)
    if done:
        lines.append(f"going on: {done} of {manifest.num_parts * len(folder.methods)} parts are there")
    return printable_lines(lines)


def printable_lines(lines: Sequence[str]) -> str:
    """Lines without control characters, which names of files could bring in."""
    return "\n".join(printable(line) for line in lines)


def unfinished_text(evaluation: Evaluation, folder: RunFolder) -> str:
    """How much of a run is there, and how to go on."""
    done = sum(len(folder.done(method)) for method in folder.methods)
    total = folder.manifest.num_parts * len(folder.methods)
    whose = "" if evaluation.worker.size == 1 else f" (worker {evaluation.worker.rank} has done its share)"
    if evaluation.missing(folder):
        whose = ""
    return printable(
        f"{done} of {total} parts are done and safe in {folder.path}{whose}; the same command goes on with the rest"
    )


def conclude(options: EvaluateOptions, evaluation: Evaluation, folder: RunFolder, subset: Subset) -> int:
    """Once all parts are there: statistics, written and printed. Before that: what is missing."""
    if not folder.complete:
        echo(unfinished_text(evaluation, folder), stderr=options.as_json)
        return 0
    text, document = report(folder, subset, paper=options.protocol is not None)
    if options.as_json:
        echo(document)
    elif not options.quiet:
        echo(text)
    return 0
