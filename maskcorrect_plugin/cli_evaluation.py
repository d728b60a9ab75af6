"""The commands of an evaluation: evaluate, compare. Like `cli`, they parse; the work is imported when it is needed."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from .commands import evaluation_options as ev
from .commands import options as opt

EXAMPLES = """\
Examples:

\b
  maskcorrect evaluate demo --model demo --method CAM --method control:hflip -o runs/demo
  maskcorrect evaluate photos/ -m torchvision:resnet50 --method CAM -o runs/r50
  maskcorrect evaluate imagenet/ -m torchvision:vgg16 --max-gap 0.5 --dry-run
  torchrun --nproc-per-node=8 -m maskcorrect_plugin evaluate imagenet/ \\
                       -m torchvision:vgg16 --protocol paper -o runs/vgg16

A run that was stopped or killed goes on with the same command, on any number of workers.
"""


def evaluate(
    data: ev.Data,
    model: opt.Model = "torchvision:vgg16",
    weights: opt.Weights = "DEFAULT",
    methods: ev.Methods = None,
    output: ev.Run = None,
    top_k: opt.TopK = None,
    threshold: opt.Threshold = 0.1,
    view: opt.View = opt.ViewName.mask,
    fill: opt.Fill = opt.FillName.zero,
    vote: opt.Vote = opt.VoteName.distribution,
    candidate_weights: opt.CandidateWeights = opt.WeightsName.probs,
    max_gap: opt.MaxGap = None,
    target_layer: opt.TargetLayer = None,
    preset: opt.Preset = None,
    subset: ev.Subset = "p1-p5<0.5",
    protocol: ev.Protocol = None,
    split: ev.Split = None,
    image_column: ev.ImageColumn = None,
    label_column: ev.LabelColumn = None,
    root: ev.Root = None,
    limit: ev.Limit = None,
    seed: ev.Seed = 0,
    classes: opt.Classes = None,
    size: opt.Size = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    model_output: opt.ModelOutput = opt.OutputName.logits,
    precision: opt.Precision = opt.PrecisionName.float32,
    batch_size: opt.BatchSize = None,
    device: opt.Device = None,
    compile: opt.Compile = False,
    images_per_part: ev.ImagesPerPart = 32,
    distributions: ev.Distributions = ev.DistributionsName.float16,
    keep_maps: ev.KeepMaps = False,
    thumbnails: ev.Thumbnails = 200,
    num_workers: ev.NumWorkers = None,
    worker: ev.Share = None,
    dry_run: ev.DryRun = False,
    as_json: ev.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Evaluate correction over a data set: what it fixes, what it breaks, and whether that is more than chance.

    Records are written part by part, so that nothing is lost when the run is stopped; the statistics follow when all
    parts are there.
    """
    given = {name: value.value if isinstance(value, Enum) else value for name, value in locals().items()}
    from .commands.evaluate import EvaluateOptions  # imports torch
    from .commands.evaluate import evaluate as run_evaluate

    raise typer.Exit(run_evaluate(EvaluateOptions(**given)))


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of finished runs.", show_default=False)],
    subset: ev.Subset = "p1-p5<0.5",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Compare every method with this one, too, image by image: 'control:hflip', say.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.csv|.parquet|.json", help="Write the table, too.", show_default=False
        ),
    ] = None,
) -> None:
    """Compare methods on the same images, and runs over several models and data sets: one table of all of them."""
    from .commands.compare import compare_runs  # imports pandas

    compare_runs(runs, subset, baseline, output)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=EXAMPLES, short_help="Evaluate correction over a data set.")(evaluate)
    app.command(short_help="Compare methods and runs.")(compare)
