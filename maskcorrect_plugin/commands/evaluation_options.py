"""The options of ``maskcorrect evaluate`` that ``maskcorrect correct`` does not have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from maskcorrect_plugin.recipe_options import RECIPES

from .options import MODEL_HELP


class DistributionsName(StrEnum):
    """How whole distributions are kept."""

    float16 = "float16"
    float32 = "float32"
    top = "top"


class ProtocolName(StrEnum):
    """Whose experiment."""

    paper = "paper"


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of class folders, a folder in ImageNet's layout (with val/), a manifest (.csv, .parquet), "
        "hf:ORG/NAME, hf:./FOLDER, or demo[:N], the scenes that come with this package. docs/data-sets.md tells more.",
        show_default=False,
    ),
]
ModelOfRun = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="SPEC",
        help=f"{MODEL_HELP} [default: torchvision:vgg16 with --protocol paper, else it must be given]",
        show_default=False,
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help=f"How to correct: {', '.join(RECIPES)}, with changes in brackets if need be ('unguided[views=hflip]'), or "
        "a file that ends in .json. Several times: several recipes on the same images, which share what they can. "
        "'maskcorrect methods' tells what each is. [default: paper]",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help="An attribution method, or a control in its place (control:random_map, control:other_image, ...; "
        "'maskcorrect methods' lists all), with options of its own in brackets if need be: "
        "'ScoreCAM[preset=grad_cam]'. Several times: several on the same images. Controls that need maps take them "
        "from the first method. [default: the recipe's]",
        show_default=False,
    ),
]
Run = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="RUN",
        help="Folder of the run. One that holds the same run is gone on with; a different run is refused.",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Split of the data set, for ImageNet's layout and hf:. [default: val, or the only]",
        show_default=False,
    ),
]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Column of paths or images. [default: found by its name or type]", show_default=False
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of labels. [default: found by its name or type]", show_default=False),
]
Root = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where a manifest's relative paths start. [default: the manifest's folder]",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Evaluate N images only, drawn at random by --seed. [default: all]",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(metavar="S", min=0, help="Of --limit's drawing.")]
Subset = Annotated[
    str,
    typer.Option(
        metavar="DEF",
        help="The difficult images, reported apart: a gap of probabilities before correction and its bound, such as "
        "'p1-p5<0.5' (the paper's), 'p1-p2<0.3'.",
    ),
]
ImagesPerPart = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Images in one part: what a killed run may lose. Fewer for slow methods; more for fast ones.",
    ),
]
Distributions = Annotated[
    DistributionsName,
    typer.Option(
        metavar="float16|float32|top",
        help="How the distribution before and those of the views are kept; top keeps the most probable classes only.",
    ),
]
KeepMaps = Annotated[
    bool,
    typer.Option("--keep-maps", help="Keep the maps, so that 'maskcorrect sweep' can vary views, pools, K and vote."),
]
Thumbnails = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Small pictures of changed images to keep at most, with their maps, for a report."
    ),
]
NumWorkers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Processes that read images in the background. [default: beside a model on a CPU 0, or 1 where views are "
        "cut from the originals; up to 8 on a GPU]",
        show_default=False,
    ),
]
Share = Annotated[
    str | None,
    typer.Option(
        "--worker",
        metavar="RANK/SIZE",
        help="Do this share of the parts only, ranks from 0: 2/8 is the third of eight. [default: from torchrun's or a "
        "SLURM array's environment, else all]",
        show_default=False,
    ),
]
Protocol = Annotated[
    ProtocolName | None,
    typer.Option(
        metavar="paper",
        help="The paper's experiment: VGG16, Score-CAM, K = 5, threshold 0.1, images with p1 - p5 < 0.5 corrected, its "
        "tables beside the paper's figures. DATA is ImageNet's folder.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Measure a few images and say what the run will take: passes, time, disk."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print summary.json to stdout instead of text.", show_default=False)
]
