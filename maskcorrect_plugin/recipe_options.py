"""The options of a recipe, each written down once; without torch, so that the command line can read them at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VOTES = ("distribution", "diagonal")
WEIGHTS = ("probs", "uniform")
POOLS = ("sum", "log")
"""Linear opinion pool (the paper's sum) and logarithmic opinion pool."""
FILLS = ("zero", "black", "mean", "blur")
MAPS = ("candidates", "merged")
"""Which maps a guided view follows: one of each candidate, or their weighted mean."""


@dataclass(frozen=True)
class Option:
    """What is known of one option.

    Attributes:
        name: As an argument; on the command line with hyphens.
        default: What holds where nothing is given.
        help: A sentence for the command line and the documents.
        allowed: The range or form that it takes, as text.
        choices: The words that it takes, where there are only some.
    """

    name: str
    default: Any
    help: str
    allowed: str = ""
    choices: tuple[str, ...] = ()


def _table(*options: Option) -> Mapping[str, Option]:
    return {option.name: option for option in options}


RECIPE = _table(
    Option(
        "method",
        "ScoreCAM",
        "the attribution method: ScoreCAM works on any CNN, CAM is far cheaper but needs global average pooling and "
        "one linear head, library:ClassName takes another library's; options of its own go in brackets: "
        "'ScoreCAM[max_masks=64]'. 'maskcorrect methods' lists all",
        "NAME",
    ),
    Option(
        "target_layer",
        None,
        "module whose feature maps make the maps, such as layer4 or features.29. By default the last convolutional "
        "feature map, found by itself",
        "NAME",
    ),
    Option("method_options", (), "options of the method"),
    Option(
        "top_k",
        5,
        "how many of the most probable classes are candidates, from 1 to the number of classes; where there are fewer "
        "than 5, all of them by default",
        "K",
    ),
    Option(
        "views",
        ("mask",),
        "what the network is shown again, with options in brackets: 'zoom[threshold=0.3,map=merged]'; several times, "
        "or joined by +. 'maskcorrect methods' lists all",
        "VIEW",
    ),
    Option(
        "pool",
        "sum",
        "how the answers are put together: by their weighted sum (the paper), or by the sum of their logarithms",
        choices=POOLS,
    ),
    Option("view_weights", None, "the weight of each view, 0 or more, with commas. By default 1 each", "B,..."),
    Option(
        "candidate_weights",
        "probs",
        "how the candidates are weighted: by their own probability (the paper), or all alike",
        choices=WEIGHTS,
    ),
    Option(
        "vote",
        "distribution",
        "what counts of the answer to a candidate's picture: all of it (the paper), or the candidate's own probability",
        choices=VOTES,
    ),
    Option(
        "max_gap",
        None,
        "correct only images whose gap, the first minus the fifth probability (of fewer classes, the last), is below "
        "G; the others pass unchanged at the price of one forward; 0 to 1. The paper reports on 0.5. By default all "
        "are corrected",
        "G",
    ),
    Option(
        "temperature", 1.0, "divides the logarithm of the corrected probabilities; above 1 flattens them", "above 0"
    ),
)
"""The options of `recipe.Recipe`."""

VIEW = _table(
    Option(
        "threshold", 0.1, "map values at or below it are hidden (mask) or outside the box (crop, zoom)", "0 <= T < 1"
    ),
    Option(
        "fill",
        "zero",
        "what a mask shows where it hides: zero after normalisation (the paper; it is the data set's mean colour), "
        "black, this image's mean colour, or this image blurred",
        choices=FILLS,
    ),
    Option("margin", 0.05, "added on each side of the box, as a fraction of it, as far as the input reaches", "0 to 1"),
    Option("map", "candidates", "which map it follows: one of each candidate, or their weighted mean", choices=MAPS),
)
"""Options that several views have. The first two are short forms of a recipe's only view."""

RECIPES: Mapping[str, str] = {
    "paper": "what the source states: Score-CAM, five candidates, the masked input, the weighted sum",
    "zoom": "two crops of the original picture by the merged map, a flip, the whole picture: 5 forwards and the maps",
    "unguided": "two centre crops of the original picture, a flip, the whole picture: 5 forwards, no map",
}
"""One line for each named recipe."""
