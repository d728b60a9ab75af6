"""``"torchvision:vgg16"``: classification networks of torchvision, with the preset of their own weights."""

import re
from collections.abc import Sequence
from typing import Any

import torchvision
from torch import Tensor, nn

from maskcorrect_plugin.checks import nearest
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.models.preprocessing import Preprocessing, ResizeCrop
from maskcorrect_plugin.models.sources.base import ModelSource


class TorchvisionSource(ModelSource):
    """One classification network of ``torchvision.models``.

    The transform is the preset of the chosen weights, or of ``DEFAULT`` for a file and for random weights: presets
    need no download. ``inception_v3`` and ``googlenet`` are built without their auxiliary heads, and with
    ``transform_input`` as torchvision's own weights want it, as long as mean and std are ImageNet's (those of a
    network that was trained on other ones take them as they are).
    """

    prefix = "torchvision"

    def __init__(self, name: str) -> None:
        super().__init__(name.lower())
        known = torchvision.models.list_models(module=torchvision.models)
        if self.name not in known:
            raise ArgumentError(f"torchvision has no classification network {name!r}{nearest(name, known)}")
        self._enum = torchvision.models.get_model_weights(self.name)
        self._preset = self._enum.DEFAULT

    def pretrained(self, weights: str) -> nn.Module:
        """The network with its DEFAULT weights, or with one of `named_weights`."""
        self._preset = self._enum[weights]
        options = self._options()
        options.pop("init_weights", None)
        model: nn.Module = torchvision.models.get_model(self.name, weights=self._preset, **options)
        return model

    def build(self, num_classes: int | None) -> nn.Module:
        """The network with random weights and 1,000 classes, or as many as wanted."""
        classes = {} if num_classes is None else {"num_classes": num_classes}
        model: nn.Module = torchvision.models.get_model(self.name, weights=None, **classes, **self._options())
        return model

    def num_classes(self, model: nn.Module) -> int | None:
        """Outputs of the last linear or convolutional layer, which is the head in all of torchvision's networks."""
        heads = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
        return heads[-1].out_features if isinstance(heads[-1], nn.Linear) else heads[-1].out_channels

    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """The preset's sizes, interpolation and normalisation, changed by what is given."""
        preset = self._preset.transforms()
        own = ResizeCrop(
            preset.crop_size[0],
            preset.resize_size[0],
            tuple(preset.mean),
            tuple(preset.std),
            preset.interpolation.value,
        )
        wanted = own.changed(size, mean, std)
        if hasattr(model, "transform_input"):
            network: Any = model
            network.transform_input = (wanted.mean, wanted.std) == (own.mean, own.std)
        return wanted.prepare()

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """The categories of the weights' data set where the number agrees."""
        names = tuple(self._preset.meta["categories"])
        return names if len(names) == num_classes else None

    def named_weights(self) -> tuple[str, ...]:
        """Members of the network's weights enum that classify, for example ``("IMAGENET1K_V2", "IMAGENET1K_V1")``."""
        return ("DEFAULT", *(entry.name for entry in self._enum if entry.meta.get("categories")))

    def rename(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Old DenseNet files, among them torchvision's own downloads, write ``norm.1`` for ``norm1``."""
        if not self.name.startswith("densenet"):
            return state_dict
        return {
            re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): t for name, t in state_dict.items()
        }

    def _options(self) -> dict[str, Any]:
        # init_weights=True is half a minute of truncated normal samples; unset, torchvision warns about it.
        if self.name in ("inception_v3", "googlenet"):
            return {"aux_logits": False, "init_weights": False}
        return {}
