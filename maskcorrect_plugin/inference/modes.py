"""A model's mode and precision."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def evaluation_mode(forward_func: Any) -> Iterator[None]:
    """Every module in eval mode and no gradients inside; each module's own training flag is back afterwards.

    Args:
        forward_func: A module, or any callable (which is then responsible for its own mode).
    """
    modules = list(forward_func.modules()) if isinstance(forward_func, nn.Module) else []
    training = [module for module in modules if module.training]
    try:
        for module in training:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def first_tensor(forward_func: Any) -> Tensor | None:
    """The first floating-point parameter or buffer: it tells a model's device and precision."""
    if not isinstance(forward_func, nn.Module):
        return None
    for tensors in (forward_func.parameters(), forward_func.buffers()):
        for tensor in tensors:
            if tensor.is_floating_point():
                return tensor
    return None
