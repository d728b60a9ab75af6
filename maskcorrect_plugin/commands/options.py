"""The options of ``maskcorrect correct``: each with its range, its default and what it does."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from maskcorrect_plugin.recipe_options import RECIPE, RECIPES, VIEW, Option


class PresetName(StrEnum):
    """Which definition of Score-CAM."""

    official = "official"
    grad_cam = "grad_cam"
    torchcam = "torchcam"
    paper_v2 = "paper_v2"


class PrecisionName(StrEnum):
    """The model's arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class CompileName(StrEnum):
    """When to compile the model."""

    off = "off"
    on = "on"
    auto = "auto"


class OutputName(StrEnum):
    """What the model returns."""

    logits = "logits"
    probs = "probs"


Images = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE", help="Image files, or folders: all images in and below them.", show_default=False),
]
MODEL_HELP = (
    "torchvision:NAME, timm:NAME, hf:ORG/NAME, hf:./FOLDER, package.module:factory (your own function without "
    "arguments that returns the model, or model, transform and class names; the current folder is importable), or "
    "demo, the small network that comes with this package."
)
Model = Annotated[str, typer.Option("--model", "-m", metavar="SPEC", help=MODEL_HELP, show_default=False)]
Weights = Annotated[
    str,
    typer.Option(
        metavar="FILE|DEFAULT|none",
        help="A weights file (.safetensors, .pt, .pth, .bin, .ckpt; the number of classes is read from its head), "
        "DEFAULT for the library's own (may be downloaded), or none for random ones.",
    ),
]


def _of_recipe(known: Option, *flags: str, metavar: str | None = None) -> Any:
    """The typer option of an option of a recipe. Without it the recipe's own value holds; the recipe checks it."""
    shown = metavar or known.allowed or "|".join(known.choices)
    allowed = f" Allowed: {known.allowed}." if metavar else ""
    text = f"{known.help[0].upper()}{known.help[1:]}.{allowed} [default: the recipe's]"
    return typer.Option(*flags, metavar=shown, help=text, show_default=False)


RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help=f"How to correct: {', '.join(RECIPES)}, with changes in brackets if need be ('zoom[top_k=3]'), or a file "
        "that ends in .json. 'maskcorrect methods' tells what each is.",
    ),
]
Method = Annotated[str | None, _of_recipe(RECIPE["method"], "--method")]
Views = Annotated[list[str] | None, _of_recipe(RECIPE["views"], "--views")]
Pool = Annotated[str | None, _of_recipe(RECIPE["pool"])]
ViewWeights = Annotated[str | None, _of_recipe(RECIPE["view_weights"])]
TopK = Annotated[int | None, _of_recipe(RECIPE["top_k"], "--top-k", "-k")]
Threshold = Annotated[float | None, _of_recipe(VIEW["threshold"], metavar="T")]
Fill = Annotated[str | None, _of_recipe(VIEW["fill"])]
Vote = Annotated[str | None, _of_recipe(RECIPE["vote"])]
CandidateWeights = Annotated[str | None, _of_recipe(RECIPE["candidate_weights"])]
MaxGap = Annotated[float | None, _of_recipe(RECIPE["max_gap"])]
Temperature = Annotated[float | None, _of_recipe(RECIPE["temperature"], metavar="T")]
TargetLayer = Annotated[str | None, _of_recipe(RECIPE["target_layer"])]
Preset = Annotated[
    PresetName | None,
    typer.Option(
        metavar="official|grad_cam|torchcam|paper_v2",
        help="Which definition of Score-CAM, for method ScoreCAM alone: its authors' code, pytorch-grad-cam's, "
        "torchcam's, or the text of arXiv version 2. [default: official]",
        show_default=False,
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        metavar="float32|bfloat16|float16",
        help="Arithmetic of the forwards. Half precision is faster where the hardware has it; probabilities are "
        "always float32.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Inputs per forward, 1 or more; halved when memory runs out. [default: 8 on a CPU, 256 on a GPU]",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="D",
        help="Where the model runs, such as cpu, cuda, cuda:1 or mps. [default: cuda if there is one, else cpu]",
        show_default=False,
    ),
]
Compile = Annotated[
    CompileName,
    typer.Option(
        metavar="off|on|auto",
        help="torch.compile the model for the many passes: at once, or, with auto, after so many that it repays the "
        "time that it costs; auto goes on without where it fails or is no faster.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Class names in the order of the model's outputs: one per line, or .json (a list, or index -> name). "
        "[default: the names that belong to the weights, else 'class 0', ...]",
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        metavar="S",
        min=1,
        help="Side of the square input in pixels: the shorter side is resized to S * 256 / 224 and the centre cropped; "
        "up to 64 the image is resized to the square. [default: the model's own]",
        show_default=False,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="Mean of the normalisation, three numbers in 0..1 for images scaled to 0..1. [default: the model's own]",
        show_default=False,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="Standard deviation of the normalisation, three numbers above 0. [default: the model's own]",
        show_default=False,
    ),
]
ModelOutput = Annotated[
    OutputName,
    typer.Option(
        metavar="logits|probs",
        help="What the model returns: logits, or probabilities if it ends in softmax.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for one figure per image and one result.json; created if missing, refused if not empty. "
        "[default: nothing is written]",
        show_default=False,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Allow an --output that is not empty. Files of an earlier run, as its result.json names them, are "
        "removed; others are never touched.",
    ),
]
Figures = Annotated[
    bool,
    typer.Option("--figures/--no-figures", help="Whether --output gets figures. Without them many images go faster."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print what result.json holds to stdout, instead of text.", show_default=False)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No text and no progress bar; warnings and failures still go to stderr.")
]
