"""What every command that corrects shares: its options, the model that they describe, and arguments of correctors."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LayerError
from maskcorrect_plugin.models import LoadedModel, load_model
from maskcorrect_plugin.models.preprocessing import Channels, check_channels

DEFAULT_TOP_K = 5
SCORE_CAM = "ScoreCAM"
COMPILE = {"off": False, "on": True, "auto": "auto"}


@dataclass(frozen=True, kw_only=True)
class CorrectorOptions:
    """The arguments that describe a model and how it is corrected; the module `options` says what each means."""

    model: str
    weights: str
    top_k: int | None
    threshold: float
    view: str
    fill: str
    vote: str
    candidate_weights: str
    max_gap: float | None
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

    def corrector_arguments(self, loaded: LoadedModel) -> dict[str, Any]:
        """Arguments of `ProbabilityCorrector` besides the model and the method.

        Raises:
            ValueError: `top_k` is above the number of classes.
        """
        top_k = min(DEFAULT_TOP_K, loaded.num_classes) if self.top_k is None else self.top_k
        check_int("top_k", top_k, 1, loaded.num_classes)
        return self._arguments(top_k, self.target_layer, loaded.mean, loaded.std)

    def method_options(self, method: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Options of one method: its own, and the preset where it is Score-CAM."""
        preset = {} if self.preset is None or method != SCORE_CAM else {"preset": self.preset}
        return {**preset, **(options or {})}

    def check(self, methods: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Everything that needs no model, by making correctors of a model that does nothing.

        Args:
            methods: Their names with their own options, which may also be those of the corrector, such as `threshold`.

        Raises:
            MaskCorrectError: what is wrong.
        """
        channels("mean", self.mean), channels("std", self.std)
        methods = list(methods)
        names = [name for name, _ in methods]
        if self.preset is not None and SCORE_CAM not in names:
            given = ", ".join(map(repr, names))
            raise ArgumentError(f"preset is an option of the native ScoreCAM alone, but method is {given}")
        normalisation = (0.5, 0.5, 0.5)  # black needs one, and that of the model is not known yet
        arguments = self._arguments(self.top_k or DEFAULT_TOP_K, None, normalisation, normalisation)
        for method, options in methods:
            taken = next((name for name in ("model", "method") if name in options), None)
            if taken is not None:
                raise ArgumentError(f"method options must not be the {taken} itself, got {taken!r} in {method!r}")
            own = self.method_options(method, options)
            with suppress(LayerError):  # a method that must see its layer can only be made with the real model
                ProbabilityCorrector(nn.Identity(), method, **{**arguments, **own})

    def _arguments(
        self, top_k: int, target_layer: str | None, mean: Channels | None, std: Channels | None
    ) -> dict[str, Any]:
        return {
            "target_layer": target_layer,
            "top_k": top_k,
            "threshold": self.threshold,
            "view": self.view,
            "fill": self.fill,
            "vote": self.vote,
            "weights": self.candidate_weights,
            "max_gap": self.max_gap,
            "output": self.model_output,
            "batch_size": self.batch_size or "auto",
            "precision": self.precision,
            "compile": COMPILE[self.compile],
            "mean": mean,
            "std": std,
        }


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
