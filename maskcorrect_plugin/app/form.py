"""What the form of the page asks for, from the values that a browser sends.

Of an option of the recipe that is left empty, the recipe's own value holds: no default is written here.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LayerError
from maskcorrect_plugin.inference import OUTPUTS
from maskcorrect_plugin.options import parse_spec
from maskcorrect_plugin.recipe import PAPER, RECIPES, Recipe

from .shelf import ModelKey

FIELDS: dict[str, Any] = {
    "model": "demo",
    "weights": "DEFAULT",
    "classes": "",
    "model_output": OUTPUTS[0],
    "recipe": PAPER.name,
    "method": "",
    "second": "",
    "target_layer": "",
    "top_k": "",
    "views": "",
    "threshold": "",
    "fill": "",
    "pool": "",
    "candidate_weights": "",
    "vote": "",
    "max_gap": "",
    "temperature": "",
    "true_class": "",
}
"""Fields of the form, in the order in which it hands their values over, with what they hold at first. `second` is what
the recipe is compared with, `true_class` what the photo shows."""
CHANGES = ("top_k", "views", "threshold", "fill", "pool", "candidate_weights", "vote", "max_gap", "temperature")
"""Those that change the recipe: its own options, and the short forms for an option of its only view."""
NUMBERS = ("top_k", "threshold", "max_gap", "temperature")
"""Fields for numbers, which are typed as text: a field for numbers alone cannot be empty."""
TITLES = {
    "model": "Model",
    "weights": "Weights",
    "classes": "Class names",
    "model_output": "The model returns",
    "recipe": "Recipe",
    "method": "Method",
    "second": "Compare with",
    "target_layer": "Target layer",
    "top_k": "Candidates K",
    "views": "Views",
    "threshold": "Threshold",
    "fill": "Fill",
    "pool": "Pool",
    "candidate_weights": "Weights of candidates",
    "vote": "Vote",
    "max_gap": "Largest gap",
    "temperature": "Temperature",
    "true_class": "True class",
}
"""What the fields are called on the page."""
REQUIRED = ("model", "weights", "recipe")


@dataclass(frozen=True)
class Choice:
    """One of the recipes that a photo is corrected by.

    Attributes:
        name: What the page calls it.
        recipe: The recipe.
    """

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Request:
    """One filled-in form.

    Attributes:
        model: Which model.
        output: What it returns.
        choices: The recipe, and the one to compare it with, if there is one.
        true_class: Name or index of the class that the photo shows; empty if that is not known.
    """

    model: ModelKey
    output: str
    choices: tuple[Choice, ...]
    true_class: str


def read_form(values: Sequence[Any], files: Collection[str] | None = None) -> Request:
    """The request, with everything checked that needs no model.

    Args:
        values: One for each of `FIELDS`; an emptied field is None or empty text.
        files: Files of recipes that may be read; None allows all.

    Raises:
        ValueError, TypeError: a value that is not allowed.
        ImportError: the library of a method is not installed; the message has the command that installs it.

    Example:
        >>> form = {**FIELDS, "method": " CAM ", "second": "zoom", "top_k": 3}
        >>> [choice.name for choice in read_form(list(form.values())).choices]
        ['paper by CAM', 'zoom by CAM']
    """
    given: dict[str, Any] = dict(zip(FIELDS, values, strict=True))
    given.update({name: _number(given[name]) for name in NUMBERS})
    texts = {name: _text(name, value) for name, value in given.items() if name not in NUMBERS}
    check_choice("model_output", texts["model_output"], OUTPUTS)
    method, layer = texts["method"], texts["target_layer"]
    changes = {name: texts.get(name, given[name]) for name in CHANGES}
    changes = {name: value for name, value in changes.items() if value not in (None, "")}
    if layer:
        changes["target_layer"] = layer
    choices = [_choice(texts["recipe"], method, changes, files)]
    if second := texts["second"]:
        if _is_recipe(second):
            choices.append(_choice(second, method, {"target_layer": layer} if layer else {}, files))
        else:
            choices.append(_choice(texts["recipe"], second, changes, files))
        if choices[1].recipe == choices[0].recipe:
            raise ArgumentError(f"second must be another correction than {choices[0].name!r}, got {second!r}")
    for choice in choices:
        with suppress(LayerError):  # a method that must see its layer can only be made with the real model
            ProbabilityCorrector(nn.Identity(), recipe=choice.recipe)
    key = ModelKey(texts["model"], texts["weights"], texts["classes"])
    return Request(key, texts["model_output"], tuple(choices), texts["true_class"])


def _is_recipe(text: str) -> bool:
    return text.endswith(".json") or parse_spec(text, "second")[0] in RECIPES


def _choice(text: str, method: str, changes: dict[str, Any], files: Collection[str] | None) -> Choice:
    """A recipe by its text, with a method and other options in their places."""
    if text.endswith(".json") and files is not None and text not in files:
        raise ArgumentError(
            f"recipe must be {', '.join(map(repr, RECIPES))} on a page that other computers can reach, got {text!r}"
        )
    recipe = Recipe.of(text).replace(**({"method": method} if method else {}), **changes)
    return Choice(f"{text} by {method}" if method and recipe.method is not None else text, recipe)


def in_page_words(message: str) -> str:
    """A message that begins with the name of an argument, with what the page calls it.

    Example:
        >>> in_page_words("top_k must be at least 1, got 0")
        'Candidates K must be at least 1, got 0'
    """
    name, must, rest = message.partition(" must be ")
    title = {**TITLES, "spec": TITLES["model"]}.get(name)
    return message if title is None else f"{title}{must}{rest}"


def _number(value: Any) -> Any:
    """What a field for a number holds: the number, None if it is empty, or the text, which the recipe then refuses."""
    text = value.strip() if isinstance(value, str) else value
    for kind in (int, float):
        with suppress(TypeError, ValueError):
            return kind(text) if isinstance(text, str) else text
    return text or None


def _text(name: str, value: Any) -> str:
    """A field that holds text, without blanks around it."""
    if value is not None and not isinstance(value, str):
        raise ArgumentTypeError(f"{name} must be text, got {value!r} of type {type(value).__name__}")
    text = (value or "").strip()
    if name in REQUIRED and not text:
        raise ArgumentError(f"{name} must be given, but the field is empty")
    return text
