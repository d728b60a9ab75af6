"""``maskcorrect evaluate``: what correction does to the predictions over a data set, by one or several methods."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskcorrect_plugin.commands.corrector_options import SCORE_CAM, CorrectorOptions
from maskcorrect_plugin.commands.method_spec import MethodSpec, check_specs
from maskcorrect_plugin.commands.terminal import Style, echo, plain_warnings, printable
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset, load_dataset, sample
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.controls import Partners, create_control, is_control
from maskcorrect_plugin.evaluation.correctable import Correctable
from maskcorrect_plugin.evaluation.evaluate import Evaluation
from maskcorrect_plugin.evaluation.manifest import check_unused
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.models import LoadedModel

from .estimate import estimate_text, measure
from .evaluation_report import report

MOST_READERS = 8
"""Processes that read images for one GPU, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(CorrectorOptions):
    """The arguments of ``maskcorrect evaluate``; the modules `options` and `evaluation_options` say what each means."""

    data: str
    methods: list[str] | None
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
        raise ArgumentError("output must name the folder of the run, such as -o runs/vgg16 (only --dry-run needs none)")
    if options.output is not None:
        check_unused(options.output)
    with plain_warnings(Style.of(sys.stderr)):
        evaluation = prepare(options, specs, worker)
        evaluation.probe()
        if options.dry_run:
            echo(estimate_text(measure(evaluation)))
            return 0
        folder = evaluation.open(Path(str(options.output)))
        _announce(options, evaluation, folder)
        try:
            evaluation.run(folder, show_progress=sys.stderr.isatty() and not options.quiet)
        except KeyboardInterrupt:
            echo(_stopped(evaluation, folder), stderr=True)
            raise
        return _conclude(options, evaluation, folder, subset)


def prepare(options: EvaluateOptions, specs: list[MethodSpec], worker: Worker) -> Evaluation:
    """Loads the model and the data, and makes the correctors."""
    loaded = options.load(worker.local_rank)
    dataset = load_dataset(
        options.data,
        class_names=loaded.class_names,
        split=options.split,
        image_column=options.image_column,
        label_column=options.label_column,
        root=options.root,
    )
    if options.limit is not None:
        dataset = sample(dataset, options.limit, options.seed)
    correctors = make_correctors(options, specs, loaded, dataset)
    engine = next(iter(correctors.values())).engine
    on_gpu = next(loaded.model.parameters()).device.type == "cuda"
    readers = (MOST_READERS if on_gpu else 0) if options.num_workers is None else options.num_workers
    return Evaluation(
        correctors,
        dataset,
        loaded,
        RecordOptions(options.images_per_part, options.distributions, options.keep_maps, options.thumbnails),
        worker,
        readers,
        {"arguments": sys.argv[1:], "protocol": options.protocol, "workers": worker.size},
    )
