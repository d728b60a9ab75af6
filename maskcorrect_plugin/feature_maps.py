"""The feature maps of one layer, recorded in a forward that somebody else runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .attribution import Observation
from .errors import LayerError
from .layers import check_feature_maps


class FeatureMaps(Observation):
    """The feature maps of one layer in one forward.

    Attributes:
        maps: Tensor (N,C,h,w), detached, a copy: an in-place ReLU after the layer must not change it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._maps: Tensor | None = None

    @property
    def maps(self) -> Tensor:
        """The feature maps.

        Raises:
            LayerError: the forward never ran the layer.
        """
        if self._maps is None:
            raise LayerError(f"target_layer {self.name!r} did not run in the model's forward; choose a layer that does")
        return self._maps

    def record(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        """Forward hook on the layer."""
        self._maps = check_feature_maps(self.name, output).detach().clone()

    def select(self, rows: Tensor) -> "FeatureMaps":
        """The same for some of the images only."""
        return self._with(self.maps[rows])

    def join(self, others: list[Any]) -> "FeatureMaps":
        """This observation followed by those of further batches."""
        return self._with(torch.cat([self.maps, *(other.maps for other in others)]))

    def _with(self, maps: Tensor) -> "FeatureMaps":
        chosen = FeatureMaps(self.name)
        chosen._maps = maps
        return chosen


@contextlib.contextmanager
def recorded(layer: nn.Module, name: str) -> Iterator[FeatureMaps]:
    """Records a layer's output while it is open; the hook is gone afterwards."""
    observation = FeatureMaps(name)
    handle = layer.register_forward_hook(observation.record)
    try:
        yield observation
    finally:
        handle.remove()
