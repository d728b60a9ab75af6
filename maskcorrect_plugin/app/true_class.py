"""The class that somebody says a photo shows."""

from collections.abc import Sequence

from maskcorrect_plugin.checks import nearest
from maskcorrect_plugin.datasets.classes import SPELLINGS, ModelClasses
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.visualization.correction_case import display_names


def true_class(text: str, class_names: Sequence[str]) -> int | None:
    """Index of the class with that name, as it stands or as figures display it, or with that number.

    Args:
        text: A name, with any case, spaces, hyphens and underscores alike, or an index; empty where it is not known.
        class_names: The model's.

    Raises:
        ArgumentError: no such class, or several of that name.

    Example:
        >>> names = ["tench, Tinca tinca", "Egyptian cat"]
        >>> true_class("egyptian_cat", names), true_class("Tench", names), true_class("0", names)
        (1, 0, 0)
    """
    if not text:
        return None
    shown = display_names(class_names, len(class_names))
    for spelling in SPELLINGS:
        for names in (class_names, shown):
            found = ModelClasses.of(names, None).outputs(spelling).get(spelling(text), [])
            if len(found) == 1:
                return found[0]
    if text.isdecimal() and int(text) < len(class_names):
        return int(text)
    raise ArgumentError(
        f"true_class must be one of the model's class names, or an index from 0 to {len(class_names) - 1}; got {text!r}"
        f"{nearest(text, shown)}"
    )
