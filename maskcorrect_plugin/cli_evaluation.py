"""The commands of an evaluation: evaluate, compare, sweep, report. They parse; the work is imported when needed."""

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
  maskcorrect evaluate photos/ -m torchvision:resnet50 --recipe paper \\
                       --recipe zoom --recipe unguided -o runs/r50
  maskcorrect evaluate photos/ -m torchvision:resnet50 --method CAM -o runs/r50
  maskcorrect evaluate imagenet/ -m torchvision:vgg16 --max-gap 0.5 --dry-run
  torchrun --nproc-per-node=8 -m maskcorrect_plugin evaluate imagenet/ \\
                       -m torchvision:vgg16 --protocol paper -o runs/vgg16

A run that was stopped or killed goes on with the same command, on any number of workers.
"""


def evaluate(
    data: ev.Data,
    model: ev.ModelOfRun = "",
    weights: opt.Weights = "DEFAULT",
    recipes: ev.Recipes = None,
    methods: ev.Methods = None,
    output: ev.Run = None,
    top_k: opt.TopK = None,
    views: opt.Views = None,
    threshold: opt.Threshold = None,
    fill: opt.Fill = None,
    pool: opt.Pool = None,
    view_weights: opt.ViewWeights = None,
    vote: opt.Vote = None,
    candidate_weights: opt.CandidateWeights = None,
    max_gap: opt.MaxGap = None,
    temperature: opt.Temperature = None,
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
    compile: opt.Compile = opt.CompileName.off,
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


def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA|RUN",
            help="Labelled images, as for 'evaluate'; or the folder of a finished run, of which nothing is computed "
            "again.",
            show_default=False,
        ),
    ],
    model: ev.ModelOfRun = "",
    weights: opt.Weights = "DEFAULT",
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", metavar="NAME|FILE", help="Whose views are fitted. 'maskcorrect methods' tells what each is."
        ),
    ] = "zoom",
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The attribution method; of a finished run, which of its recipes is fitted. [default: the recipe's; of "
            "a run, the recipe with most views]",
            show_default=False,
        ),
    ] = None,
    views: opt.Views = None,
    pool: Annotated[
        str,
        typer.Option(metavar="log|sum", help="How the answers are put together; in the log pool the fit is convex."),
    ] = "log",
    max_forwards: Annotated[
        float | None,
        typer.Option(metavar="N", min=1, help="Forwards of an image at most. [default: no limit]", show_default=False),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.json", help="The corrector; an earlier file is replaced.")
    ] = Path("corrector.json"),
    page: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="The report as a page. [default: none]", show_default=False),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the run that is fitted; one that was stopped is resumed. [default: FILE.run]",
            show_default=False,
        ),
    ] = None,
    top_k: opt.TopK = None,
    target_layer: opt.TargetLayer = None,
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
    num_workers: ev.NumWorkers = None,
    quiet: opt.Quiet = False,
) -> None:
    """Make a corrector for your network: fit how much each view counts, on labelled images, and test it.

    The views are shown to the network once, as by 'evaluate', beside their rivals: no map, another image's map, the
    paper's mask. Every figure is of images that did not fit the weights. Where no correction is better than none, the
    file holds the identity.
    """
    given = {name: value.value if isinstance(value, Enum) else value for name, value in locals().items()}
    from .commands.fit import FitOptions, run_fit  # imports torch

    raise typer.Exit(run_fit(FitOptions.of(given)))


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


def sweep(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run with --keep-maps.", show_default=False)],
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|A:B:STEP",
            help="Thresholds of all views that have one, in [0, 1): 0:0.6:0.1, or 0.1,0.3. [default: the views' own]",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        str | None,
        typer.Option(
            "--top-k", "-k", metavar="LIST|A:B", help="K: 1:5, or 1,3. [default: the run's]", show_default=False
        ),
    ] = None,
    views: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VIEWS",
            help="Views that are shown together, joined by +: 'zoom[threshold=0.3,map=merged]+hflip'. Several times: "
            "several such sets. [default: the run's]",
            show_default=False,
        ),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(metavar="sum,log", help="Pools. [default: the run's]", show_default=False)
    ] = None,
    vote: Annotated[
        str | None,
        typer.Option(metavar="distribution,diagonal", help="Votes. [default: the run's]", show_default=False),
    ] = None,
    candidate_weights: Annotated[
        str | None,
        typer.Option(
            metavar="probs,uniform", help="Weights of the candidates. [default: the run's]", show_default=False
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Method of the run. [default: the first with maps]", show_default=False),
    ] = None,
    share: Annotated[
        float, typer.Option(metavar="S", help="Share of the images that choose, in (0, 1); the others report.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the split.")] = 0,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Where the run's images are now.", show_default=False)
    ] = None,
    model_weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where the run's weights are now.", show_default=False)
    ] = None,
    device: opt.Device = None,
    batch_size: opt.BatchSize = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.csv|.parquet|.json",
            help="The table of all settings. [default: settings.csv in the run]",
            show_default=False,
        ),
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Try other settings on the maps that a run kept, without making the maps again.

    The setting that is best on one part of the images is reported on the others. A stopped sweep goes on with the same
    command.
    """
    given = dict(locals())
    from .commands.sweep import SweepOptions  # imports torch
    from .commands.sweep import sweep as run_sweep

    raise typer.Exit(run_sweep(SweepOptions(**given)))


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN", help="Folders of finished runs, of one or several models and data sets.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.html", help="The page. An earlier report is replaced.")
    ] = Path("report.html"),
    subset: ev.Subset = "p1-p5<0.5",
    images: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Small pictures in the page at most; other images are there in numbers."),
    ] = 200,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Title of the page. [default: the models and the data]", show_default=False),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE even if it is no report.", show_default=False)
    ] = False,
) -> None:
    """Make a page of finished runs that needs nothing else: to open, to send, to keep.

    It says what was done, whether it helped and how sure that is, compares all methods and controls, and displays the
    images that correction fixed and broke with their maps. It needs no model and no network.
    """
    from .commands.report import report_runs  # imports pandas and matplotlib

    report_runs(runs, output, subset, images, title, overwrite)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(epilog=EXAMPLES, short_help="Evaluate correction over a data set.")(evaluate)
    app.command(short_help="Fit how much each view counts.")(fit)
    app.command(short_help="Compare methods and runs.")(compare)
    app.command(short_help="Try other settings on kept maps.")(sweep)
    app.command(short_help="Make a page of finished runs.")(report)
