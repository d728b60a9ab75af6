"""From the recipes, methods and options of a command to the recipes that it corrects by, each with a name."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import nn

from maskcorrect_plugin.corrector import make_correctors
from maskcorrect_plugin.errors import ArgumentError, LayerError
from maskcorrect_plugin.options import format_spec, options_of, parse_spec
from maskcorrect_plugin.recipe import AUTO, CONTROL_VIEWS, MERGED_CONTROLS, SHORT_FORMS, Recipe

SCORE_CAM = "ScoreCAM"
CONTROL = "control:"
INNER = ("control:other_image", "control:oracle_class")
"""Map sources that take their maps from another method, which their option ``of`` names."""


def named_recipes(
    recipes: Sequence[str], methods: Sequence[str], changes: Mapping[str, Any], preset: str | None = None
) -> dict[str, Recipe]:
    """Every recipe with every method.

    A row is called as it was asked for: ``"zoom"``, ``"CAM"``, or with both ``"zoom[method=CAM]"``. A recipe without
    maps stands once.

    Args:
        recipes: Texts as `Recipe.of` reads them; none is the paper's.
        methods: Methods, with options in brackets (also those of a recipe: ``"CAM[threshold=0.4]"``); none takes the
            recipe's own.
        changes: What is changed in every recipe.
        preset: Of the methods that are Score-CAM.

    Raises:
        ValueError, TypeError: an unknown name or option, or the same row twice.
    """
    inner = next((text for text in methods if not text.startswith(CONTROL)), None)
    rows: dict[str, Recipe] = {}
    used = False
    for text in recipes or ["paper"]:
        base = Recipe.of(text).replace(**changes) if changes else Recipe.of(text)
        for method in (methods if base.method is not None else ()) or [None]:
            name = _row_name(text if recipes else None, method)
            recipe = base if method is None else _with_method(base, method, inner)
            if recipe.method == SCORE_CAM and preset is not None:
                recipe = recipe.replace(method_options={**recipe.method_options, "preset": preset})
                used = True
            if name in rows:
                raise ArgumentError(f"recipe and method must name each row once, got {name!r} twice")
            rows[name] = recipe
    if preset is not None and not used:
        raise ArgumentError(f"preset is an option of the native ScoreCAM alone, but the rows are {', '.join(rows)}")
    return rows


def _row_name(recipe: str | None, method: str | None) -> str:
    if recipe is None:
        return method or SCORE_CAM
    if method is None:
        return recipe
    name, changes = parse_spec(recipe, "recipe")
    return format_spec(name, {**changes, "method": method})


def _with_method(base: Recipe, text: str, inner: str | None) -> Recipe:
    """A recipe with another method; of its options in brackets those of a recipe are the recipe's."""
    name, written = parse_spec(text)
    known = {*options_of(Recipe), *SHORT_FORMS}
    options = {key: value for key, value in written.items() if key not in known}
    changes = {key: value for key, value in written.items() if key in known}
    if "method" in changes:
        raise ArgumentError(f"method options must not be the method itself, got 'method' in {text!r}")
    if name in INNER and "of" not in options:
        options["of"] = inner or base.method_spec or AUTO
    layer = {} if "target_layer" in changes or base.target_layer is None else {"target_layer": base.target_layer}
    if name in CONTROL_VIEWS:
        return base.replace(method=name)
    if name in MERGED_CONTROLS:
        return base.replace(method=name, **changes)
    return base.replace(method=name, method_options=options, **layer, **changes)


def check_recipes(recipes: Mapping[str, Recipe]) -> None:
    """Everything that needs no model, by making correctors of a model that does nothing.

    Raises:
        MaskCorrectError: what is wrong.
    """
    for recipe in recipes.values():
        with suppress(LayerError):  # a method that must see its layer can only be made with the real model
            make_correctors(nn.Identity(), {"": recipe})
