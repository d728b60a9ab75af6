"""From a spec such as ``"torchvision:vgg16"`` to a model with its transform, class names and normalisation."""

import importlib
import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import nn

from maskcorrect_plugin.checks import check_int, nearest
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, missing_library
from maskcorrect_plugin.inference import class_scores, evaluation_mode

from .class_names import default_class_names, read_class_names
from .preprocessing import Channels, Preprocessing, Transform
from .sources import DEMO, FACTORY, FORMS, SOURCES
from .sources.base import ModelSource

DEFAULT = "DEFAULT"
EXTRAS = {"timm": ("timm", "timm"), "hf": ("transformers", "hf")}
"""Prefix -> its library, which is optional, and the extra that installs it."""
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class LoadedModel:
    """A classifier and everything that is needed to use it on image files.

    Attributes:
        model: In eval mode, on the device asked for, float32 unless a factory made it otherwise. Its forward takes
            (N,3,H,W) and gives class scores (N,M) or an output object with ``.logits``.
        preprocessing: What makes its inputs of pictures.
        class_names: One for each output, in order; ``"class 0"``, ... where none are known.
        spec: What was asked for.
        weights: ``"DEFAULT"`` or another name of the library's own weights, the path of a file, or None for random
            ones.
    """

    model: nn.Module = field(repr=False)
    preprocessing: Preprocessing
    class_names: tuple[str, ...] = field(repr=False)
    spec: str
    weights: str | None

    @property
    def transform(self) -> Transform:
        """From a Pillow image to a normalised tensor (3,H,W) on the CPU."""
        return self.preprocessing.transform

    @property
    def mean(self) -> Channels | None:
        """Mean of the normalisation, per channel, in units of images in [0,1]; None where it cannot be told."""
        return self.preprocessing.mean

    @property
    def std(self) -> Channels | None:
        """Standard deviation of the normalisation, likewise."""
        return self.preprocessing.std

    @property
    def num_classes(self) -> int:
        """Number of classes M."""
        return len(self.class_names)


def load_model(
    spec: str,
    weights: str | os.PathLike[str] | None = DEFAULT,
    *,
    class_names: Sequence[str] | str | os.PathLike[str] | None = None,
    size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    num_classes: int | None = None,
    device: torch.device | str = "cpu",
) -> LoadedModel:
    """Loads a classifier. The network is only asked where the library's own weights have to be downloaded.

    Args:
        spec: ``"torchvision:vgg16"``, ``"timm:resnest269e"``, ``"hf:org/name"``, ``"hf:./folder"``, ``"demo"`` or
            ``"package.module:factory"``: a function without arguments, the current folder being importable, that
            returns a Module, or (Module, transform, class names).
        weights: ``"DEFAULT"``, the library's own (torchvision also knows names such as ``"IMAGENET1K_V1"``); a
            weights file (``.safetensors``, ``.pt``, ``.pth``, ``.bin``, ``.ckpt``), whose number of classes is read
            from its head; or None (or the word ``"none"``) for random weights. A factory's model keeps the factory's
            weights unless a file is given.
        class_names: Names, or a file of them (see `read_class_names`); the library's own by default.
        size: Side of the square input in pixels: the shorter side is resized to ``round(size * 256 / 224)`` and the
            centre cropped; up to 64 pixels the image is resized to the square.
        mean: Mean of the normalisation, three numbers in [0,1].
        std: Standard deviation of the normalisation, three numbers above 0.
        num_classes: Outputs of a model with random weights; otherwise what the model must turn out to have.
        device: Where the model goes.

    Raises:
        ValueError: a spec, name or argument that is not allowed, with what is.
        WeightsError: (a ValueError) weights that cannot be downloaded, read safely, or do not fit.
        ModelOutputError: (a ValueError) a factory's model does not give class scores for one image of its transform.
        ImportError: an optional library is not installed; the message says how to install it.
    """
    names = None if class_names is None else read_class_names(class_names)
    if num_classes is not None:
        check_int("num_classes", num_classes, 1)
    target = _check_device(device)
    source = _find_source(spec)
    chosen = _choose_weights(weights, source)
    model = source.load(chosen, num_classes)
    preprocessing = source.prepare(model, size, mean, std)
    model = model.to(target)
    count = source.num_classes(model)
    if count is None:
        count = _count_classes(model, preprocessing.transform, target, spec)
    if count == 0:
        raise ArgumentError(
            f"{spec!r} has no class head of its own; pass num_classes, with the weights file that has one"
        )
    if num_classes not in (None, count):
        raise ArgumentError(
            f"num_classes={num_classes} was given, but {spec!r} with weights={weights!s} has {count} classes"
        )
    names = names or source.class_names(model, count) or default_class_names(count)
    if len(names) != count:
        raise ArgumentError(
            f"class_names must hold one name per class, got {len(names)} names for {count} classes of {spec!r}"
        )
    recorded = None if chosen is None else str(chosen)
    return LoadedModel(model, preprocessing, names, spec, recorded)


def _find_source(spec: str) -> ModelSource:
    if not isinstance(spec, str):
        raise ArgumentTypeError(f"spec must be a string, one of {FORMS}; got {spec!r} of type {type(spec).__name__}")
    prefix, colon, name = spec.partition(":")
    if spec == "demo":
        return _source(DEMO, spec)
    if prefix in SOURCES and name:
        if prefix in EXTRAS and importlib.util.find_spec(EXTRAS[prefix][0]) is None:
            raise missing_library(*EXTRAS[prefix], purpose=f"{prefix} models")
        return _source(SOURCES[prefix], name)
    if colon and _DOTTED.fullmatch(prefix) and _DOTTED.fullmatch(name):
        return _source(FACTORY, spec)
    hint = nearest(prefix, SOURCES) if colon else nearest(f"torchvision:{spec}", _torchvision_specs(spec))
    raise ArgumentError(f"spec must be one of {FORMS}; got {spec!r}{hint}")


def _source(home: tuple[str, str], name: str) -> ModelSource:
    return cast(ModelSource, getattr(importlib.import_module(home[0]), home[1])(name))


def _torchvision_specs(spec: str) -> list[str]:
    from torchvision import models

    return [f"torchvision:{name}" for name in models.list_models(module=models) if name[:3] == spec[:3].lower()]


def _choose_weights(weights: Any, source: ModelSource) -> str | Path | None:
    if weights is None or (isinstance(weights, str) and weights.lower() == "none"):
        return None
    if isinstance(weights, str) and weights.upper() in (DEFAULT, *source.named_weights()):
        return weights.upper()
    if not isinstance(weights, str | os.PathLike):
        raise ArgumentTypeError(
            f"weights must be 'DEFAULT', None or a file, got {weights!r} of type {type(weights).__name__}"
        )
    return Path(weights).expanduser()


def _check_device(device: Any) -> torch.device:
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ArgumentError(f"device must be one that torch can use here, got {device!r}: {reason}") from error
    return target


def _count_classes(model: nn.Module, transform: Transform, device: torch.device, spec: str) -> int:
    """Outputs of a model of unknown making: those for one black image.

    Raises:
        ModelOutputError: the model gives something else than class scores.
        ArgumentError: it fails on what its transform gives.
    """
    try:
        inputs = transform(Image.new("RGB", (256, 256))).unsqueeze(0).to(device)
        with evaluation_mode(model):
            output = model(inputs)
    except Exception as error:
        raise ArgumentError(
            f"{spec!r} failed on one image of its own transform with {type(error).__name__}: {error}. Where the input "
            "size or the normalisation is another one, pass size, mean and std, or let the factory return (Module, "
            "transform, class names)"
        ) from error
    return class_scores(output, 1).shape[1]
