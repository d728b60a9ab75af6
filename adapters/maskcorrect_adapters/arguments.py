"""What users hand to a backend: options, one layer or several, a class of a library or an object of their own."""

import inspect
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import nn

from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError


def parameters_of(function: Any, without: Collection[str]) -> set[str]:
    """Names of a function's parameters, without ``self``, its catch-alls, and what is no option."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind in named} - {"self", *without}


def check_options(name: str, given: Iterable[str], known: Collection[str], always: Collection[str] = ()) -> None:
    """Refuses options that a method does not have.

    Args:
        name: The method.
        given: Names of the options.
        known: What the method takes.
        always: What the backend takes for each of its methods, which belongs into the message.

    Raises:
        ArgumentTypeError: naming what is unknown, and what is allowed.
    """
    if unknown := sorted(set(given) - set(known)):
        allowed = ", ".join(sorted({*known, *always})) or "none"
        raise ArgumentTypeError(f"{name} has no option {', '.join(unknown)}; it takes {allowed}")


def as_layers(
    target_layer: str | nn.Module | None, target_layers: Sequence[str | nn.Module] | None
) -> Sequence[str | nn.Module] | None:
    """One target layer, several of them, or None where neither is given."""
    if target_layer is None:
        return target_layers
    if target_layers is not None:
        raise ArgumentError("target_layer and target_layers must not both be given")
    return [target_layer]


def class_and_object(given: Any) -> tuple[Any, Any]:
    """A library's class and the user's own object of it; the object is None where the class itself is given."""
    return (given, None) if isinstance(given, type) else (type(given), given)
