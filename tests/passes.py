"""Counting what a method makes a model do."""

import re


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


def declared(text, **values):
    """The number that a declaration such as "K (1 + C)" stands for."""
    product = re.sub(r"(?<=[\w)])\s+(?=[\w(])", " * ", text)
    return eval(product, {}, values)
