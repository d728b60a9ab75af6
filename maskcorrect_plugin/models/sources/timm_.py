"""``"timm:resnest269e"``: networks of timm, with the data configuration that timm records for them."""

from collections.abc import Sequence
from typing import Any

import timm
from timm.data import ImageNetInfo, create_transform, infer_imagenet_subset, resolve_model_data_config
from torch import nn
from torchvision.transforms import v2

from maskcorrect_plugin.checks import nearest
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.images import to_rgb
from maskcorrect_plugin.models.geometry import interpolation_name
from maskcorrect_plugin.models.preprocessing import Preprocessing, ResizeCrop, check_channels
from maskcorrect_plugin.models.sources.base import ModelSource


class TimmSource(ModelSource):
    """One network of timm: ``"architecture"`` or ``"architecture.tag"`` (a tag names one set of pretrained weights)."""

    prefix = "timm"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")):
            return
        if not timm.is_model(name):
            raise ArgumentError(f"timm has no network {name!r}{nearest(name, timm.list_models())}")
        architecture, _, tag = name.partition(".")
        tagged = timm.list_pretrained(f"{architecture}.*")
        if tag and name not in tagged:
            known = ", ".join(tagged[:5]) or "none"
            raise ArgumentError(
                f"timm has no weights {name!r} for {architecture!r}; known: {known}{nearest(name, tagged)}"
            )

    def pretrained(self, weights: str) -> nn.Module:
        """The network with the weights of its tag, or with the architecture's first."""
        model: nn.Module = timm.create_model(self.name, pretrained=True)
        return model

    def build(self, num_classes: int | None) -> nn.Module:
        """The network with random weights."""
        classes = {} if num_classes is None else {"num_classes": num_classes}
        model: nn.Module = timm.create_model(self.name, pretrained=False, **classes)
        return model

    def num_classes(self, model: nn.Module) -> int | None:
        """What every network of timm records."""
        return int(model.num_classes)  # type: ignore[arg-type]

    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """The transform that timm makes of it; with `size` ours, which keeps interpolation and normalisation."""
        config: dict[str, Any] = resolve_model_data_config(model)
        config["mean"] = check_channels("mean", config["mean"] if mean is None else mean)
        config["std"] = check_channels("std", config["std"] if std is None else std)
        if size is not None:
            own = ResizeCrop(mean=config["mean"], std=config["std"], interpolation=config["interpolation"])
            return own.changed(size).prepare()
        steps = v2.Compose([v2.Lambda(to_rgb), create_transform(**config, is_training=False)])
        return Preprocessing.of(steps, config["mean"], config["std"], interpolation_name(config["interpolation"]))

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """The names recorded with the weights, else those of the ImageNet subset that has that many classes."""
        names = (getattr(model, "pretrained_cfg", None) or {}).get("label_names")
        if isinstance(names, list | tuple) and len(names) == num_classes:
            return tuple(map(str, names))
        subset = infer_imagenet_subset({"num_classes": num_classes})
        return None if subset is None else tuple(ImageNetInfo(subset).label_descriptions())
