"""Argument checks in one place: every message names the argument, what was given and what is allowed."""

import difflib
import math
from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor

from .errors import ArgumentError, ArgumentTypeError


def check_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """An integer within ``[low, high]``; booleans are refused."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    number = int(value)
    if number < low or (high is not None and number > high):
        allowed = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ArgumentError(f"{name} must be {allowed}, got {number}")
    return number


def check_number(name: str, value: Any, low: float, high: float, *, include_high: bool = False) -> float:
    """A finite number within ``[low, high)``, or ``[low, high]`` with `include_high`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ArgumentTypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}") from None
    inside = low <= number <= high if include_high else low <= number < high
    if not math.isfinite(number) or not inside:
        raise ArgumentError(f"{name} must lie in [{low:g}, {high:g}{']' if include_high else ')'}, got {value!r}")
    return number


def nearest(value: str, allowed: Iterable[str]) -> str:
    """``"; did you mean 'a' or 'b'?"`` for the names closest to `value`, an empty string when none is close."""
    names = list(allowed)
    lower = {name.lower(): name for name in names}
    close = [lower[match] for match in difflib.get_close_matches(value.lower(), list(lower), n=3, cutoff=0.5)]
    return f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""


def check_choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """One of the strings in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        choices = ", ".join(repr(choice) for choice in allowed)
        hint = nearest(value, allowed) if isinstance(value, str) else ""
        raise ArgumentError(f"{name} must be one of {choices}; got {value!r}{hint}")
    return value


def check_inputs(inputs: Any) -> Tensor:
    """A non-empty batch of finite floating-point images.

    Args:
        inputs: What should be a tensor (N,C,H,W), normalised the way the model was trained.

    Returns:
        The same tensor, untouched.

    Raises:
        TypeError: not a tensor, or not floating point.
        ValueError: not 4-D, empty, or with NaN or infinite values (the rows are named).
    """
    if not isinstance(inputs, Tensor):
        raise ArgumentTypeError(f"inputs must be a torch.Tensor (N,C,H,W), got {type(inputs).__name__}")
    if inputs.ndim != 4:
        hint = "; add the batch axis with inputs.unsqueeze(0)" if inputs.ndim == 3 else ""
        raise ArgumentError(f"inputs must have four axes (N,C,H,W), got shape {tuple(inputs.shape)}{hint}")
    if not inputs.is_floating_point():
        raise ArgumentTypeError(
            f"inputs must be floating point and normalised as the model expects, got {inputs.dtype}; "
            "apply the model's transform first"
        )
    if inputs.numel() == 0:
        raise ArgumentError(f"inputs must hold at least one image and one pixel, got shape {tuple(inputs.shape)}")
    check_finite("inputs", inputs)
    return inputs


def is_finite(values: Tensor) -> bool:
    """Whether all values are finite. Costs one host synchronisation.

    A sum is finite only if all of its terms are, and takes a tenth of the time; where it overflows, each is looked at.
    """
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def check_finite(name: str, values: Tensor, error: type[ArgumentError] = ArgumentError) -> None:
    """Raises `error` naming the rows (first axis) that hold NaN or infinite values. Costs one host synchronisation."""
    if is_finite(values):
        return
    finite = torch.isfinite(values).flatten(1).all(dim=1) if values.ndim > 1 else torch.isfinite(values)
    rows = (~finite).nonzero().flatten().tolist()
    shown = ", ".join(str(row) for row in rows[:10]) + (", ..." if len(rows) > 10 else "")
    raise error(f"{name} must be finite, but NaN or infinite values were found in row {shown} of {len(finite)}")


def check_target(target: Any, count: int, num_classes: int | None = None, name: str = "target") -> Tensor:
    """Class indices, one per image.

    Args:
        target: One int for all images, or a tensor (N,) or list of ints.
        count: Number of images N.
        num_classes: Upper bound, exclusive; unknown when None.
        name: What the argument is called in errors.

    Returns:
        Tensor (N,) int64 on the CPU, or on the target's own device when it is a tensor.
    """
    if isinstance(target, bool) or not isinstance(target, int | Tensor | list | tuple):
        raise ArgumentTypeError(f"{name} must be an int, or {count} ints as tensor or list, got {target!r}")
    indices = torch.as_tensor(target)
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise ArgumentTypeError(f"{name} must hold integers (class indices), got {indices.dtype}")
    if indices.numel() == 1:
        indices = indices.reshape(1).expand(count)
    if indices.shape != (count,):
        raise ArgumentError(f"{name} must be an int or hold one class per image ({count}), got {tuple(indices.shape)}")
    check_classes(name, indices, num_classes)
    return indices.to(torch.int64)


def check_candidates(candidates: Any, count: int, num_classes: int | None = None) -> Tensor:
    """Candidate classes (N,K) int64, one row per image."""
    if not isinstance(candidates, Tensor) or candidates.dtype not in (torch.int64, torch.int32):
        given = candidates.dtype if isinstance(candidates, Tensor) else type(candidates).__name__
        raise ArgumentTypeError(f"candidates must be an integer tensor (N,K), got {given}")
    if candidates.ndim != 2 or candidates.shape[0] != count or candidates.shape[1] == 0:
        raise ArgumentError(f"candidates must have shape ({count}, K) with K >= 1, got {tuple(candidates.shape)}")
    check_classes("candidates", candidates, num_classes)
    return candidates.to(torch.int64)


def check_classes(name: str, indices: Tensor, num_classes: int | None) -> None:
    """Class indices must lie in ``[0, num_classes)``; the upper bound is skipped when it is not known."""
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        allowed = "0 or more" if num_classes is None else f"from 0 to {num_classes - 1}"
        raise ArgumentError(f"{name} must be class indices {allowed}, got {low if low < 0 else high}")
