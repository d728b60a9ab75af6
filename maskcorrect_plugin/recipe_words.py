"""What a recipe does, in words: from the settings of a result or of a run, for figures, pages and reports."""

from collections.abc import Mapping, Sequence
from typing import Any

from .options import default_of, options_of, parse_spec
from .recipe import Recipe
from .views import MERGED, OptionView, view_classes

METHOD, MAP_SOURCE, NO_MAP, LEAKS = "attribution method", "another map", "no map", "looks at the labels: no result"
KINDS = (METHOD, MAP_SOURCE, NO_MAP, LEAKS)
"""Of recipes, by what their views follow. The two in the middle explain nothing: they are controls."""
CONTROL = "control:"
"""Begins the names of map sources that put something else in a map's place."""
FILLS = {
    "zero": "the data set's mean colour",
    "black": "black",
    "mean": "the image's mean colour",
    "blur": "a blurred copy of the image",
}
"""What a mask shows where it hides."""


def kind_of(settings: Mapping[str, Any]) -> str:
    """Which of `KINDS` a recipe is.

    Args:
        settings: Of a `CorrectionResult`, or of a method in ``run.json``.

    Example:
        >>> kind_of({"method": "CAM"}), kind_of({"method": None}), kind_of({"method": "control:random_map"})
        ('attribution method', 'no map', 'another map')
    """
    if settings.get("leaks"):
        return LEAKS
    method = settings.get("method")
    if method is None:
        return NO_MAP
    return MAP_SOURCE if str(method).startswith(CONTROL) else METHOD


def read_view(spec: str) -> tuple[str, dict[str, Any]]:
    """The name and the options of a view from its text form; of a class of somebody's own its last name.

    Example:
        >>> read_view("mypackage.views.Ring[width=3]")
        ('Ring', {'width': 3})
    """
    name, options = parse_spec(spec, "view")
    return (name if name in view_classes() else name.rpartition(".")[2]), options


def view_label(spec: str) -> str:
    """A view in a few characters: its name, its first option, and the others that are not their defaults.

    Example:
        >>> view_label("zoom[threshold=0.3,margin=0.05,min_side=0.25,map=merged]"), view_label("hflip")
        ('zoom 0.3', 'hflip')
    """
    name, options = read_view(spec)
    cls = view_classes().get(name)
    known = options_of(cls) if cls is not None and issubclass(cls, OptionView) else {}
    options.pop("map", None)
    told = [
        value
        for position, (key, value) in enumerate(options.items())
        if position == 0 or key not in known or value != known[key].default
    ]
    return " ".join([name, *(f"{value:g}" if isinstance(value, float) else str(value) for value in told)])


def view_sentence(spec: str) -> str:
    """What the network is shown by one view, in a sentence.

    Example:
        >>> view_sentence("hflip")
        "It was shown the network's input mirrored left to right."
    """
    name, options = read_view(spec)
    merged = options.get("map") == MERGED
    which = "their weighted mean" if merged else "the map"
    threshold = options.get("threshold")
    if name == "mask" and threshold is not None:
        fill = FILLS.get(str(options.get("fill")), "the fill")
        return (
            f"The image was multiplied with {which}, map values at or below {threshold:g} counting as 0: what the "
            f"network did not use{' for the class' if not merged else ''} gives way to {fill}."
        )
    if name in ("crop", "zoom") and threshold is not None:
        where = "The network's input was cropped" if name == "crop" else "The original picture was cut"
        how = "and enlarged" if name == "crop" else "and scaled once to the network's input"
        return f"{where} to where {which} exceeds {threshold:g}, {how}."
    cls = view_classes().get(name)
    if cls is None or cls.guided:
        return f"From the image{' and the map' if 'map' in options else ''} the view {name!r} made another image."
    numbers = ", ".join(f"{key} {value}" for key, value in options.items())
    return f"It was shown {cls.summary.removeprefix('zooms in on ')}{f' ({numbers})' if numbers else ''}."


def is_guided(spec: str) -> bool:
    """Whether a view follows maps.

    Example:
        >>> is_guided("zoom[map=merged]"), is_guided("hflip")
        (True, False)
    """
    name, options = read_view(spec)
    cls = view_classes().get(name)
    return "map" in options if cls is None else cls.guided


def follows_candidates(spec: str) -> bool:
    """Whether a view follows the candidates' maps one by one."""
    return is_guided(spec) and read_view(spec)[1].get("map") != MERGED


def views_in_short(settings: Mapping[str, Any]) -> str:
    """The views of a recipe by their labels, with their weights where they are not 1.

    Example:
        >>> views_in_short({"views": ["hflip", "center[scale=0.85]"], "view_weights": [1.0, 0.5]})
        'hflip, 0.5 × center 0.85'
    """
    return ", ".join(
        view_label(spec) if weight == 1 else f"{weight:.3g} × {view_label(spec)}"
        for spec, weight in weighted_views(settings)
    )


def weighted_views(settings: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The views of a recipe with their weights, without those that weigh nothing."""
    views: Sequence[str] = [str(view) for view in settings.get("views") or ()]
    weights = settings.get("view_weights") or (1.0,) * len(views)
    return [(view, weight) for view, weight in zip(views, weights, strict=True) if weight]


def is_usual(settings: Mapping[str, Any], name: str) -> bool:
    """Whether an option of the recipe is not there, or has the value that it has where nothing is given."""
    return name not in settings or settings[name] == default_of(Recipe, name)
