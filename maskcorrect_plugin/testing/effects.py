"""Checks that a method leaves everything as it found it, and that it is indifferent to the state it finds."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .case import Case, check, expect, expect_equal, seed_everything

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
)


def _training(model: nn.Module) -> dict[str, Any]:
    return {name: module.training for name, module in model.named_modules()}


def _requires_grad(model: nn.Module) -> dict[str, Any]:
    return {name: parameter.requires_grad for name, parameter in model.named_parameters()}


def _gradients(model: nn.Module) -> dict[str, Any]:
    return {
        name: None if parameter.grad is None else parameter.grad.flatten().tolist()
        for name, parameter in model.named_parameters()
    }


def _hooks(model: nn.Module) -> dict[str, Any]:
    modules = {
        f"{name}.{kind}": list(getattr(module, kind))
        for name, module in model.named_modules()
        for kind in HOOKS
        if hasattr(module, kind)
    }
    tensors = {
        f"{name}.{kind}": list(getattr(parameter, kind, None) or ())
        for name, parameter in model.named_parameters()
        for kind in ("_backward_hooks", "_post_accumulate_grad_hooks")
    }
    return modules | tensors


def _modules(model: nn.Module) -> dict[str, Any]:
    """Which object stands at each name, and which attributes it has."""
    hidden = {"_forward_hooks_with_kwargs"}
    return {name: (id(module), sorted(set(vars(module)) - hidden)) for name, module in model.named_modules()}


def _tensors(model: nn.Module) -> dict[str, Any]:
    return {name: tensor.flatten().tolist() for name, tensor in model.state_dict().items()}


def _random_state(_model: nn.Module) -> dict[str, Any]:
    state: Any = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "torch": torch.get_rng_state().tolist(),
        "torch.cuda": [item.tolist() for item in cuda],
        "numpy": [state[0], state[1].tolist(), *state[2:]],
        "random": random.getstate(),
    }


def _grad_mode(_model: nn.Module) -> dict[str, Any]:
    return {"torch.is_grad_enabled()": torch.is_grad_enabled()}


def everything(model: nn.Module) -> dict[str, Any]:
    """All of what a method must leave as it was, each part under its name."""
    kinds = (_training, _requires_grad, _gradients, _hooks, _modules, _tensors, _random_state, _grad_mode)
    return {f"{kind.__name__[1:]} {name}": value for kind in kinds for name, value in kind(model).items()}


def prepared(case: Case) -> nn.Module:
    """A network in a state worth restoring: mixed training flags, a frozen parameter, some gradients."""
    model = case.network().train()
    model.get_submodule("norm").eval()
    first, second, *_ = model.parameters()
    first.requires_grad_(False)
    second.grad = torch.full_like(second, 0.25)
    return model


def _expect_kept(case: Case, snapshot: Callable[[nn.Module], dict[str, Any]], what: str) -> None:
    model = prepared(case)
    seed_everything(3)
    before = snapshot(model)
    method = case.create(model)
    expect_same(before, snapshot(model), f"{what} after create()")
    method.attribute(case.images(), 1)
    expect_same(before, snapshot(model), f"{what} after attribute()")
    method.attribute_candidates(case.images(), case.candidates())
    expect_same(before, snapshot(model), f"{what} after attribute_candidates()")


def expect_same(before: dict[str, Any], after: dict[str, Any], what: str) -> None:
    """Raises AssertionError that names what changed between two snapshots."""
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    expect(not changed, f"{what} must be as before, found changes in {', '.join(sorted(changed)[:5])}")


@check
def check_training_flags(case: Case) -> None:
    """The training flag of every single module is as before."""
    _expect_kept(case, _training, "training flags")


@check
def check_requires_grad(case: Case) -> None:
    """``requires_grad`` of every parameter is as before."""
    _expect_kept(case, _requires_grad, "requires_grad of parameters")


@check
def check_parameter_gradients(case: Case) -> None:
    """``grad`` of every parameter is as before: None stays None, values stay."""
    _expect_kept(case, _gradients, "grad of parameters")


@check
def check_hooks(case: Case) -> None:
    """No hook is left on any module or parameter, and none is taken away."""
    _expect_kept(case, _hooks, "hooks")


@check
def check_modules(case: Case) -> None:
    """The same modules stand at the same names, with the same attributes."""
    _expect_kept(case, _modules, "modules and their attributes")


@check
def check_tensors(case: Case) -> None:
    """Parameters and buffers (running statistics) have the same values."""
    _expect_kept(case, _tensors, "parameters and buffers")


@check
def check_random_state(case: Case) -> None:
    """The random states of torch, NumPy and Python are as before."""
    _expect_kept(case, _random_state, "random state")


@check
def check_grad_mode(case: Case) -> None:
    """Whether gradients are enabled is as before, either way, and makes no difference to the maps."""
    expected = case.attribute()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            _expect_kept(case, _grad_mode, "grad mode")
    with torch.no_grad():
        expect_equal(case.attribute(), expected, "maps under torch.no_grad() and outside")


@check
def check_eval_mode(case: Case) -> None:
    """Forwards run in eval mode: a model in training mode gets the same maps (dropout and BatchNorm are asleep)."""
    expect_equal(case.attribute(model=case.network().train()), case.attribute(), "a model in training mode and in eval")


@check
def check_frozen_parameters(case: Case) -> None:
    """A model whose parameters do not require gradients gets the same maps."""
    frozen = case.network().requires_grad_(False)
    expect_equal(case.attribute(model=frozen), case.attribute(), "a frozen model and one that is not")


@check
def check_inputs_unchanged(case: Case) -> None:
    """The inputs keep their values, their ``requires_grad`` and their ``grad``."""
    method = case.create(case.network())
    for requires_grad in (False, True):
        images = case.images().requires_grad_(requires_grad)
        before = images.detach().clone()
        method.attribute(images, 1)
        method.attribute_candidates(images, case.candidates())
        expect(torch.equal(images.detach(), before), "inputs must keep their values, found others")
        expect(images.requires_grad == requires_grad, f"inputs.requires_grad must stay {requires_grad}")
        expect(images.grad is None, "inputs.grad must stay None, found a tensor")
