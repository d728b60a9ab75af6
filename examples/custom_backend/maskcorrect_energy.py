"""Activation energy as an attribution method of maskcorrect_plugin: a whole backend in one file.

The map is the sum over channels of the squared feature maps, the attention map of Zagoruyko and Komodakis (ICLR 2017,
arXiv 1612.03928, section 3.1), optionally times a bump in the middle of the image. It needs no gradients, no forward of
its own inside a corrector, and it does not look at the class.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskcorrect_plugin import AttributionBackend, AttributionMethod, MethodInfo, Observation, find_target_layer
from maskcorrect_plugin.checks import check_candidates, check_choice, check_inputs, check_number, check_target
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.functional import at_least_float32, scale_maps, spatial_size, upsample_maps
from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.layers import check_feature_maps, get_layer, layer_name

INFO = MethodInfo(
    "ActivationEnergy",
    "sum over channels of the squared feature maps (Zagoruyko & Komodakis 2017)",
    class_aware=False,
    forwards="0",
)


class Energy(Observation):
    """What is kept of a forward: the energy (N,h,w) of the target layer, None before it ran."""

    def __init__(self, values: Tensor | None = None) -> None:
        self.values = values

    def select(self, rows: Tensor) -> "Energy":
        """The same for some of the images only."""
        return Energy(None if self.values is None else self.values[rows])


class EnergyMethod(AttributionMethod):
    """``minmax(upsample(sum_k A_k^2))``, times a centre prior if one is asked for.

    Args:
        model: The classifier.
        target_layer: A module or its name; None finds it at the first call.
        center: Standard deviation of a Gaussian bump in the middle, in image sides, above 0 and up to 10; None: no
            prior.
    """

    def __init__(
        self, model: nn.Module, target_layer: str | nn.Module | None = None, *, center: float | None = None
    ) -> None:
        super().__init__(model)
        self._layer = None if target_layer is None else get_layer(model, target_layer)
        self.center = None if center is None else check_number("center", center, 1e-3, 10, include_high=True)
        self.engine = PassEngine(model)

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values that describe the method in records."""
        layer = None if self._layer is None else layer_name(self.model, self._layer)
        return {"method": f"energy:{INFO.name}", "target_layer": layer, "center": self.center}

    def use_engine(self, engine: PassEngine) -> None:
        """Runs a forward of its own with the corrector's precision and memory format."""
        self.engine = engine

    @contextlib.contextmanager
    def observe(self, inputs: Tensor) -> Iterator[Energy]:
        """Keeps the energy of the forward that runs inside."""
        if self._layer is None:
            self._layer = get_layer(self.model, find_target_layer(self.model, inputs))
        layer, observation = self._layer, Energy()

        def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
            maps = check_feature_maps(layer_name(self.model, layer), output).detach()
            observation.values = at_least_float32(maps).square().sum(dim=1)

        handle = layer.register_forward_hook(record)
        try:
            yield observation
        finally:
            handle.remove()  # also when the forward raises: the model is left as it was found

    def attribute(self, inputs: Tensor, target: int | Tensor) -> Tensor:
        """The map of each image, (N,1,H,W), whatever the class."""
        check_inputs(inputs)
        return self.attribute_candidates(inputs, check_target(target, len(inputs)).unsqueeze(1))

    def attribute_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None
    ) -> Tensor:
        """One map for all candidates of an image, (N,K,H,W); a forward only if nobody else ran it."""
        check_inputs(inputs)
        candidates = check_candidates(candidates, len(inputs))
        if not isinstance(observation, Energy):
            placed = self.engine.place(inputs)
            with evaluation_mode(self.model), self.observe(placed) as observation:
                self.engine.scores(placed)
        if observation.values is None:
            raise LayerError("target_layer did not run in the model's forward; choose a layer that does")
        size = spatial_size(inputs)
        # A flat map is zero here and stays zero under the prior, so that it is still known to carry no information.
        maps = scale_maps(upsample_maps(observation.values.unsqueeze(1), size))
        if self.center is not None:
            maps = scale_maps(maps * center_prior(size, self.center, maps))
        return maps.to(inputs.device).expand(-1, candidates.shape[1], -1, -1)


def center_prior(size: tuple[int, int], width: float, like: Tensor) -> Tensor:
    """A Gaussian bump (H,W), 1 in the middle of the image; `width` is its standard deviation in image sides."""
    rows, columns = (
        torch.linspace(-0.5, 0.5, side, dtype=like.dtype, device=like.device).div(width).square() for side in size
    )
    return torch.exp(-(rows[:, None] + columns) / 2)


class EnergyBackend(AttributionBackend):
    """What the entry point in pyproject.toml names."""

    name: ClassVar[str] = "energy"
    catalogue: ClassVar[Mapping[str, MethodInfo]] = {INFO.name: INFO}

    def create(
        self, method: str, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
    ) -> AttributionMethod:
        """Binds it to a model; the options are those of `EnergyMethod`."""
        check_choice("method", method, self.methods())
        return EnergyMethod(model, target_layer, **options)
