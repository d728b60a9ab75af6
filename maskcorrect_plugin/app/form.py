"""What the form of the page asks for, from the values that a browser sends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.commands.corrector_options import DEFAULT_TOP_K, CorrectorOptions
from maskcorrect_plugin.commands.method_spec import MethodSpec, check_specs
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError

FIELDS: dict[str, Any] = {
    "model": "demo",
    "weights": "DEFAULT",
    "classes": "",
    "model_output": "logits",
    "method": "ScoreCAM",
    "second_method": "",
    "target_layer": "",
    "top_k": DEFAULT_TOP_K,
    "threshold": 0.1,
    "view": "mask",
    "fill": "zero",
    "vote": "distribution",
    "true_class": "",
}
"""Fields of the form, in the order in which it hands their values over, with what they hold at first. `second_method`
is what the method is compared with, `true_class` what the photo shows; the others are options of ``maskcorrect
correct``."""
TITLES = {
    "model": "Model",
    "weights": "Weights",
    "classes": "Class names",
    "model_output": "The model returns",
    "method": "Method",
    "second_method": "Compare with",
    "target_layer": "Target layer",
    "top_k": "Candidates K",
    "threshold": "Threshold",
    "view": "View",
    "fill": "Fill",
    "vote": "Vote",
    "true_class": "True class",
}
"""What the fields are called on the page."""
REQUIRED = ("model", "weights", "method")
HIGHEST_THRESHOLD = 0.99
"""Where the slider ends; 1 would hide everything."""


@dataclass(frozen=True)
class Request:
    """One filled-in form.

    Attributes:
        options: The model, and how it is corrected.
        methods: The attribution method, and the one to compare it with, if there is one.
        true_class: Name or index of the class that the photo shows; empty if that is not known.
    """

    options: CorrectorOptions
    methods: tuple[MethodSpec, ...]
    true_class: str


def read_form(values: Sequence[Any], device: str | None = None) -> Request:
    """The request, with everything checked that needs no model.

    Args:
        values: One for each of `FIELDS`; an emptied field is None or empty text.
        device: Where the model runs; None is CUDA if there is one, else the CPU.

    Raises:
        ValueError, TypeError: a value that is not allowed.
        ImportError: the library of a method is not installed; the message has the command that installs it.

    Example:
        >>> form = {**FIELDS, "method": " CAM ", "second_method": "ScoreCAM[preset=grad_cam]", "top_k": 3}
        >>> request = read_form(list(form.values()))
        >>> [spec.text for spec in request.methods], request.options.top_k
        (['CAM', 'ScoreCAM[preset=grad_cam]'], 3)
    """
    given: dict[str, Any] = dict(zip(FIELDS, values, strict=True))
    texts = {name: _text(name, given[name]) for name, default in FIELDS.items() if isinstance(default, str)}
    names = [texts.pop("method"), texts.pop("second_method")]
    classes, layer, true_class = texts.pop("classes"), texts.pop("target_layer"), texts.pop("true_class")
    options = CorrectorOptions(
        **texts,
        classes=Path(classes) if classes else None,
        target_layer=layer or None,
        top_k=None if given["top_k"] is None else check_int("top_k", given["top_k"], 1),
        threshold=given["threshold"],
        candidate_weights="probs",
        max_gap=None,
        preset=None,
        precision="float32",
        batch_size=None,
        device=device,
        compile="off",
        size=None,
        mean=None,
        std=None,
    )
    methods = tuple(check_specs([name for name in names if name]))
    for method in methods:
        options.check([(method.name, method.options)])
    return Request(options, methods, true_class)


def in_page_words(message: str) -> str:
    """A message that begins with the name of an argument, with what the page calls it.

    Example:
        >>> in_page_words("top_k must be at least 1, got 0")
        'Candidates K must be at least 1, got 0'
    """
    name, must, rest = message.partition(" must be ")
    title = {**TITLES, "spec": TITLES["model"]}.get(name)
    return message if title is None else f"{title}{must}{rest}"


def _text(name: str, value: Any) -> str:
    """A field that holds text, without blanks around it."""
    if value is not None and not isinstance(value, str):
        raise ArgumentTypeError(f"{name} must be text, got {value!r} of type {type(value).__name__}")
    text = (value or "").strip()
    if name in REQUIRED and not text:
        raise ArgumentError(f"{name} must be given, but the field is empty")
    return text
