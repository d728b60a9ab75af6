"""Checks that a method that fails on the way says so, and still leaves everything as it found it."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from .case import Case, check, expect, seed_everything
from .effects import everything, expect_same, prepared

Failing = Callable[[nn.Module], contextlib.AbstractContextManager[list[int]]]
"""Makes a model fail at some point inside the context; what is yielded is empty if it never came to that."""


class _Failure(IndexError):
    """What a failing forward raises. An IndexError, since some libraries swallow just that one."""


@check
def check_after_failure(case: Case) -> None:
    """A forward that raises is not swallowed, and everything is as before afterwards, whichever forward it was."""
    for count in range(1, 5):
        if not _failed(case, f"forward number {count}", functools.partial(_failing, count=count)):
            return


@check
def check_after_backward_failure(case: Case) -> None:
    """A backward pass that raises is not swallowed either, and everything is as before afterwards."""
    _failed(case, "the backward pass", _failing_backward)


def _failed(case: Case, where: str, failing: Failing) -> bool:
    """Lets a method run into a failure and looks at what it leaves; False if it never came to that."""
    model = prepared(case)
    method = case.create(model)
    seed_everything(3)
    with failing(model) as failed:
        before = everything(model)
        try:
            method.attribute(case.images(), 1)
        except Exception:  # noqa: BLE001  (a method may wrap what the model raises)
            raised = True
        else:
            raised = False
        after = everything(model)
    if failed:
        expect(raised, f"an exception in {where} was swallowed")
        expect_same(before, after, f"after an exception in {where} everything")
    return bool(failed)


def _failing(model: nn.Module, count: int) -> contextlib.AbstractContextManager[list[int]]:
    """The head raises in forward number `count`."""
    calls: list[int] = []

    def fail(_inputs: Tensor, failed: list[int]) -> None:
        calls.append(1)
        if len(calls) == count:
            failed.append(count)
            raise _Failure("a forward that fails, on purpose")

    return _before_the_head(model, fail)


def _failing_backward(model: nn.Module) -> contextlib.AbstractContextManager[list[int]]:
    """The gradient of the head's input raises, if anybody asks for it."""

    def arm(inputs: Tensor, failed: list[int]) -> None:
        def fail(_gradient: Tensor) -> None:
            failed.append(1)
            raise _Failure("a backward pass that fails, on purpose")

        if inputs.requires_grad:
            inputs.register_hook(fail)  # type: ignore[no-untyped-call]

    return _before_the_head(model, arm)


@contextlib.contextmanager
def _before_the_head(model: nn.Module, act: Callable[[Tensor, list[int]], None]) -> Iterator[list[int]]:
    """Does something with the head's input in every forward, and with a list, which it yields."""
    noted: list[int] = []

    def hook(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        act(inputs[0], noted)

    handle = model.get_submodule("head").register_forward_pre_hook(hook)
    try:
        yield noted
    finally:
        handle.remove()
