"""What stands in for pytorch-grad-cam's permanent hooks and progress bars."""

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytorch_grad_cam.ablation_cam
import pytorch_grad_cam.score_cam
from pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients
from torch import Tensor, nn

from .state import quiet


class OnDemand(ActivationsAndGradients):  # type: ignore[misc]  # untyped library
    """The library's hooks, armed only while its own forward runs.

    Args:
        original: The library's hooks, which are taken off.
        layers: The target layers.
    """

    def __init__(self, original: Any, layers: Sequence[nn.Module]) -> None:
        super().__init__(original.model, [], original.reshape_transform, original.detach)
        self.layers = list(layers)
        original.release()

    def __call__(self, inputs: Tensor) -> Any:
        """The model's output; activations are recorded, and gradients will be."""
        try:
            for layer in self.layers:
                self.handles.append(layer.register_forward_hook(self.save_activation))
                self.handles.append(layer.register_forward_hook(self.save_gradient))
            return super().__call__(inputs)
        finally:
            while self.handles:
                self.handles.pop().remove()


class Recorded:
    """Stands where the library keeps its hooks, with what was recorded already.

    Args:
        activations: Feature maps (n,C,h,w) of each target layer.
        gradients: The same of the gradients.
    """

    def __init__(self, activations: list[Tensor], gradients: list[Tensor]) -> None:
        self.activations = activations
        self.gradients = gradients
        self.reshape_transform = None  # they are reshaped already

    def release(self) -> None:
        """The library calls it when its object goes."""


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """No prints, no warnings, and none of the library's progress bars, one per image and class."""
    modules = (pytorch_grad_cam.ablation_cam, pytorch_grad_cam.score_cam)
    bars = [module.tqdm for module in modules]
    try:
        for module in modules:
            module.tqdm = SimpleNamespace(tqdm=lambda iterable, *_, **__: iterable)
        with quiet():
            yield
    finally:
        for module, bar in zip(modules, bars, strict=True):
            module.tqdm = bar
