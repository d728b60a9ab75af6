"""``"demo"``: the small network that comes with the package."""

import importlib
from collections.abc import Sequence
from typing import Any

from torch import nn

from maskcorrect_plugin.models.preprocessing import Preprocessing, ResizeCrop
from maskcorrect_plugin.models.sources.base import ModelSource


class DemoSource(ModelSource):
    """The network of ``maskcorrect demo``; its weights are in the package.

    The demo stands above the models (it uses everything), so it is known here by its name only, as backends are.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._network: Any = importlib.import_module("maskcorrect_plugin.demo.network")
        self._scenes: Any = importlib.import_module("maskcorrect_plugin.demo.scenes")

    @property
    def spec(self) -> str:
        """There is only one."""
        return self.name

    def pretrained(self, weights: str) -> nn.Module:
        """The network as trained."""
        model: nn.Module = self._network.load_demo_model()
        return model

    def build(self, num_classes: int | None) -> nn.Module:
        """The network with random weights."""
        model: nn.Module = self._network.DemoNet(**({} if num_classes is None else {"num_classes": num_classes}))
        return model

    def num_classes(self, model: nn.Module) -> int | None:
        """Outputs of its head."""
        return int(model.head.out_features)  # type: ignore[union-attr,arg-type]

    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """A plain resize to the size of the generated scenes, and their normalisation."""
        own = ResizeCrop(self._scenes.IMAGE_SIZE, None, self._scenes.MEAN, self._scenes.STD)
        return own.changed(size, mean, std).prepare()

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """The names of the generated classes."""
        names: tuple[str, ...] = self._scenes.CLASS_NAMES
        return names if num_classes == len(names) else None
