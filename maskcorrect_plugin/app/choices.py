"""What the form offers: models, methods and scenes to begin with."""

from pathlib import Path

from PIL import Image

from maskcorrect_plugin.demo.scenes import CLASS_NAMES, make_scene
from maskcorrect_plugin.recipe_options import RECIPE, RECIPES, VIEW, Option
from maskcorrect_plugin.registry import describe_methods, get_backend, is_installed, list_backends, split_name

MODELS = (
    "demo",
    *("torchvision:resnet50", "torchvision:vgg16", "torchvision:mobilenet_v2", "torchvision:squeezenet1_1"),
    *("torchvision:efficientnet_b0", "timm:resnest50d"),
)
"""Suggestions; any spec of `load_model` may be typed."""

SCENES = (397, 201, 73, 17, 5, 10)
"""Held-out scenes of the demo. By Score-CAM at the paper's settings the demo network's answer is fixed on the first
two, broken on the next two, right both times on the fifth and wrong both times on the last; a test keeps it so."""


OWN = ("the recipe's own", "")
"""Label and value of a field that leaves an option as the recipe has it."""


def recipe_choices() -> list[tuple[str, str]]:
    """Label and name of the recipes that have a name."""
    return [(f"{name}: {summary}", name) for name, summary in RECIPES.items()]


def option_choices(name: str) -> list[tuple[str, str]]:
    """What an option may be, after what leaves it as it is.

    Args:
        name: Of an option of recipes, or of one that several views have, such as ``"fill"``.
    """
    return [OWN, *((choice, choice) for choice in option_named(name).choices)]


def option_named(name: str) -> Option:
    """What is known of an option of recipes, or of one that several views have."""
    return {**VIEW, **RECIPE}[name]


def method_choices() -> list[tuple[str, str]]:
    """Label and name of every attribution method: those that are installed first, native ones before all.

    Within a backend they are in alphabetical order: whoever types ``CAM`` into the field finds it before ``ScoreCAM``.
    """
    installed: list[tuple[str, str]] = []
    missing: list[tuple[str, str]] = []
    backends = {backend: rank for rank, backend in enumerate(list_backends())}
    for name in sorted(describe_methods(), key=lambda name: (backends[split_name(name)[0]], name.lower())):
        there = is_installed(get_backend(split_name(name)[0]))
        (installed if there else missing).append((name if there else f"{name} (not installed)", name))
    return installed + missing


def write_scenes(folder: Path) -> list[tuple[str, str]]:
    """Writes the scenes as PNG files; path and true class of each."""
    written = []
    for index in SCENES:
        scene = make_scene("test", index)
        file = folder / f"scene-{index}.png"
        Image.fromarray(scene.image).save(file)
        written.append((str(file), CLASS_NAMES[scene.label]))
    return written
