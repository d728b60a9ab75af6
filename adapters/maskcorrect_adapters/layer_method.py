"""What native methods that read one layer's feature maps share: observing, coarse maps, rendering in blocks."""

import contextlib
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import Observation
from maskcorrect_plugin.checks import check_candidates, check_inputs
from maskcorrect_plugin.feature_maps import FeatureMaps, recorded
from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.layers import find_target_layer, get_layer, layer_name

from .streaming import StreamingMethod


class LayerMethod(StreamingMethod):
    """A method whose map is a weighted sum of one layer's feature maps, made at the layer's resolution first.

    Args:
        model: The classifier.
        target_layer: A module or its name; None finds it at the first call, which costs one extra forward of one image.
    """

    def __init__(self, model: nn.Module, target_layer: str | nn.Module | None = None) -> None:
        super().__init__(model)
        self._layer = None if target_layer is None else get_layer(model, target_layer)
        self.engine = PassEngine(model)

    def use_engine(self, engine: PassEngine) -> None:
        """Runs forwards on the corrector's engine."""
        self.engine = engine

    @property
    def target_layer(self) -> str | None:
        """Name of the target layer; None until it is found."""
        return None if self._layer is None else layer_name(self.model, self._layer)

    @property
    def settings(self) -> dict[str, Any]:
        """The method's name and its target layer."""
        return {"method": type(self).__name__, "target_layer": self.target_layer}

    def layer(self, inputs: Tensor) -> nn.Module:
        """The target layer, found from the size of these inputs if it was not given."""
        if self._layer is None:
            self._layer = get_layer(self.model, find_target_layer(self.model, inputs))
        return self._layer

    @contextlib.contextmanager
    def observe(self, inputs: Tensor) -> Iterator[FeatureMaps]:
        """Keeps the target layer's output."""
        layer = self.layer(inputs)
        with recorded(layer, layer_name(self.model, layer)) as observation:
            yield observation

    @abstractmethod
    def coarse_candidates(self, inputs: Tensor, candidates: Tensor, observation: FeatureMaps) -> Tensor:
        """Weighted sums of the feature maps, before ReLU, upsampling and scaling: (N,K,h,w).

        They are small and hold everything that thresholds and views need, so they are what is worth keeping.
        """

    @abstractmethod
    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Coarse maps (N,K,h,w) to maps (N,K,H,W) in [0, 1]."""

    def stream_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The same in blocks of candidates."""
        for coarse in self.stream_coarse(inputs, candidates, observation, block):
            yield self.render(coarse, spatial_size(inputs))

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """Weighted sums of the feature maps, (N,k,h,w); the forwards run once, before the first block."""
        device = inputs.device
        with evaluation_mode(self.model):
            if not isinstance(observation, FeatureMaps):
                check_inputs(inputs)
                candidates = check_candidates(candidates, len(inputs))
                inputs = self.engine.place(inputs)
                observation = self._observe_forward(inputs)
            coarse = self.coarse_candidates(inputs, candidates.to(inputs.device), observation)
        yield from torch.split(coarse.to(device), block, dim=1)

    def _observe_forward(self, inputs: Tensor) -> FeatureMaps:
        """Runs the forward that nobody else ran."""

        def attempt(start: int, stop: int) -> FeatureMaps:
            with self.observe(inputs) as observation:
                self.engine.scores(inputs[start:stop])
            return observation

        first, *others = (seen for _, _, seen in self.engine.chunks(len(inputs), inputs, attempt))
        return first.join(others) if others else first
