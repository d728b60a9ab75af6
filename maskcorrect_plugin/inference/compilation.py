"""`torch.compile` for the passes, where their number repays the time that it takes.

The compiled model is frozen: its weights are constants, which lets the compiler prepare them for the convolutions and
merge what follows into these. It is good for as long as the weights do not change, and made anew when they do.
"""

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .folding import detached_copy
from .memory import is_out_of_memory

logger = logging.getLogger("maskcorrect_plugin.inference")

COMPILE_SECONDS = 90.0
"""What compiling is expected to take at worst. docs/performance.md has measured times: 10 to 20 s on a CPU."""
EXPECTED_GAIN = 1.2
"""How many times faster a compiled pass is expected to be: the least that was measured."""
ENOUGH = 4
"""Batches of each kind after which the compiled model is compared with the other."""


class Compilation:
    """Decides when to compile, and whether to stay with it.

    Args:
        mode: False never compiles, True does at the first occasion, ``"auto"`` when it has been worth it: when what
            would have been saved on the passes so far, and on what is left of the run, is more than compiling takes.
            Nobody knows how many passes will follow, but those that were run are the best guess.

    Attributes:
        function: The compiled model; None as long as there is none.
    """

    def __init__(self, mode: bool | str) -> None:
        self.mode = mode
        self.function: Callable[..., Any] | None = None
        self._weights: Tensor | None = None
        self._spent = 0.0
        self._plain = math.inf
        self._compiled: list[float] = []

    def start(self, left: int, fastest: Any, model: Any) -> None:
        """Compiles if it is not done yet and is worth it; the work itself is done when `function` is first called.

        Args:
            left: Inputs to go in this run.
            fastest: What is compiled: the model or a copy of it.
            model: The model, whose weights say how long that is good.
        """
        if self.function is not None or not self._worth_it(left):
            return
        logger.info("compiling the model for its passes, after %.0f s of them", self._spent)
        self._weights, self._compiled = weights_of(model), []
        compiled = _frozen(fastest) if isinstance(fastest, nn.Module) else torch.compile(fastest, dynamic=False)
        self.function = self._or_else(compiled, fastest) if self.mode == "auto" else compiled

    def _worth_it(self, left: int) -> bool:
        if self.mode != "auto":
            return bool(self.mode)
        coming = 0.0 if math.isinf(self._plain) else left * self._plain
        return (self._spent + coming) * (1 - 1 / EXPECTED_GAIN) > COMPILE_SECONDS

    def _or_else(self, compiled: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
        """Nobody asked for compiling by name, so a network or a machine on which it fails goes on without."""

        def call(*args: Any) -> Any:
            try:
                return compiled(*args)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                logger.warning("the model cannot be compiled, going on without: %s", str(error).partition("\n")[0])
                self.mode, self.function = False, None
                return plain(*args)

        return call

    def refresh(self, model: Any) -> None:
        """Forgets the compiled model if the weights are not those that it was compiled with."""
        if self._weights is not None and not torch.equal(self._weights, weights_of(model)):
            logger.info("the model's weights have changed: compiling it again")
            self.function = self._weights = None

    def record(self, inputs: int, seconds: float) -> None:
        """Tells what a full batch took; with ``"auto"`` a compiled model that is no faster is given up."""
        each = seconds / inputs
        if self.function is None:
            self._spent += seconds
            self._plain = min(self._plain, each)
            return
        self._compiled.append(each)
        if len(self._compiled) == 1:
            logger.info("compiled in %.0f s", seconds)
        elif len(self._compiled) == 1 + ENOUGH:
            self._compare(min(self._compiled))

    def _compare(self, compiled: float) -> None:
        logger.info("a compiled pass takes %.2f ms, an uncompiled one %.2f ms", 1e3 * compiled, 1e3 * self._plain)
        if self.mode == "auto" and compiled > self._plain:
            logger.info("the compiled model is given up: it is no faster")
            self.mode, self.function = False, None


def _frozen(model: nn.Module) -> Callable[..., Any]:
    """The model compiled with its weights as constants."""
    function = torch.compile(detached_copy(model), dynamic=False)

    def call(*args: Any) -> Any:
        import torch._inductor.config as inductor  # slow to import, and only compiling needs it

        with inductor.patch(freezing=True):  # looked at when it is compiled, that is, at a first call
            return function(*args)

    return call


def weights_of(model: Any) -> Tensor:
    """Sum and norm of each floating-point parameter and buffer: they change when the weights do, however it is done."""
    if not isinstance(model, nn.Module):
        return torch.empty(0)
    tensors = [t.detach() for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
    values = [value for tensor in tensors for value in (tensor.sum(), tensor.norm())]
    return torch.stack([value.double() for value in values]).nan_to_num().cpu() if values else torch.empty(0)
