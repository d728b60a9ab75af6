"""From the recipes, methods and options of a command to the recipes that it corrects by, each with a name."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from torch import nn

from maskcorrect_plugin.checks import nearest
from maskcorrect_plugin.corrector import make_correctors
from maskcorrect_plugin.errors import ArgumentError, LayerError, UnknownMethodError
from maskcorrect_plugin.options import format_spec, options_of, parse_spec
from maskcorrect_plugin.recipe import CONTROL_VIEWS, MERGED_CONTROLS, SHORT_FORMS, Recipe
from maskcorrect_plugin.registry import list_attributions

SCORE_CAM = "ScoreCAM"
CONTROL = "control:"
INNER = ("control:other_image", "control:oracle_class")
"""Map sources that take their maps from another method, which their option ``of`` names."""
VIEW_OPTIONS = ("views", "view_weights", *SHORT_FORMS)
NO_OPTIONS = ("method", "model")
"""Words that no option in brackets can be."""


@dataclass(frozen=True)
class _Method:
    """A method as it was asked for.

    Attributes:
        name: Without its brackets.
        options: Its own options.
        changes: Those in the brackets that are a recipe's.
    """

    name: str
    options: Mapping[str, Any]
    changes: Mapping[str, Any]

    @classmethod
    def of(cls, text: str, preset: str | None) -> "_Method":
        """From a text as the command line has it; the preset is of Score-CAM, where the text has none."""
        name, written = parse_spec(text)
        for word in NO_OPTIONS:
            if word in written:
                raise ArgumentError(f"method options must not be the {word} itself, got {word!r} in {text!r}")
        known = {*options_of(Recipe), *SHORT_FORMS}
        options = {key: value for key, value in written.items() if key not in known}
        if name == SCORE_CAM and preset is not None:
            options = {"preset": preset, **options}
        return cls(name, options, {key: value for key, value in written.items() if key in known})

    @property
    def spec(self) -> str:
        """Name and own options as a text."""
        return format_spec(self.name, self.options)


def named_recipes(
    recipes: Sequence[str], methods: Sequence[str], changes: Mapping[str, Any], preset: str | None = None
) -> dict[str, Recipe]:
    """Every recipe with every method.

    A row is called as it was asked for: ``"zoom"``, ``"CAM"``, or with both ``"zoom[method=CAM]"``. A recipe without
    maps stands once. Controls are what the first method is, with something else in the place of its maps.

    Args:
        recipes: Texts as `Recipe.of` reads them; none is the paper's.
        methods: Methods, with options in brackets (also those of a recipe: ``"CAM[threshold=0.4]"``); none takes the
            recipe's own.
        changes: What is changed in every recipe.
        preset: Of the methods that are Score-CAM.

    Raises:
        ValueError, TypeError: an unknown name or option, the same row twice, or methods that no row has.
    """
    asked = {text: _Method.of(text, preset) for text in methods}
    first = next((method for method in asked.values() if not method.name.startswith(CONTROL)), None)
    rows: dict[str, Recipe] = {}
    guided = False
    for text in recipes or ["paper"]:
        base = Recipe.of(text).replace(**changes) if changes else Recipe.of(text)
        if base.method == SCORE_CAM and preset is not None:
            base = base.replace(method_options={"preset": preset, **base.method_options})
        guided |= base.method is not None
        own: Sequence[str | None] = (methods if base.method is not None else ()) or [None]
        for method in own:
            name = _row_name(text if recipes else None, method, base)
            if name in rows:
                raise ArgumentError(f"recipe and method must name each row once, got {name!r} twice")
            rows[name] = base if method is None else _with_method(base, asked[method], first)
    if methods and not guided:
        raise ArgumentError(f"method must not be given where no view follows a map, as in {', '.join(rows)}")
    if preset is not None and not any(map(_by_score_cam, rows.values())):
        raise ArgumentError(f"preset is an option of the native ScoreCAM alone, but the rows are {', '.join(rows)}")
    return rows


def _by_score_cam(recipe: Recipe) -> bool:
    name, _ = parse_spec(recipe.method_options.get("of") or recipe.method or "none")
    return name == SCORE_CAM


def _row_name(recipe: str | None, method: str | None, base: Recipe) -> str:
    if recipe is None:
        return method or base.method or "+".join(view.label for view, _ in base.active_views)
    if method is None:
        return recipe
    name, changes = parse_spec(recipe, "recipe")
    return format_spec(name, {**changes, "method": method})


def _with_method(base: Recipe, method: _Method, first: _Method | None) -> Recipe:
    """A recipe with another method."""
    name, options, changes = method.name, dict(method.options), dict(method.changes)
    if first is not None and name.startswith(CONTROL):
        changes = {**first.changes, **changes}
    if name in CONTROL_VIEWS:
        if own := [word for word in VIEW_OPTIONS if word in method.changes]:
            raise ArgumentError(f"{name} is a view itself, so it takes no {own[0]}")
        changes = {key: value for key, value in changes.items() if key not in VIEW_OPTIONS}
        return base.replace(**changes, method=None, views=(format_spec(CONTROL_VIEWS[name], options),))
    if name in INNER or name in MERGED_CONTROLS:
        options.setdefault("of", (first.spec if first else base.method_spec) or SCORE_CAM)
    layer = {} if "target_layer" in changes or base.target_layer is None else {"target_layer": base.target_layer}
    if name not in MERGED_CONTROLS:
        return base.replace(method=name, method_options=options, **layer, **changes)
    inner, inner_options = parse_spec(options.pop("of"), "of")
    if options:
        raise ArgumentError(f"{name} has no option {next(iter(options))!r}; it takes of")
    return base.replace(method=inner, method_options=inner_options, **layer, **changes).replace(method=name)


def check_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Everything that needs no model, by making correctors of a model that does nothing.

    Raises:
        MaskCorrectError: what is wrong.
    """
    for recipe in recipes.values():
        if wrong := next((word for word in NO_OPTIONS if word in recipe.method_options), None):
            raise ArgumentError(f"method_options must not be the {wrong} itself, got {wrong!r}")
        if recipe.method is not None and recipe.method.startswith(CONTROL):
            _check_control(recipe.method)
        with suppress(LayerError):  # a method that must see its layer can only be made with the real model
            make_correctors(nn.Identity(), {"": dataclasses.replace(recipe, fitted_for=None)})


def _check_control(name: str) -> None:
    """Some controls are views, which the registry of methods does not know."""
    known = [*list_attributions(f"{CONTROL}*"), *CONTROL_VIEWS, *MERGED_CONTROLS]
    if name not in known:
        raise UnknownMethodError(f"unknown control {name!r}{nearest(name, known)}; known: {', '.join(known)}")
