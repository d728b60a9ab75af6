"""The model as one long run of passes sees it: the model itself, then a copy with BatchNorm folded."""

import logging
from typing import Any

import torch
from torch import Tensor, nn

from .folding import Pairs, PairWatch, can_be_watched, folded_copy
from .outputs import class_scores

logger = logging.getLogger("maskcorrect_plugin.inference")

FOLDED_FROM = 256
"""Passes in a run from which folding is worth its one extra forward of one input and the copy of the weights."""
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
"""How far the copy's scores may be from the model's, as a share of the largest one."""
HALF_TOLERANCE = 0.05
"""The same under autocast and for half-precision models, where each layer rounds to 2 or 3 digits."""


class PassModel:
    """Calls a model, and after the first call a faster copy of it.

    It lives for one run: weights that change between two runs are then seen.

    Args:
        model: The model, or any callable.
        pairs: What an earlier `PassModel` of the same model found, in `pairs`.
        fold: Whether a copy is to be made.

    Attributes:
        fastest: What is called: the model or the copy.
        settled: Whether it stays so.
        pairs: Convolutions and the BatchNorms that are folded into them; None as long as nobody has looked.
    """

    def __init__(self, model: Any, pairs: Pairs | None, *, fold: bool) -> None:
        self.model = self.fastest = model
        self.pairs = pairs if can_be_watched(model) else {}
        self.settled = not fold or self.pairs == {}

    def __call__(self, inputs: Tensor, *args: Any) -> Any:
        """What the model returns."""
        if self.settled:
            return self.fastest(inputs, *args)
        if self.pairs is None:
            watch = PairWatch()
            with watch.on(self.model):
                output = self.model(inputs, *args)
            self.pairs = watch.pairs
        else:
            output = self.model(inputs, *args)
        if self.pairs:
            self.fastest = self._checked_copy(class_scores(output, len(inputs))[:1], inputs, args)
        self.settled = True
        return output

    def _checked_copy(self, expected: Tensor, inputs: Tensor, args: tuple[Any, ...]) -> nn.Module:
        """The folded copy, if it says of one input what the model says of it; else the model, and no copy any more."""
        count = len(inputs)
        args = tuple(a[:1] if isinstance(a, Tensor) and a.ndim and len(a) == count else a for a in args)
        try:
            copy = folded_copy(self.model, self.pairs or {})
            given = class_scores(copy.forward(inputs[:1], *args), 1)  # not copy(...): this is no pass to be counted
            close = bool((given - expected).abs().amax() <= _tolerance(inputs) * expected.abs().amax())
        except Exception as error:  # noqa: BLE001  (the model works; whatever is special about it, it is not folded)
            close = False
            logger.info("BatchNorm is not folded: %s: %s", type(error).__name__, error)
        if close:
            return copy
        self.pairs = {}
        logger.info("BatchNorm is not folded: the copy of the model does not say what the model says")
        return self.model  # type: ignore[no-any-return]


def _tolerance(inputs: Tensor) -> float:
    autocast = torch.is_autocast_enabled(inputs.device.type)
    return HALF_TOLERANCE if autocast else TOLERANCE.get(inputs.dtype, HALF_TOLERANCE)
