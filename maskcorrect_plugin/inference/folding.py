"""BatchNorm folded into the convolution before it, for the length of many passes.

In eval mode BatchNorm is an affine map, and a convolution followed by one is a convolution with other weights. The
model's own weights are never touched: the passes run on a copy of its module tree that shares every parameter, buffer
and hook with the model, except for the folded convolutions and the identities in place of their BatchNorms.

Which convolution feeds which BatchNorm is seen in a forward that is run anyway, so that models with any control flow
can be folded. Whether the copy really says what the model says is checked on an input before it is used.
"""

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

M = TypeVar("M", bound=nn.Module)

Pairs = dict[nn.Conv2d, nn.BatchNorm2d]
"""Convolutions and the BatchNorm that each of them feeds."""


class PairWatch:
    """Sees in one forward which convolution feeds which BatchNorm.

    A pair counts when both ran once, when the BatchNorm was given the convolution's own output, unchanged since, and
    when nobody else's hook listens to either. That nothing else reads the convolution's output is not seen here.
    """

    def __init__(self) -> None:
        self._calls: Counter[nn.Module] = Counter()
        self._outputs: dict[int, tuple[weakref.ref[Tensor], int, nn.Conv2d]] = {}
        self._pairs: Pairs = {}

    @property
    def pairs(self) -> Pairs:
        """What was seen."""
        return {conv: norm for conv, norm in self._pairs.items() if self._calls[conv] == self._calls[norm] == 1}

    @contextlib.contextmanager
    def on(self, model: nn.Module) -> Iterator[None]:
        """Watches the forward that runs inside."""
        handles = []
        try:
            for module in model.modules():
                if _is_altered(module):
                    continue
                if type(module) is nn.Conv2d:
                    handles.append(module.register_forward_hook(self._after_convolution))
                elif type(module) is nn.BatchNorm2d and module.running_mean is not None:
                    handles.append(module.register_forward_hook(self._after_norm))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _after_convolution(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        self._calls[module] += 1
        if isinstance(module, nn.Conv2d) and isinstance(output, Tensor) and not output.is_inference():
            self._outputs[id(output)] = (weakref.ref(output), output._version, module)

    def _after_norm(self, module: nn.Module, inputs: tuple[Any, ...], _output: Any) -> None:
        self._calls[module] += 1
        if id(inputs[0]) not in self._outputs or not isinstance(module, nn.BatchNorm2d):
            return
        reference, version, conv = self._outputs[id(inputs[0])]
        output = reference()
        if output is not None and output is inputs[0] and output._version == version:
            self._pairs[conv] = module


def _is_altered(module: nn.Module) -> bool:
    """Whether somebody listens to the module, changes what it is given or gives, or has replaced its forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def can_be_watched(model: Any) -> bool:
    """Whether hooks on the model's modules see its forward: not in compiled and scripted models."""
    return isinstance(model, nn.Module) and not any(
        isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod") for module in model.modules()
    )


def folded_copy(model: nn.Module, pairs: Pairs) -> nn.Module:
    """The model with each pair as one convolution, sharing all else with it.

    Args:
        model: The model, in eval mode.
        pairs: From `PairWatch.pairs`.

    Returns:
        A module with the model's own forward. It is worth as long as the model's weights do not change.
    """
    replaced: dict[nn.Module, nn.Module] = {}
    for conv, norm in pairs.items():
        replaced[conv] = _folded(conv, norm)
        replaced[norm] = nn.Identity().eval()
    return _sharing_copy(model, replaced)


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("a BatchNorm without running statistics cannot be folded")
    weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)
    folded = _shell(conv)
    folded.__dict__["_parameters"] = {"weight": weight, "bias": bias}
    return folded


def detached_copy(model: nn.Module) -> nn.Module:
    """The module tree again around parameters of its own, which share the model's memory.

    A compiler that takes weights for constants knows them by the parameter object: a copy of its own is compiled anew.
    """
    copies: dict[nn.Module, nn.Module] = {}
    copy = _sharing_copy(model, copies)
    for module in copies.values():
        module.__dict__["_parameters"] = {
            name: None if parameter is None else nn.Parameter(parameter.detach(), requires_grad=False)
            for name, parameter in module._parameters.items()
        }
    return copy


def _sharing_copy(module: nn.Module, copies: dict[nn.Module, nn.Module]) -> nn.Module:
    """A copy of the module tree. `copies` says what stands for a module, and keeps modules shared that are."""
    if module not in copies:
        copy = copies[module] = _shell(module)
        children: Mapping[str, nn.Module | None] = module._modules
        copy.__dict__["_modules"] = {
            name: None if child is None else _sharing_copy(child, copies) for name, child in children.items()
        }
    return copies[module]


def _shell(module: M) -> M:
    shell = module.__new__(type(module))
    shell.__dict__.update(module.__dict__)
    return shell
