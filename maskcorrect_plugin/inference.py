"""The pass engine: many lazily made inputs through one classifier, in full batches.

Score-CAM's masked passes and the re-evaluation of masked inputs both run on it. It owns the batch size (with back-off
when memory runs out), the precision, the memory format and compilation, and it is where a model's output becomes class
scores and probabilities.
"""

import contextlib
import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .checks import check_choice, check_int
from .errors import ModelOutputError
from .functional import at_least_float32

logger = logging.getLogger("maskcorrect_plugin")

OUTPUTS = ("logits", "probs")
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}

AUTO_PIXELS = {"cpu": 8 * 224 * 224, "cuda": 256 * 224 * 224}
"""Pixels in a batch to start with: small batches stay in a CPU's cache and are fastest; a GPU wants to be filled."""
AUTO_LIMIT = {"cpu": 256, "cuda": 4096}
"""Inputs to start with at most, however small they are."""
PROBS_TOLERANCE = 1e-3
"""How far a row may be from summing to 1 and still be a distribution: half-precision softmax is that rough."""

T = TypeVar("T")


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


def class_scores(output: Any, count: int) -> Tensor:
    """A model's output as class scores (N,M) in at least float32.

    Args:
        output: A tensor (N,M), or an output object with such a ``.logits`` (Hugging Face).
        count: Number of inputs N.

    Raises:
        ModelOutputError: anything else, with an explanation.
    """
    scores = getattr(output, "logits", output)
    if not isinstance(scores, Tensor):
        raise ModelOutputError(
            f"the model must return a tensor (N,M) or an object with .logits, got {type(output).__name__}; "
            "wrap it in a module that returns the class scores alone"
        )
    if scores.ndim != 2 or scores.shape[0] != count:
        raise ModelOutputError(f"the model must return class scores ({count},M), got shape {tuple(scores.shape)}")
    return at_least_float32(scores.detach())


class PassEngine:
    """Runs a classifier over many inputs.

    Args:
        forward_func: The model, or any callable from inputs (B,C,H,W) to class scores (B,M).
        output: ``"logits"`` when it returns logits, ``"probs"`` when it returns distributions.
        batch_size: Inputs per forward. An integer, or ``"auto"``. Either is halved when memory runs out, and what
            worked is remembered.
        precision: ``"float32"`` runs the model in its own precision; ``"bfloat16"`` and ``"float16"`` run it under
            autocast.
        channels_last: Whether inputs are handed over in channels_last memory format.
        compile: Whether to `torch.compile` the model; ragged batches are then padded to the full size.

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
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        self.forward_func = forward_func
        self.output = check_choice("output", output, OUTPUTS)
        self.precision = check_choice("precision", precision, tuple(PRECISIONS))
        self.channels_last = bool(channels_last)
        if batch_size != "auto":
            batch_size = check_int("batch_size", batch_size, 1)
        self._batch_size = batch_size
        self._backed_off = False
        self._moved = False
        self._warned = False
        self._compiled: Callable[..., Any] | None = None
        self.compile = bool(compile)
        self.passes = 0

    def batch_size(self, like: Tensor) -> int:
        """Inputs per forward, as far as known by now, for inputs of the size and on the device of `like` (...,H,W)."""
        if isinstance(self._batch_size, int):
            return self._batch_size
        kind = like.device.type if like.device.type in AUTO_PIXELS else "cpu"
        return max(1, min(AUTO_LIMIT[kind], AUTO_PIXELS[kind] // max(1, like.shape[-2] * like.shape[-1])))

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

    def chunks(self, count: int, like: Tensor, attempt: Callable[[int, int], T]) -> Iterator[tuple[int, int, T]]:
        """Walks over ``count`` items in full batches; halves the batch and retries when memory runs out.

        Args:
            count: Number of items.
            like: A tensor of the inputs' size (...,H,W), where the work happens.
            attempt: Does items ``[start, stop)`` and returns their result. It must not keep anything when it raises.

        Yields:
            ``(start, stop, result)``, in order, covering every item once.
        """
        start = 0
        while start < count:
            stop = min(count, start + self.batch_size(like))
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
        if not self._backed_off:
            self._backed_off = True
            logger.warning("out of memory with %d inputs a batch: going on with %d", failed_size, self._batch_size)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def run(
        self, count: int, like: Tensor, make_batch: Callable[[int, int], tuple[Any, ...]]
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Class scores of many lazily made inputs.

        Args:
            count: Number of inputs.
            like: A tensor of their size (...,H,W), where they are made.
            make_batch: Makes the arguments of one forward for inputs ``[start, stop)``; the first is the tensor
                (B,C,H,W).

        Yields:
            ``(start, stop, scores)`` with scores (B,M) in at least float32.
        """
        return self.chunks(count, like, lambda start, stop: self._pass(*make_batch(start, stop)))

    def scores(self, inputs: Tensor, *args: Any) -> Tensor:
        """Class scores (B,M) of one batch, in at least float32, never compiled: hooks on the model see this forward.

        The caller holds `evaluation_mode`.
        """
        return self._call(self.forward_func, inputs, *args)

    def _pass(self, inputs: Tensor, *args: Any) -> Tensor:
        if not self.compile:
            return self.scores(inputs, *args)
        if self._compiled is None:
            self._compiled = torch.compile(self.forward_func, dynamic=False)
        count = len(inputs)
        missing = self.batch_size(inputs) - count
        if missing > 0:  # a new shape would mean a new compilation
            inputs = torch.cat([inputs, inputs[-1:].expand(missing, -1, -1, -1)])
        scores = self._call(self._compiled, inputs, *args)[:count]
        self.passes -= missing if missing > 0 else 0
        return scores

    def _call(self, forward_func: Callable[..., Any], inputs: Tensor, *args: Any) -> Tensor:
        reference = first_tensor(self.forward_func)
        if reference is not None:
            inputs = inputs.to(reference.dtype)
        if self.channels_last and inputs.ndim == 4:
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
        if scores.shape[1] < 2:
            raise ModelOutputError(
                "the model must give a distribution over at least two classes, got one score per image; "
                "for a binary model return both classes, e.g. torch.cat([-z, z], 1) / 2 of its logit z"
            )
        check_finite_scores(scores)
        distributions = bool(are_distributions(scores))
        if self.output == "probs" and not distributions:
            raise ModelOutputError(_not_distributions(scores))
        if self.output == "logits" and distributions and not self._warned:
            self._warned = True
            warnings.warn(
                "the model's outputs look like probabilities (non-negative rows that sum to 1), but output='logits' "
                "takes their softmax; pass output='probs' if the model ends in softmax",
                stacklevel=2,
            )
        return self.probs(scores)


def check_finite_scores(scores: Tensor) -> None:
    """Raises ModelOutputError when the model gave NaN or infinite scores."""
    finite = torch.isfinite(scores).flatten(1).all(dim=1)
    if not bool(finite.all()):
        rows = (~finite).nonzero().flatten().tolist()
        raise ModelOutputError(
            f"the model's output must be finite, but it gave NaN or infinite values for {len(rows)} of {len(scores)} "
            f"inputs (first: row {rows[0]}); in half precision try bfloat16"
        )


def are_distributions(scores: Tensor) -> Tensor:
    """Whether every row is non-negative and sums to 1: a boolean scalar tensor."""
    return (scores >= 0).all() & ((scores.sum(dim=-1) - 1).abs() <= PROBS_TOLERANCE).all()


def _not_distributions(scores: Tensor) -> str:
    low, high, total = float(scores.min()), float(scores.max()), float(scores[0].sum())
    given = f"values from {low:.3g} to {high:.3g}, first row summing to {total:.3g}"
    if low >= 0 and high <= 1:
        return (
            f"output='probs' needs rows that sum to 1, got {given}; this looks like a multi-label model (one sigmoid "
            "per class), which has no distribution over classes to correct"
        )
    return f"output='probs' needs non-negative rows that sum to 1, got {given}; pass output='logits' for raw scores"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the host or on the device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text
