"""Target layers: finding one by itself, or by name.

Score-CAM and CAM read the feature maps of the last convolutional stage. Which module's output that is differs between
families, so it is found by watching one forward pass, not by a table of names.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .checks import nearest
from .errors import ArgumentTypeError, LayerError
from .inference import class_scores, evaluation_mode, first_tensor

_POOLING = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.LPPool2d,
    nn.FractionalMaxPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
_PASSIVE = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, *_POOLING)


@dataclass(frozen=True)
class _Step:
    """One module's output in the order of execution."""

    name: str
    module: nn.Module
    shape: torch.Size

    @property
    def spatial(self) -> bool:
        return len(self.shape) == 4 and min(self.shape[-2:]) > 1


def find_target_layer(model: nn.Module, inputs: Tensor) -> str:
    """The name of the module whose output is the last convolutional feature map.

    The rule: from the last `nn.Conv2d` with a spatial output on, the last 4-D output of that spatial size that is not
    identity, dropout or pooling; looking only before a class head, which is a 1x1 convolution with as many output
    channels as there are classes (SqueezeNet).

    Args:
        model: A classifier. It runs once, in eval mode, and is left as it was.
        inputs: Tensor (N,C,H,W); only the first image is used. The layer can depend on its size.

    Returns:
        A name that ``model.get_submodule`` understands.

    Raises:
        LayerError: no convolution with a spatial output, or a transformer (its only convolution cuts the image into
            patches).
    """
    steps, num_classes = _trace(model, inputs[:1])
    steps = _before_class_head(steps, num_classes)
    convolutions = [index for index, step in enumerate(steps) if isinstance(step.module, nn.Conv2d) and step.spatial]
    if not convolutions:
        raise LayerError(
            f"no Conv2d with a spatial output was found in {type(model).__name__}; pass target_layer, the name of a "
            f"module with feature maps (N,C,h,w), for example one of: {_listing(model)}"
        )
    last = convolutions[-1]
    if _cuts_patches(steps[last].module):
        raise LayerError(
            f"{type(model).__name__} looks like a transformer: its last convolution, {steps[last].name!r}, only cuts "
            "the image into patches, so it has no convolutional feature maps; use a method that reshapes tokens, as "
            "'pytorch_grad_cam:GradCAM' does, or pass target_layer, the name of a module with feature maps (N,C,h,w)"
        )
    size = steps[last].shape[-2:]
    matching = [
        step
        for step in steps[last:]
        if step.spatial and step.shape[-2:] == size and not isinstance(step.module, _PASSIVE) and step.name
    ]
    return matching[-1].name if matching else steps[last].name


def _trace(model: nn.Module, image: Tensor) -> tuple[list[_Step], int]:
    """One forward pass: every module's tensor output in order of execution, and the number of classes."""
    steps: list[_Step] = []
    handles = []
    reference = first_tensor(model)
    if reference is not None:
        image = image.detach().to(reference.device, reference.dtype)

    def watch(name: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                steps.append(_Step(name, module, output.shape))

        return hook

    try:
        for name, module in model.named_modules():
            handles.append(module.register_forward_hook(watch(name)))
        with evaluation_mode(model):
            num_classes = class_scores(model(image), len(image)).shape[1]
    finally:
        for handle in handles:
            handle.remove()
    return steps, num_classes


def _before_class_head(steps: list[_Step], num_classes: int) -> list[_Step]:
    """Cuts the steps at a convolution that gives the classes themselves; only the last one executed can be that."""
    convolutions = [index for index, step in enumerate(steps) if isinstance(step.module, nn.Conv2d)]
    if not convolutions:
        return steps
    module = steps[convolutions[-1]].module
    is_head = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.out_channels == num_classes
    earlier = any(steps[index].spatial for index in convolutions[:-1])
    return steps[: convolutions[-1]] if is_head and earlier else steps


def _cuts_patches(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == module.stride
        and module.kernel_size[0] > 1
        and module.groups == 1
    )


def get_layer(model: nn.Module, layer: str | nn.Module) -> nn.Module:
    """A module of the model, by name or as itself.

    Raises:
        TypeError: neither a string nor a module.
        LayerError: the model has no such module; the message lists candidates.
    """
    if isinstance(layer, nn.Module):
        if any(layer is module for module in model.modules()):
            return layer
        raise LayerError(f"target_layer is a {type(layer).__name__} that is not part of {type(model).__name__}")
    if not isinstance(layer, str):
        raise ArgumentTypeError(f"target_layer must be a module's name or the module, got {type(layer).__name__}")
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if not layer or layer not in modules:
        hint = nearest(layer, modules) or f"; for example one of: {_listing(model)}"
        raise LayerError(f"target_layer {layer!r} is not a module of {type(model).__name__}{hint} (None finds one)")
    return modules[layer]


def layer_name(model: nn.Module, layer: nn.Module) -> str:
    """The name under which the model knows this module."""
    return next((name for name, module in model.named_modules() if module is layer), type(layer).__name__)


def check_feature_maps(name: str, output: Any) -> Tensor:
    """A layer's output as feature maps (N,C,h,w).

    Raises:
        LayerError: the output is not one 4-D floating-point tensor.
    """
    if not isinstance(output, Tensor):
        raise LayerError(
            f"target_layer {name!r} must output one tensor (N,C,h,w), but it gives {type(output).__name__}"
        )
    if output.ndim != 4 or not output.is_floating_point():
        raise LayerError(
            f"target_layer {name!r} must output feature maps (N,C,h,w), but it gives shape {tuple(output.shape)} "
            f"of {output.dtype}; choose a convolutional layer"
        )
    return output


def _listing(model: nn.Module, count: int = 8) -> str:
    """The last few convolutional or container modules, the ones that people mean."""
    names = [name for name, module in model.named_modules() if name and name.count(".") <= 1]
    convolutional = [
        name for name in names if any(isinstance(m, nn.Conv2d) for m in model.get_submodule(name).modules())
    ]
    shown = (convolutional or names)[-count:]
    return ", ".join(repr(name) for name in shown) if shown else "(the model has no named modules)"
