"""CAM (Zhou et al., CVPR 2016) in closed form: no backward pass and no forward of its own.

On a network that ends in global average pooling and one linear head, or in a 1x1 convolution head and global average
pooling, the map of a class is the sum of the feature maps weighted by the head's row of that class.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.feature_maps import FeatureMaps
from maskcorrect_plugin.functional import at_least_float32, scale_maps, upsample_maps
from maskcorrect_plugin.layers import layer_name

from .layer_method import LayerMethod

TOLERANCE = 0.02
"""Relative: the pooled features are compared in the model's own precision, and bfloat16 has three digits."""


class HeadObservation(FeatureMaps):
    """Feature maps, and the input of the last linear module that ran: the head."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.head: nn.Linear | nn.Conv2d | None = None
        self.head_input: Tensor | None = None

    def record_head(self, module: nn.Module, inputs: tuple[Any, ...], _output: Any) -> None:
        """Forward hook on every linear module: the one that runs last stays."""
        if isinstance(module, nn.Linear | nn.Conv2d):
            self.head = module
            self.head_input = inputs[0].detach()

    def _with(self, maps: Tensor) -> "HeadObservation":
        # Selecting and joining happen after the head has been checked, so its input is not carried along.
        chosen = HeadObservation(self.name)
        chosen._maps = maps
        chosen.head = self.head
        return chosen


class CAMMethod(LayerMethod):
    """Closed-form class activation maps: ``minmax(upsample(relu(sum_k w_k^c A_k)))``.

    Args:
        model: A classifier with global average pooling and one linear (or 1x1 convolution) head.
        target_layer: The layer that is pooled; None finds it.
        relu: Cut negative evidence, as Grad-CAM does, which makes the two equal. False is Zhou et al.'s own map.
    """

    def __init__(self, model: nn.Module, target_layer: str | nn.Module | None = None, *, relu: bool = True) -> None:
        super().__init__(model, target_layer)
        self.relu = bool(relu)

    @property
    def settings(self) -> dict[str, Any]:
        """The method's name, target layer and whether negative evidence is cut."""
        return {**super().settings, "method": "CAM", "relu": self.relu}

    @contextlib.contextmanager
    def observe(self, inputs: Tensor) -> Iterator[HeadObservation]:
        """Keeps the target layer's output and finds the head."""
        layer = self.layer(inputs)
        observation = HeadObservation(layer_name(self.model, layer))
        handles = [layer.register_forward_hook(observation.record)]
        try:
            for module in self.model.modules():
                if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
                    handles.append(module.register_forward_hook(observation.record_head))
            yield observation
        finally:
            for handle in handles:
                handle.remove()
        self._settle(observation)

    def _settle(self, observation: HeadObservation) -> None:
        """Checks that the head reads the pooled maps, and keeps the maps in the form in which it reads them."""
        maps = at_least_float32(observation.maps)
        head, seen = observation.head, observation.head_input
        observation.head_input = None
        if head is not None and seen is not None:
            seen = at_least_float32(seen)
            for features in (maps, maps.relu()):  # DenseNet applies its last ReLU outside of any module
                if _reads(head, seen, features):
                    observation._maps = features
                    return
        raise LayerError(
            "CAM needs a network in which one linear or 1x1 convolution head reads the global average of the target "
            f"layer; in {type(self.model).__name__} with target_layer {observation.name!r} it does not. Use ScoreCAM, "
            "which needs nothing of the kind, or choose the layer that is pooled"
        )

    def coarse_candidates(self, inputs: Tensor, candidates: Tensor, observation: FeatureMaps) -> Tensor:
        """``sum_k w_k^c A_k`` for each candidate, (N,K,h,w)."""
        head = getattr(observation, "head", None)
        if not isinstance(head, nn.Linear | nn.Conv2d):
            raise LayerError("observation must come from this method's own observe()")
        weight = at_least_float32(head.weight.detach().flatten(1))
        check_classes("candidates", candidates, len(weight))
        return torch.einsum("nkc,nchw->nkhw", weight[candidates], observation.maps.to(weight.dtype))

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (N,K,H,W) in [0, 1]."""
        return scale_maps(upsample_maps(coarse.relu() if self.relu else coarse, size))


def _reads(head: nn.Linear | nn.Conv2d, seen: Tensor, features: Tensor) -> bool:
    """Whether what the head was given is these feature maps, pooled (or, for a convolution, not yet pooled)."""
    expected = features.mean(dim=(-2, -1))
    if isinstance(head, nn.Conv2d) and seen.ndim == 4 and seen.shape[-2:] == features.shape[-2:]:
        expected = features
    elif seen.ndim == 4 and seen.shape[-2:] == (1, 1):
        seen = seen.flatten(1)
    if seen.shape != expected.shape:
        return False
    scale = expected.abs().amax().clamp_min(torch.finfo(expected.dtype).tiny)
    return bool((seen - expected).abs().amax() <= TOLERANCE * scale)
