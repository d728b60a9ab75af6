"""What libraries do to a model, undone: `preserved` puts everything back, whatever happens in between."""

import contextlib
import io
import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from maskcorrect_plugin.errors import ArgumentError


@contextlib.contextmanager
def preserved(model: nn.Module, *, requires_grad: bool = False) -> Iterator[None]:
    """A block in which a library may do with the model what it likes; afterwards the model is as it was.

    Inside, every module is in eval mode, activations do not work in place (an in-place ReLU would overwrite what a
    library stored of the layer before it), no parameter has a gradient, and gradients are enabled. Afterwards, also
    when something raises: training flags, hooks, submodules and attributes of every module, ``requires_grad`` and
    ``grad`` of every parameter, and the grad mode are as before. The model is changed meanwhile, so nobody else may run
    it at the same time.

    Args:
        model: The model.
        requires_grad: What `requires_grad` of floating-point parameters is inside. False spares their gradients:
            libraries then need inputs that require gradients.
    """
    modules = [(module, _attributes(module)) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    try:
        for module, _ in modules:
            module.training = False
            if isinstance(getattr(module, "inplace", None), bool):
                vars(module)["inplace"] = False
        for parameter, _, _ in parameters:
            parameter.grad = None
            if parameter.is_floating_point():
                parameter.requires_grad_(requires_grad)
        with torch.enable_grad():
            yield
    finally:
        for module, attributes in modules:
            _restore(module, attributes)
        for parameter, required, gradient in parameters:
            parameter.requires_grad_(required)
            parameter.grad = gradient


def _attributes(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Every attribute with, for dicts (hooks, submodules, parameters), a copy of what they hold."""
    return {name: (value, dict(value) if isinstance(value, dict) else None) for name, value in vars(module).items()}


def _restore(module: nn.Module, attributes: dict[str, tuple[Any, Any]]) -> None:
    for value, content in attributes.values():
        if content is not None and value != content:
            value.clear()
            value.update(content)
    own = vars(module)
    own.clear()
    own.update({name: value for name, (value, _) in attributes.items()})


def check_gradients_possible(name: str) -> None:
    """Refuses inference mode, in which torch can make no gradients.

    Args:
        name: Who needs them.

    Raises:
        ArgumentError: under ``torch.inference_mode()``.
    """
    if torch.is_inference_mode_enabled():
        raise ArgumentError(f"{name} needs gradients and cannot run under torch.inference_mode(); use torch.no_grad()")


@contextlib.contextmanager
def kept_tensors(model: nn.Module, needed: bool = True) -> Iterator[None]:
    """Parameters and buffers have their values and storage back afterwards, for methods that write into them (LRP).

    Args:
        model: The model.
        needed: False does nothing.
    """
    tensors = (*model.parameters(), *model.buffers()) if needed else ()
    saved = [(tensor, tensor.data, tensor.detach().clone()) for tensor in tensors]
    try:
        yield
    finally:
        for tensor, storage, values in saved:
            storage.copy_(values)
            tensor.data = storage


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers from `seed` inside; the random states of torch, NumPy and Python are as before afterwards."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is printed or warned of inside gets out: for what libraries say on their own account."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
