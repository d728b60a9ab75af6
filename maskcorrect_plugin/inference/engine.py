"""`PassEngine`: batches, precision, memory and what was learnt about speed, for one classifier."""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.errors import ArgumentError, ModelOutputError
from maskcorrect_plugin.functional import at_least_float32

from .calibration import Calibration, Packing
from .compilation import Compilation
from .folding import Pairs
from .memory import is_out_of_memory, release_memory
from .modes import first_tensor
from .outputs import (
    OUTPUTS,
    are_distributions,
    check_finite_scores,
    check_num_classes,
    class_scores,
    not_distributions,
)
from .pass_model import FOLDED_FROM, PassModel

logger = logging.getLogger("maskcorrect_plugin")

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

AUTO_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 256 * 224 * 224}
"""Pixels in a batch to start with: small batches stay in a CPU's cache and are fastest; a GPU wants to be filled."""
AUTO_LIMIT = {"cpu": 256, "cuda": 4096}
"""Inputs to start with at most, however small they are."""
CALIBRATED_FROM = 2000
"""Passes, run or about to be, from which looking for the fast batch size and memory format costs little of them."""

T = TypeVar("T")


class PassEngine:
    """Runs a classifier over many inputs.

    Args:
        forward_func: The model, or any callable from inputs (B,C,H,W) to class scores (B,M).
        output: ``"logits"`` when it returns logits, ``"probs"`` when it returns distributions.
        batch_size: Inputs per forward. An integer, or ``"auto"``, which finds the fast size in long runs. Either is
            halved when memory runs out, and what worked is remembered.
        precision: ``"float32"`` runs the model in its own precision; ``"bfloat16"`` and ``"float16"`` run it under
            autocast.
        channels_last: Whether inputs are handed over in channels_last memory format. ``"auto"`` does so until a long
            run shows that the other format is faster.
        compile: Whether to `torch.compile` the model for `run`; ragged batches are then padded to the full size.
            ``"auto"`` compiles when it has been worth it: see `Compilation`.

    Attributes:
        passes: Inputs that went through the classifier so far. Methods that call the model themselves add theirs.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        *,
        output: str = "logits",
        batch_size: int | str = "auto",
        precision: str = "float32",
        channels_last: bool | str = "auto",
        compile: bool | str = False,
    ) -> None:
        self.forward_func = forward_func
        self.output = check_choice("output", output, OUTPUTS)
        self.precision = check_choice("precision", precision, tuple(PRECISIONS))
        self.channels_last = _check_switch("channels_last", channels_last)
        self.compile = _check_switch("compile", compile)
        self._batch_size = batch_size if batch_size == "auto" else check_int("batch_size", batch_size, 1)
        self._calibrations: dict[tuple[Any, ...], Calibration] = {}
        self._compilation = Compilation(self.compile)
        self._pairs: Pairs | None = None
        self._backed_off = False
        self._moved = False
        self._warned = False
        self.passes = 0

    def batch_size(self, like: Tensor) -> int:
        """Inputs that are safely handled together, of the size and on the device of `like` (...,H,W).

        It depends on the settings, the device and what was learnt about memory, never on timing: `run` may find other
        sizes to be faster.
        """
        if isinstance(self._batch_size, int):
            return self._batch_size
        kind = like.device.type if like.device.type in AUTO_PIXELS else "cpu"
        return max(1, min(AUTO_LIMIT[kind], AUTO_PIXELS[kind] // max(1, like.shape[-2] * like.shape[-1])))

    def memory_format(self, like: Tensor) -> torch.memory_format:
        """The format in which `run` wants its next inputs of the size of `like`; others are converted."""
        chosen = self._calibration(like).current.channels_last
        return torch.channels_last if chosen else torch.contiguous_format

    def place(self, inputs: Tensor) -> Tensor:
        """The inputs, detached, on the model's device and in at least float32 (float64 only for float64 models)."""
        reference = first_tensor(self.forward_func)
        inputs = inputs.detach()
        if reference is None:
            return at_least_float32(inputs)
        if inputs.device != reference.device and not self._moved:
            self._moved = True
            logger.warning("inputs on %s are moved to the model's device %s", inputs.device, reference.device)
        dtype = torch.float64 if reference.dtype == torch.float64 else torch.float32
        return inputs.to(reference.device, dtype)

    def chunks(
        self,
        count: int,
        like: Tensor,
        attempt: Callable[[int, int], T],
        size: Callable[[int], int] | None = None,
    ) -> Iterator[tuple[int, int, T]]:
        """Walks over ``count`` items in full batches; halves the batch and retries when memory runs out.

        Args:
            count: Number of items.
            like: A tensor of the inputs' size (...,H,W), where the work happens.
            attempt: Does items ``[start, stop)`` and returns their result. It must not keep anything when it raises.
            size: How many items to do next when so many are left; `batch_size` if not given.

        Yields:
            ``(start, stop, result)``, in order, covering every item once.
        """
        start = 0
        while start < count:
            left = count - start
            stop = start + min(left, self.batch_size(like) if size is None else size(left))
            try:
                result = attempt(start, stop)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or stop - start == 1:
                    raise
                result = None
            if result is None:  # outside the except block, where the failed attempt's tensors are released
                self._back_off(stop - start)
                continue
            yield start, stop, result
            start = stop

    def _back_off(self, failed_size: int) -> None:
        self._batch_size = failed_size // 2
        for calibration in self._calibrations.values():
            calibration.stop(self._batch_size)
        if not self._backed_off:
            self._backed_off = True
            logger.warning("out of memory with %d inputs a batch: going on with %d", failed_size, self._batch_size)
        release_memory()

    def run(
        self, count: int, like: Tensor, make_batch: Callable[[int, int], tuple[Any, ...]]
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Class scores of many lazily made inputs.

        Args:
            count: Number of inputs.
            like: A tensor of their size (...,H,W), where they are made.
            make_batch: Makes the arguments of one forward for inputs ``[start, stop)``; the first is the tensor
                (B,C,H,W). It may use the same memory for every batch.

        Yields:
            ``(start, stop, scores)`` with scores (B,M) in at least float32.
        """
        model = PassModel(self.forward_func, self._pairs, fold=count >= FOLDED_FROM)
        calibration = self._calibration(like)
        tries = self._compilation.function is None and self.passes + count >= CALIBRATED_FROM
        self._compilation.refresh(self.forward_func)

        def size(left: int) -> int:
            if model.settled and not (tries and calibration.unfinished):
                self._compilation.start(left, model.fastest, self.forward_func)
            return calibration.choose(left, tries).size

        def attempt(start: int, stop: int) -> Tensor:
            waits = like.device.type == "cuda" and calibration.trying
            begun = _now(like.device, waits)
            scores = self._pass(model, calibration.current.size, *make_batch(start, stop))
            seconds = _now(like.device, waits) - begun
            calibration.record(seconds)
            if stop - start == calibration.current.size:
                self._compilation.record(stop - start, seconds)
            return scores

        yield from self.chunks(count, like, attempt, size)
        self._pairs = model.pairs

    def _calibration(self, like: Tensor) -> Calibration:
        kind = (like.device.type, *like.shape[-2:])
        if kind not in self._calibrations:
            start = Packing(self.batch_size(like), self.channels_last is not False)
            self._calibrations[kind] = Calibration(
                start, sizes=self._batch_size == "auto", formats=self.channels_last == "auto"
            )
        return self._calibrations[kind]

    def scores(self, inputs: Tensor, *args: Any) -> Tensor:
        """Class scores (B,M) of one batch by the model as it is: hooks on any of its modules see this forward.

        The caller holds `evaluation_mode`.
        """
        return self._call(self.forward_func, inputs, *args)

    def _pass(self, model: PassModel, full: int, inputs: Tensor, *args: Any) -> Tensor:
        compiled, count = self._compilation.function, len(inputs)
        if compiled is None or 2 * count < full:
            return self._call(model, inputs, *args)
        missing = full - count
        if missing > 0:  # a new shape would mean a new compilation
            inputs = torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)])
            self.passes -= missing
        return self._call(compiled, inputs, *args)[:count]

    def _call(self, forward_func: Callable[..., Any], inputs: Tensor, *args: Any) -> Tensor:
        reference = first_tensor(self.forward_func)
        if reference is not None:
            inputs = inputs.to(reference.dtype)
        if inputs.ndim == 4 and self.memory_format(inputs) == torch.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        dtype = PRECISIONS[self.precision]
        context = torch.autocast(inputs.device.type, dtype) if dtype else contextlib.nullcontext()
        with context:
            scores = class_scores(forward_func(inputs, *args), len(inputs))
        self.passes += len(inputs)
        return scores

    def probs(self, scores: Tensor) -> Tensor:
        """Scores as distributions: softmax of logits, probabilities as they are. No host synchronisation."""
        return scores.softmax(dim=-1) if self.output == "logits" else scores

    def checked_probs(self, scores: Tensor) -> Tensor:
        """`probs`, after checking that the scores are finite and are what `output` says.

        Raises:
            ModelOutputError: NaN or infinite scores; fewer than two classes; ``output="probs"`` without distributions.
        """
        check_num_classes(scores)
        check_finite_scores(scores)
        distributions = bool(are_distributions(scores))
        if self.output == "probs" and not distributions:
            raise ModelOutputError(not_distributions(scores))
        if self.output == "logits" and distributions and not self._warned:
            self._warned = True
            warnings.warn(
                "the model's outputs look like probabilities (non-negative rows that sum to 1), but output='logits' "
                "takes their softmax; pass output='probs' if the model ends in softmax",
                stacklevel=2,
            )
        return self.probs(scores)


def _check_switch(name: str, value: Any) -> bool | str:
    """True, False or ``"auto"``."""
    if isinstance(value, bool) or (isinstance(value, str) and value == "auto"):
        return value
    raise ArgumentError(f"{name} must be True, False or 'auto', got {value!r}")


def _now(device: torch.device, wait: bool) -> float:
    """Seconds; after what was asked of a GPU is done, if `wait`."""
    if wait:
        torch.cuda.synchronize(device)
    return time.perf_counter()
