"""Any function as an attribution method: the researcher's own idea in one line.

    def my_map(model, inputs, targets):        # (N,C,H,W), (N,) int64
        ...
        return maps                            # (N,h,w), (N,1,h,w) or (N,C,h,w): a tensor or an array

    ProbabilityCorrector(model, my_map)

Channels are summed, negative values are cut, and the map is upsampled (bilinear) and min-max scaled. The model is kept
as it is, whatever the function does to it.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, Observation
from maskcorrect_plugin.describing import describe
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, UnknownMethodError
from maskcorrect_plugin.functional import at_least_float32, spatial_size

from .library_method import LibraryMethod, Solver, scaled

MapFunction = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""From a model, inputs (N,C,H,W) and classes (N,) int64 to maps (N,h,w), (N,1,h,w) or (N,C,h,w)."""


class CallableMethod(LibraryMethod):
    """A function as an attribution method.

    It is called with the model in eval mode, gradients enabled, and a copy of the inputs that requires gradients. If it
    draws random numbers they start from 0 at every call, so they are the same for every class.

    Args:
        model: The classifier.
        function: ``fn(model, inputs, targets) -> maps``.
    """

    def __init__(self, model: nn.Module, function: MapFunction) -> None:
        base = function
        while isinstance(base, functools.partial):
            base = base.func
        name = getattr(base, "__name__", type(base).__name__)
        super().__init__(model, f"callable:{name}", getattr(function, "keywords", {}))
        self.function = function

    @property
    def settings(self) -> dict[str, Any]:
        """Name, what a partial was given, and what the function is."""
        return {**super().settings, "function": describe(self.function)}

    def solver(self, inputs: Tensor, observation: Observation) -> Solver:
        """The function's maps of these images, class by class."""

        def solve(classes: Tensor) -> Tensor:
            leaf = inputs.detach().clone().requires_grad_()
            return self._maps(self.function(self.model, leaf, classes), inputs)

        return solve

    def _maps(self, maps: Any, inputs: Tensor) -> Tensor:
        if isinstance(maps, np.ndarray):
            maps = torch.from_numpy(maps)
        if not isinstance(maps, Tensor) or not maps.is_floating_point():
            given = maps.dtype if isinstance(maps, Tensor) else type(maps).__name__
            raise ArgumentTypeError(f"{self.name} must return floating-point maps as tensor or array, got {given}")
        if maps.ndim not in (3, 4) or len(maps) != len(inputs):
            raise ArgumentError(
                f"{self.name} must return maps ({len(inputs)},h,w) or ({len(inputs)},C,h,w), got {tuple(maps.shape)}"
            )
        maps = at_least_float32(maps.detach().to(inputs.device))
        coarse = (maps if maps.ndim == 3 else maps.sum(dim=1)).relu()
        return scaled(coarse, spatial_size(inputs))


class CallableBackend(AttributionBackend):
    """Functions and other callables. It has no names: functions are given as they are."""

    name: ClassVar[str] = "callable"

    def methods(self) -> tuple[str, ...]:
        """None: a function is its own name."""
        return ()

    def create(
        self, method: str, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
    ) -> AttributionMethod:
        """Nothing can be made by name.

        Raises:
            UnknownMethodError: always.
        """
        raise UnknownMethodError(f"functions are given as they are, not by name; got {method!r}")

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps a callable that takes ``(model, inputs, targets)``; None for anything else, and for modules."""
        if not callable(obj) or isinstance(obj, type | nn.Module):
            return None
        try:
            inspect.signature(obj).bind(model, None, None)
        except (TypeError, ValueError):
            return None
        return CallableMethod(model, obj)
