"""The command line. It parses and says what went wrong in one line; the work is imported when it is needed."""

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__
from .cli_evaluation import register
from .commands import options as opt
from .commands.terminal import Style, error_text, printable, terminal_width, tolerant
from .errors import MaskCorrectError

USAGE = 2
INTERRUPTED = 130
UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of whichever click typer uses: recent versions carry their own, so it cannot be imported from click."""

EXAMPLES = """\
Examples:

\b
  maskcorrect correct photo.jpg -m torchvision:resnet50 --recipe zoom
  maskcorrect correct photo.jpg -m torchvision:resnet50 --method CAM
  maskcorrect correct photos/ -m timm:resnet50.a1_in1k --max-gap 0.5 -o out
  maskcorrect correct photos/ -m torchvision:vgg16 --weights birds.pt \\
                      --classes names.txt -o out
  maskcorrect correct a.png b.png -m my_networks:resnet20 --size 32 --json

Exit codes: 0 done, 1 some images failed (the others are done), 2 wrong usage.

Source: Maeng and Baek (Korea University), "CNN-based Class Probability Correction using Mask-image". Score-CAM: Wang et
al., CVPRW 2020, arXiv 1910.01279. CAM: Zhou et al., CVPR 2016.
"""


class _Group(TyperGroup):
    """Every expected error becomes one line on standard error and exit code 2; unexpected ones keep their traceback."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        tolerant(sys.stdout)
        tolerant(sys.stderr)
        try:
            code = super().main(*args, **kwargs)
        except (MaskCorrectError, UsageError) as error:
            typer.echo(error_text(_message(error), Style.of(sys.stderr)), err=True)
            code = USAGE
        except (typer.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


def _message(error: Exception) -> str:
    """What to say: for an error of the parser also where to read on."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    return printable(message if context is None else f"{message} (see '{context.command_path} --help')")


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"maskcorrect {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Correct the class probabilities of a CNN with its own explanations, without retraining.

    The network predicts again on views of the image, by default on what it used for each of its top K answers, and the
    answers are put together.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(USAGE)


@app.command(epilog=EXAMPLES, short_help="Correct images, print and write the results.")
def correct(
    images: opt.Images,
    model: opt.Model,
    weights: opt.Weights = "DEFAULT",
    recipe: opt.RecipeName = "paper",
    method: opt.Method = None,
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
    precision: opt.Precision = opt.PrecisionName.float32,
    batch_size: opt.BatchSize = None,
    device: opt.Device = None,
    compile: opt.Compile = opt.CompileName.off,
    classes: opt.Classes = None,
    size: opt.Size = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    model_output: opt.ModelOutput = opt.OutputName.logits,
    output: opt.Output = None,
    overwrite: opt.Overwrite = False,
    figures: opt.Figures = True,
    as_json: opt.AsJson = False,
    quiet: opt.Quiet = False,
) -> None:
    """Correct images: print the most probable classes before and after, and write figures and result.json."""
    given = {name: value.value if isinstance(value, Enum) else value for name, value in locals().items()}
    from .commands.correct import correct as run_correct  # imports torch
    from .commands.run import CorrectOptions

    raise typer.Exit(run_correct(CorrectOptions(**given)))


@app.command(short_help="List methods, views, pools and recipes.")
def methods(
    pattern: Annotated[
        str,
        typer.Argument(metavar="[PATTERN]", help="Only names that match, such as '*Score*'; * and ? as in a shell."),
    ] = "*",
) -> None:
    """List what a correction is made of: attribution methods and what they cost, map sources, views, pools, recipes.

    With a pattern only the methods that match.
    """
    from .commands.methods import method_rows, methods_text, parts_text  # imports torch

    rows, width, style = method_rows(pattern), terminal_width(), Style.of(sys.stdout)
    typer.echo(methods_text(rows, width, style))
    if pattern == "*":
        typer.echo(parts_text(width, style))


@app.command(short_help="Show it on the network that comes with it.")
def demo(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the figures; an earlier demo's are replaced."),
    ] = Path("maskcorrect-demo"),
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Images to evaluate.")] = 500,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the held-out images.")] = 0,
    method: Annotated[str, typer.Option(metavar="NAME", help="The attribution method.")] = "ScoreCAM",
) -> None:
    """Correct the small network that comes with this package, on images that it generates: no download."""
    from .demo.run import run_demo  # imports torch

    run_demo(output, count, seed, method, typer.echo)


@app.command("app", short_help="Correct photos in a page in the browser.")
def live_page(
    model: opt.Model = "demo",
    weights: opt.Weights = "DEFAULT",
    classes: opt.Classes = None,
    device: opt.Device = None,
    recipe: opt.RecipeName = "paper",
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where it listens. On an address that other computers can reach, the page offers the --model alone.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="P", min=0, max=65535, help="Port that it listens on; 0 takes any that is free.")
    ] = 7860,
) -> None:
    """Correct photos in a page in the browser: drop one, choose model and method, see what it does.

    The page is served by this computer to this computer, and asks no other one for anything. The model named here is
    the one that it begins with.
    """
    from .app.server import ServerOptions, serve  # imports torch

    serve(ServerOptions(host, port, model, weights, classes, device, recipe))


register(app)


def main() -> None:
    """Entry point of ``maskcorrect``."""
    app()
