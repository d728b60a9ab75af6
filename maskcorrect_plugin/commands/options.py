"""The options of ``maskcorrect correct``: each with its range, its default and what it does."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ViewName(StrEnum):
    """How an image is shown to the model again."""

    mask = "mask"
    crop = "crop"


class FillName(StrEnum):
    """What a mask shows instead of what it hides."""

    zero = "zero"
    black = "black"
    mean = "mean"
    blur = "blur"


class VoteName(StrEnum):
    """What of the second answers counts."""

    distribution = "distribution"
    diagonal = "diagonal"


class WeightsName(StrEnum):
    """The weight of each second answer."""

    probs = "probs"
    uniform = "uniform"


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
Method = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="The attribution method: ScoreCAM works on any CNN, CAM is far cheaper but needs global average pooling "
        "and one linear head, library:ClassName takes another library's; options of its own go in brackets: "
        "'ScoreCAM[max_masks=64]'. 'maskcorrect methods' lists all.",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        "-k",
        metavar="K",
        min=1,
        help="How many of the most probable classes are asked about again: 1 to the number of classes. "
        "[default: 5, or all classes where there are fewer]",
        show_default=False,
    ),
]
Threshold = Annotated[
    float,
    typer.Option(
        metavar="T",
        help="Map values at or below T are hidden (view mask) or outside the box (view crop). 0 <= T < 1.",
    ),
]
View = Annotated[
    ViewName,
    typer.Option(
        metavar="mask|crop",
        help="How the image is shown again for each candidate: mask multiplies it with the candidate's map (the "
        "paper), crop zooms in on the map's box.",
    ),
]
Fill = Annotated[
    FillName,
    typer.Option(
        metavar="zero|black|mean|blur",
        help="What view mask shows where it hides: zero after normalisation (the paper; it is the data set's mean "
        "colour), black, this image's mean colour, or this image blurred.",
    ),
]
Vote = Annotated[
    VoteName,
    typer.Option(
        metavar="distribution|diagonal",
        help="What counts of each second answer: all of it (the paper), or only the candidate's own probability.",
    ),
]
CandidateWeights = Annotated[
    WeightsName,
    typer.Option(
        metavar="probs|uniform",
        help="How each second answer is weighted: by the candidate's own probability (the paper), or all alike.",
    ),
]
MaxGap = Annotated[
    float | None,
    typer.Option(
        metavar="G",
        help="Correct only images whose gap, the first minus the fifth probability (of fewer classes, the last), is "
        "below G; the others pass unchanged at the price of one forward. 0 <= G <= 1; the paper reports on 0.5. "
        "[default: correct all]",
        show_default=False,
    ),
]
TargetLayer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Module whose feature maps make the maps, such as layer4 or features.29. "
        "[default: the last convolutional feature map, found by itself]",
        show_default=False,
    ),
]
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
