"""Counting what a method makes a model do, and what torch does for it."""

import re

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class PassCounter:
    """Images that go forward through a model, and those whose gradient comes back through its output."""

    def __init__(self, model):
        self.inputs = 0
        self.backwards = 0
        self._handle = model.register_forward_hook(self._watch)

    def remove(self):
        self._handle.remove()

    def reset(self):
        self.inputs = self.backwards = 0

    def _watch(self, _module, _inputs, output):
        output = getattr(output, "logits", output)
        self.inputs += len(output)
        if output.requires_grad:
            output.register_hook(self._count_backward)

    def _count_backward(self, gradient):
        self.backwards += len(gradient)


class Largest(TorchDispatchMode):
    """Values in the largest tensor that any operation gives inside."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = function(*args, **(kwargs or {}))
        sizes = [value.numel() for value in torch.utils._pytree.tree_leaves(given) if isinstance(value, torch.Tensor)]
        self.numel = max(self.numel, *sizes, 0)
        return given


class Synchronisations(TorchDispatchMode):
    """How often the host needs values, for which a GPU would have to be waited for."""

    NAMES = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.name() in self.NAMES
        return function(*args, **(kwargs or {}))


def declared(text, **values):
    """The number that a declaration such as "K (1 + C)" stands for; of "0 or 64" the first."""
    text = text.partition(" or ")[0]
    product = re.sub(r"(?<=[\w)])\s+(?=[\w(])", " * ", text)
    return eval(product, {}, values)
