"""Checks that wrong arguments are refused with a ValueError or a TypeError, and not answered with a map."""

from typing import Any

import torch

from .case import NUM_CLASSES, Case, check, expect


def _expect_refused(case: Case, inputs: Any, target: Any, what: str) -> None:
    method = case.create(case.network())
    try:
        method.attribute(inputs, target)
    except (ValueError, TypeError):
        return
    except Exception as error:
        raise AssertionError(
            f"{what} must raise ValueError or TypeError, found {type(error).__name__}: {error}"
        ) from error
    expect(False, f"{what} must raise ValueError or TypeError, found maps instead")


@check
def check_target_range(case: Case) -> None:
    """Classes that the model does not have are refused; too large ones only by methods that are class-aware."""
    images = case.images()
    _expect_refused(case, images, -1, "target=-1")
    if case.info.class_aware:
        _expect_refused(case, images, NUM_CLASSES, f"target={NUM_CLASSES} for a model of {NUM_CLASSES} classes")
        target = torch.tensor([0, NUM_CLASSES, 1], device=case.device)
        _expect_refused(case, images, target, f"a target tensor that holds {NUM_CLASSES}")


@check
def check_target_count(case: Case) -> None:
    """Two targets for three images are refused, and so are targets that are no integers."""
    images = case.images()
    _expect_refused(case, images, torch.tensor([0, 1], device=case.device), "two targets for three images")
    _expect_refused(case, images, torch.tensor([0.0, 1.0, 2.0], device=case.device), "a target of floats")
    _expect_refused(case, images, None, "target=None")


@check
def check_finite_inputs(case: Case) -> None:
    """Inputs with NaN or infinite values are refused."""
    for value in (float("nan"), float("inf")):
        images = case.images()
        images[1, 0, 0, 0] = value
        _expect_refused(case, images, 1, f"inputs that hold {value}")


@check
def check_input_kind(case: Case) -> None:
    """Inputs of integers, without the batch axis, or without any image are refused."""
    images = case.images()
    _expect_refused(case, images.to(torch.int64), 1, "integer inputs")
    _expect_refused(case, images[0], 1, "inputs (C,H,W) without batch axis")
    _expect_refused(case, images[:0], 1, "an empty batch")
