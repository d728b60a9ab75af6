"""`Recipe`: everything about a correction that changes a number, in one value. Maps x views x pool.

Two recipes are equal exactly when their numbers are. Command line, Python, live page, ``run.json`` and ``result.json``
hold recipes and read the options, their defaults and their help from here.

What is not in it describes the model, not the correction: whether it returns logits, and its arithmetic's precision.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checks import check_number, nearest
from .describing import UNDESCRIBED, content_digest, describe
from .errors import ArgumentError, ArgumentTypeError
from .options import check_names, check_options, format_spec, option, options_of, parse_spec, split_top_level, whole
from .recipe_options import RECIPE as OPTIONS
from .views import CANDIDATES, MERGED, View, create_view

FORMAT = "maskcorrect_plugin.recipe/1"
"""First entry of a recipe's file: whose it is, and in which version of its layout."""
CORRECTOR_FORMAT = "maskcorrect_plugin.corrector/1"
"""The same of the file of a fitted corrector, which also names the model that it was fitted for."""
_ENTRIES = {
    FORMAT: ("format", "recipe"),
    CORRECTOR_FORMAT: ("format", "recipe", "model", "data", "figures", "versions"),
}
AUTO = "auto"
"""The method that is closed-form CAM where it holds, else Score-CAM with a budget of masks."""
CONTROL_VIEWS: Mapping[str, str] = {
    "control:hflip": "hflip",
    "control:ten_crop": "ten_crop",
    "control:random_crops": "random_crops",
}
"""Names of controls that are unguided views."""
MERGED_CONTROLS = ("control:single_mask", "control:class_agnostic")
"""Names of controls that are the recipe's own views by the merged map."""
SHORT_FORMS = ("view", "threshold", "fill")
"""Short for ``views`` of one view, and for an option of the single view that a recipe has."""


def _check_method(name: str, value: Any) -> Any:
    """A name, with its options in brackets or without, or None; objects are the corrector's business."""
    if value is None or isinstance(value, str):
        return value
    raise ArgumentTypeError(f"{name} must be a name such as 'CAM' or None in a recipe, got {value!r}")


def _check_text(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    raise ArgumentTypeError(f"{name} must be a module's name or None in a recipe, got {value!r}")


def _check_mapping(name: str, value: Any) -> dict[str, Any]:
    if value == ():  # the default, which a dataclass cannot share as a dictionary
        return {}
    if not isinstance(value, Mapping):
        raise ArgumentTypeError(f"{name} must be a mapping of option names to values, got {value!r}")
    return {str(key): describe(each) for key, each in value.items()}


def _check_views(name: str, value: Any) -> tuple[str | View, ...]:
    """One text or object, or several; texts are written out with all their options."""
    given = parse_views(value) if isinstance(value, str) else [value] if isinstance(value, View) else value
    if not isinstance(given, Sequence) or not given:
        raise ArgumentTypeError(f"{name} must hold at least one view, such as ('mask',), got {value!r}")
    return tuple(_canonical(each) for each in given)


def _canonical(view: str | View) -> str | View:
    """A view's full text; the object stays where no text can make it again."""
    made = create_view(view)
    try:
        again = create_view(made.spec)
    except (ArgumentError, ArgumentTypeError):
        return made
    return made.spec if again == made else made


def _check_weights(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ArgumentTypeError(f"{name} must be one number of 0 or more for each view, got {value!r}")
    return tuple(check_number(name, each, 0, float("inf")) for each in value)


def _check_gap(name: str, value: Any) -> float | None:
    return None if value is None else check_number(name, value, 0, 1, include_high=True)


def _check_temperature(name: str, value: Any) -> float:
    number = check_number(name, value, 0, float("inf"))
    if number == 0:
        raise ArgumentError(f"{name} must be above 0, got {value!r}")
    return number


@dataclass(frozen=True, eq=False)
class Recipe:
    """One correction: which maps, which views, and how the second answers are put together.

    Attributes:
        fitted_for: The model that the weights were fitted for, where they were; a corrector refuses any other. It is no
            option, and changes no number.

    Example:
        >>> Recipe() == Recipe(views=("mask[fill=zero]",)), Recipe().name
        (True, 'paper')
        >>> Recipe(method="CAM").replace(views=("zoom[threshold=0.3]", "hflip")).views[1]
        'hflip'
    """

    method: str | None = option(OPTIONS["method"], _check_method)
    target_layer: str | None = option(OPTIONS["target_layer"], _check_text)
    method_options: Mapping[str, Any] = option(OPTIONS["method_options"], _check_mapping)
    top_k: int = whole(OPTIONS["top_k"], 1)
    views: tuple[str | View, ...] = option(OPTIONS["views"], _check_views)
    pool: str = option(OPTIONS["pool"])
    view_weights: tuple[float, ...] | None = option(OPTIONS["view_weights"], _check_weights)
    candidate_weights: str = option(OPTIONS["candidate_weights"])
    vote: str = option(OPTIONS["vote"])
    max_gap: float | None = option(OPTIONS["max_gap"], _check_gap)
    temperature: float = option(OPTIONS["temperature"], _check_temperature)
    fitted_for: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.method, str):
            name, written = parse_spec(self.method)
            object.__setattr__(self, "method", name)
            given = _check_mapping("method_options", self.method_options)
            object.__setattr__(self, "method_options", {**given, **written})
        check_options(self)
        weights = self.view_weights
        if weights is not None and len(weights) != len(self.views):
            raise ArgumentError(f"view_weights must hold one number per view ({len(self.views)}), got {len(weights)}")
        if weights is not None and all(weight == 1 for weight in weights):
            object.__setattr__(self, "view_weights", None)
        if self.pool == "log" and self.vote == "diagonal":
            raise ArgumentError("vote must be 'distribution' where pool is 'log', got 'diagonal'")
        guided = [view for view, _ in self.active_views if view.guided]
        if guided and self.method is None:
            raise ArgumentError(f"method must be given for view {guided[0].name!r}, which follows a map; got None")
        if not guided:
            self._reset(method=None, target_layer=None, method_options={}, candidate_weights="probs")
        if all(view.map == MERGED for view in guided):
            self._reset(vote="distribution")

    def _reset(self, **without_effect: Any) -> None:
        """Options that change no number here have one value, so that equal numbers are equal recipes."""
        for name, value in without_effect.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def _text(self) -> str:
        """Everything that changes a number, as JSON: what is not equal there, such as 1 and true, is not equal here.

        A view of weight 0 changes none.
        """
        shown = [[view.spec, weight] for view, weight in self.active_views]
        return json.dumps({**self.to_dict(), "views": shown, "view_weights": None}, sort_keys=True)

    def __repr__(self) -> str:
        return f"Recipe({', '.join(f'{key}={value!r}' for key, value in self._told().items())})"

    def _told(self) -> dict[str, Any]:
        """What differs from the defaults."""
        defaults = {name: each.default for name, each in options_of(Recipe).items()}
        defaults.update(views=_check_views("views", defaults["views"]), method_options={})
        return {name: value for name, value in self.to_dict().items() if value != _plain(defaults[name])}

    @property
    def active_views(self) -> tuple[tuple[View, float], ...]:
        """The views whose weight is not zero, with their weights: the others would cost forwards for nothing."""
        weights = self.view_weights or (1.0,) * len(self.views)
        return tuple((create_view(view), weight) for view, weight in zip(self.views, weights, strict=True) if weight)

    def columns(self, num_candidates: int) -> tuple[tuple[str, int], ...]:
        """For each view its text form and how many pictures of an image it shows, in the order of their answers.

        Args:
            num_candidates: K of the image.

        Example:
            >>> Recipe(views=("mask", "hflip")).columns(5)[1]
            ('hflip', 1)
        """
        return tuple((view.spec, _count(view, num_candidates)) for view, _ in self.active_views)

    @property
    def digest(self) -> str:
        """A short hash of everything that changes a number."""
        return content_digest(self._text)

    @property
    def name(self) -> str:
        """A short name: that of a named recipe, or the method and the views with a hash of everything.

        Example:
            >>> Recipe(method="CAM").name.startswith("CAM-mask-")
            True
        """
        known = next((name for name, recipe in RECIPES.items() if recipe == self), None)
        if known is not None:
            return known
        views = "+".join(dict.fromkeys(view.name for view, _ in self.active_views)) or "none"
        method = "" if self.method is None else f"{self.method}-"
        return f"{method}{views}-{self.digest[:6]}"

    @property
    def method_spec(self) -> str | None:
        """The method with its options in brackets."""
        return None if self.method is None else format_spec(self.method, self.method_options)

    @property
    def reproducible(self) -> bool:
        """Whether the description says everything, so that two corrections with equal ones have equal numbers."""
        return UNDESCRIBED not in json.dumps(self.to_dict())

    def replace(self, **changes: Any) -> "Recipe":
        """The same with some options changed; a new method has its own options and layer.

        Args:
            **changes: Options, or one of `SHORT_FORMS`: ``view`` for ``views`` of one, ``threshold`` and ``fill`` for
                the option of that name of the recipe's only view.
        """
        short = {name: changes.pop(name) for name in SHORT_FORMS if name in changes}
        check_names("Recipe", changes, {**options_of(Recipe), **dict.fromkeys(SHORT_FORMS)})
        if short:
            changes["views"] = self._short_views(changes.get("views"), short)
        if "views" in changes and "view_weights" not in changes:
            changes["view_weights"] = None
        if changes.get("method") is not None:
            changes = self._with_method(changes)
        return dataclasses.replace(self, **changes)

    def _with_method(self, changes: dict[str, Any]) -> dict[str, Any]:
        """A new method has its own options and layer; some names of controls stand for views."""
        name, options = parse_spec(_check_method("method", changes["method"]))
        if name in CONTROL_VIEWS:
            view = format_spec(CONTROL_VIEWS[name], options)
            changes = {**changes, "method": None, "views": (view,), "view_weights": None}
        elif name in MERGED_CONTROLS:
            check_names(name, options, {"of": None})
            own = _check_views("views", changes.get("views", self.views))
            views = [create_view(view) for view in own]
            merged = [create_view(v.name, **{**v.settings, "map": MERGED}) if v.guided else v for v in views]
            changes = {**changes, "method": options.get("of", self.method), "views": tuple(merged)}
            if "of" not in options:
                return changes
        return {"method_options": {}, "target_layer": None, **changes}

    def _short_views(self, views: Any, short: dict[str, Any]) -> tuple[View, ...]:
        if "view" in short and views is not None:
            raise ArgumentError("view and views must not both be given")
        view, options = short.pop("view", None), short
        base = _check_views("views", self.views if views is None else views)
        if view is None and len(base) > 1:
            raise ArgumentError(
                f"{' and '.join(options)} would be the option of one view, but the recipe has {len(base)}; write it "
                "into the view's brackets: 'zoom[threshold=0.3]'"
            )
        made = create_view(base[0] if view is None else view)
        if not options:
            return (made,)
        if isinstance(view, View):
            raise ArgumentTypeError(f"a view given as an object has its own options; remove {', '.join(options)}")
        check_names(f"view {made.name!r}", options, made.settings)
        return (create_view(made.name, **{**made.settings, **options}),)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that say everything; views and objects in their text form."""
        return {name: _plain(getattr(self, name)) for name in options_of(Recipe)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """A recipe from `to_dict`.

        Raises:
            ValueError, TypeError: unknown options, by name, or values that are not allowed.
        """
        if not isinstance(values, Mapping):
            raise ArgumentTypeError(f"a recipe must be a mapping of options, got {type(values).__name__}")
        check_names("Recipe", values, options_of(Recipe))
        return cls(**values)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the recipe as a JSON file."""
        document = {"format": FORMAT, "recipe": self.to_dict()}
        Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Recipe":
        """A recipe from its file. It is data: nothing in it is imported or run.

        Raises:
            ValueError: no such file, not a recipe, or of another version.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArgumentError(f"recipe file {path!s} cannot be read: {error}") from error
        if not isinstance(document, Mapping) or document.get("format") not in _ENTRIES:
            given = document.get("format") if isinstance(document, Mapping) else type(document).__name__
            raise ArgumentError(
                f"recipe file {path!s} must have the format {' or '.join(map(repr, _ENTRIES))}, got {given!r}"
            )
        known = _ENTRIES[document["format"]]
        unknown = next((key for key in document if key not in known), None)
        if unknown is not None:
            raise ArgumentError(f"recipe file {path!s} must hold {', '.join(known)} alone, got {unknown!r} as well")
        if "recipe" not in document:
            raise ArgumentError(f"recipe file {path!s} must hold a 'recipe', got {', '.join(map(repr, document))}")
        return dataclasses.replace(cls.from_dict(document["recipe"]), fitted_for=document.get("model"))

    @classmethod
    def of(cls, recipe: "str | os.PathLike[str] | Recipe") -> "Recipe":
        """A recipe by name, with changes in brackets, from a file, or the recipe itself.

        Args:
            recipe: ``"zoom"``, ``"zoom[method=CAM,top_k=3]"``, ``"unguided[views=hflip+whole]"``, the path of a file
                that ends in ``.json``, or a `Recipe`.

        Example:
            >>> Recipe.of("unguided[views=hflip]").views
            ('hflip',)

        Raises:
            ValueError: an unknown name, or a file that is none.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if isinstance(recipe, os.PathLike) or (isinstance(recipe, str) and recipe.endswith(".json")):
            return cls.load(recipe)
        name, changes = parse_spec(recipe, "recipe")
        if name not in RECIPES:
            raise ArgumentError(
                f"recipe must be {', '.join(map(repr, RECIPES))} or a file that ends in .json, got {name!r}"
                f"{nearest(name, RECIPES)}"
            )
        return RECIPES[name].replace(**changes)


def _count(view: View, num_candidates: int) -> int:
    if not view.guided:
        return view.views_per_image
    return num_candidates if view.map == CANDIDATES else 1


def parse_views(text: str) -> list[str]:
    """Views in one text, joined by ``+``.

    Example:
        >>> parse_views("zoom[threshold=0.3]+hflip")
        ['zoom[threshold=0.3]', 'hflip']
    """
    return split_top_level(text, "+")


def _plain(value: Any) -> Any:
    if isinstance(value, View):
        return value.spec
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


PAPER = Recipe()
"""What the source states: Score-CAM, the five most probable classes, masked at 0.1, their sum."""
ZOOM = Recipe(method=AUTO, views=("zoom[threshold=0.3,map=merged]", "zoom[threshold=0.5,map=merged]", "hflip", "whole"))
"""Two crops of the original by the merged map, a flip, and the whole picture: 5 forwards with the first."""
UNGUIDED = Recipe(views=("center[scale=0.85]", "center[scale=0.7]", "hflip", "whole"))
"""The same number of forwards without a map: the control of `ZOOM`."""

RECIPES: Mapping[str, Recipe] = {"paper": PAPER, "zoom": ZOOM, "unguided": UNGUIDED}
"""Recipes by name."""
