"""What a model returns, as class scores."""

from typing import Any

import torch
from torch import Tensor

from maskcorrect_plugin.errors import ModelOutputError
from maskcorrect_plugin.functional import at_least_float32

OUTPUTS = ("logits", "probs")

PROBS_TOLERANCE = 1e-3
"""How far a row may be from summing to 1 and still be a distribution: half-precision softmax is that rough."""


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


def check_finite_scores(scores: Tensor) -> None:
    """Raises ModelOutputError when the model gave NaN or infinite scores."""
    finite = torch.isfinite(scores).flatten(1).all(dim=1)
    if not bool(finite.all()):
        rows = (~finite).nonzero().flatten().tolist()
        raise ModelOutputError(
            f"the model's output must be finite, but it gave NaN or infinite values for {len(rows)} of {len(scores)} "
            f"inputs (first: row {rows[0]}); in half precision try bfloat16"
        )


def check_num_classes(scores: Tensor) -> None:
    """Raises ModelOutputError for a model with one score per image."""
    if scores.shape[1] < 2:
        raise ModelOutputError(
            "the model must give a distribution over at least two classes, got one score per image; "
            "for a binary model return both classes, e.g. torch.cat([-z, z], 1) / 2 of its logit z"
        )


def are_distributions(scores: Tensor) -> Tensor:
    """Whether every row is non-negative and sums to 1: a boolean scalar tensor."""
    return (scores >= 0).all() & ((scores.sum(dim=-1) - 1).abs() <= PROBS_TOLERANCE).all()


def not_distributions(scores: Tensor) -> str:
    """What to say of scores that should have been distributions."""
    low, high, total = float(scores.min()), float(scores.max()), float(scores[0].sum())
    given = f"values from {low:.3g} to {high:.3g}, first row summing to {total:.3g}"
    if low >= 0 and high <= 1:
        return (
            f"output='probs' needs rows that sum to 1, got {given}; this looks like a multi-label model (one sigmoid "
            "per class), which has no distribution over classes to correct"
        )
    return f"output='probs' needs non-negative rows that sum to 1, got {given}; pass output='logits' for raw scores"
