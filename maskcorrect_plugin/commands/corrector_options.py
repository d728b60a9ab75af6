"""What every command that corrects shares: its options, the model that they describe, and arguments of correctors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.corrector import ProbabilityCorrector, make_correctors
from maskcorrect_plugin.datasets import ImageDataset
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.models import LoadedModel, load_model
from maskcorrect_plugin.models.preprocessing import Channels, check_channels
from maskcorrect_plugin.recipe import Recipe, parse_views

from .recipes import check_recipes, named_recipes

COMPILE = {"off": False, "on": True, "auto": "auto"}
CHANGES = ("top_k", "views", "threshold", "fill", "pool", "vote", "candidate_weights", "max_gap", "temperature")
"""Options that change every recipe of a command as they are."""


@dataclass(frozen=True, kw_only=True)
class CorrectorOptions:
    """The arguments that describe a model and how it is corrected; the module `options` says what each means."""

    model: str
    weights: str
    top_k: int | None
    views: Sequence[str] | None
    threshold: float | None
    fill: str | None
    pool: str | None
    view_weights: str | None
    vote: str | None
    candidate_weights: str | None
    max_gap: float | None
    temperature: float | None
    target_layer: str | None
    preset: str | None
    precision: str
    batch_size: int | None
    device: str | None
    compile: str
    classes: Path | None
    size: int | None
    mean: str | None
    std: str | None
    model_output: str

    def load(self, local_rank: int = 0) -> LoadedModel:
        """The model, on its device.

        Args:
            local_rank: Which GPU where none is named and there are several.
        """
        cuda = f"cuda:{local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
        return load_model(
            self.model,
            self.weights,
            class_names=self.classes,
            size=self.size,
            mean=channels("mean", self.mean),
            std=channels("std", self.std),
            device=cuda if self.device in (None, "cuda") else self.device,
        )

    def named_recipes(self, recipes: Sequence[str], methods: Sequence[str]) -> dict[str, Recipe]:
        """The recipes of the command by name, with what the options change: see `recipes.named_recipes`.

        Raises:
            MaskCorrectError: anything that is wrong with them and needs no model to be seen.
        """
        channels("mean", self.mean), channels("std", self.std)
        changes = {name: value for name in CHANGES if (value := getattr(self, name)) not in (None, [], ())}
        if "views" in changes:
            changes["views"] = [view for text in changes["views"] for view in parse_views(text)]
        if self.view_weights is not None:
            changes["view_weights"] = _numbers("view_weights", self.view_weights)
        if self.target_layer is not None:
            changes["target_layer"] = self.target_layer
        named = named_recipes(recipes, methods, changes, self.preset)
        check_recipes(named)
        return named

    def correctors(
        self, named: Mapping[str, Recipe], loaded: LoadedModel, dataset: ImageDataset | None = None
    ) -> dict[str, ProbabilityCorrector]:
        """A corrector for each recipe.

        Args:
            named: Of `named_recipes`.
            loaded: The model.
            dataset: Where `control:other_image` takes its other images from.

        Raises:
            ValueError: `top_k` was given and is above the number of classes.
        """
        if self.top_k is not None:
            check_int("top_k", self.top_k, 1, loaded.num_classes)
        return make_correctors(
            loaded.model,
            named,
            preprocessing=loaded.preprocessing,
            dataset=dataset,
            output=self.model_output,
            batch_size=self.batch_size or "auto",
            precision=self.precision,
            compile=COMPILE[self.compile],
        )


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ArgumentError(f"{name} must be numbers with commas, such as 1,0.5; got {text!r}") from None


def channels(name: str, text: str | None) -> Channels | None:
    """``"0.485,0.456,0.406"`` as three numbers; None stays None."""
    if text is None:
        return None
    try:
        return check_channels(name, [float(part) for part in text.split(",")])
    except (ValueError, ArgumentTypeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{name} must be three numbers with commas, such as 0.5,0.5,0.5; got {text!r}") from None
