"""The conformance checks: our own backend passes, and each fault is found by the check that is meant for it."""

import contextlib
import random

import numpy as np
import pytest
import torch
from torch import nn

from maskcorrect_adapters.native import NativeBackend
from maskcorrect_plugin import AttributionBackend, AttributionMethod, MethodInfo, Observation, testing
from maskcorrect_plugin.checks import check_classes, check_inputs, check_target
from maskcorrect_plugin.functional import scale_maps
from maskcorrect_plugin.inference import evaluation_mode


class Saliency(AttributionMethod):
    """Absolute input gradients, summed over the colours: a method without a fault."""

    def attribute(self, inputs, target):
        check_inputs(inputs)
        classes = check_target(target, len(inputs)).to(inputs.device)
        with evaluation_mode(self.model), torch.enable_grad():
            dtype = next(self.model.parameters()).dtype
            leaf = inputs.detach().to(dtype).requires_grad_()
            scores = self.model(leaf)
            check_classes("target", classes, scores.shape[1])
            (gradient,) = torch.autograd.grad(scores.gather(1, classes[:, None]).sum(), leaf)
        maps = scale_maps(gradient.abs().sum(dim=1, keepdim=True))
        self.finish(inputs)
        return maps

    def finish(self, inputs):
        """Where most faults go in."""


class Backend(AttributionBackend):
    name = "broken"
    made = Saliency
    described = MethodInfo("Map", "a map", forwards="K", backwards="K")

    def methods(self):
        return ("Map",)

    def info(self, method):
        return self.described

    def create(self, method, model, target_layer=None, **options):
        return self.made(model, **options)


def backend_of(made, **attributes):
    return type("Broken", (Backend,), {"made": made, **attributes})()


def found_by(backend):
    """Names of the checks that fail."""
    failed, messages = set(), {}
    for name, check in testing.iter_checks(backend):
        try:
            check()
        except AssertionError as failure:
            failed.add(name.split("-")[1])
            messages[name.split("-")[1]] = str(failure)
    assert all(message.startswith(f"broken:Map: {name}: ") for name, message in messages.items())
    return failed


def changed_maps(change):
    """A method that does something wrong to the maps."""

    class Changed(Saliency):
        def attribute(self, inputs, target):
            return change(self, super().attribute(inputs, target), inputs, target)

    return Changed


def left_behind(finish):
    """A method that leaves something behind when it is done."""
    return type("LeftBehind", (Saliency,), {"finish": finish})


@pytest.mark.parametrize(("name", "check"), testing.iter_checks(NativeBackend()))
def test_the_native_backend_keeps_the_contract(name, check):
    check()


def test_the_native_backend_on_the_chosen_device(device):
    testing.check_backend(NativeBackend(), device=device)


def test_a_method_without_a_fault_passes():
    assert found_by(Backend()) == set()


def set_grad(self, inputs):
    for parameter in self.model.parameters():
        parameter.grad = torch.zeros_like(parameter)


LEFT_BEHIND = {
    "eval mode": (lambda self, inputs: self.model.eval(), "check_training_flags"),
    "training mode": (lambda self, inputs: self.model.train(), "check_training_flags"),
    "requires_grad": (lambda self, inputs: self.model.requires_grad_(True), "check_requires_grad"),
    "grad": (set_grad, "check_parameter_gradients"),
    "no grad": (lambda self, inputs: self.model.zero_grad(), "check_parameter_gradients"),
    "hook": (lambda self, inputs: self.model.relu2.register_forward_hook(lambda *_: None), "check_hooks"),
    "pre-hook": (lambda self, inputs: self.model.register_forward_pre_hook(lambda *_: None), "check_hooks"),
    "backward hook": (
        lambda self, inputs: self.model.conv2.register_full_backward_hook(lambda *_: None),
        "check_hooks",
    ),
    "other module": (lambda self, inputs: setattr(self.model, "relu2", nn.ReLU()), "check_modules"),
    "attribute": (lambda self, inputs: setattr(self.model.conv1, "seen", 1), "check_modules"),
    "running mean": (lambda self, inputs: self.model.norm.running_mean.add_(1e-6), "check_tensors"),
    "torch's random state": (lambda self, inputs: torch.rand(1), "check_random_state"),
    "NumPy's random state": (lambda self, inputs: np.random.rand(), "check_random_state"),
    "Python's random state": (lambda self, inputs: random.random(), "check_random_state"),
    "no grad mode": (lambda self, inputs: torch.set_grad_enabled(False), "check_grad_mode"),
    "inputs' values": (lambda self, inputs: inputs.detach().add_(1e-6), "check_inputs_unchanged"),
    "inputs' requires_grad": (lambda self, inputs: inputs.requires_grad_(True), "check_inputs_unchanged"),
}


@pytest.mark.parametrize(("finish", "expected"), LEFT_BEHIND.values(), ids=LEFT_BEHIND)
def test_what_is_left_behind_is_found_by_its_own_check(finish, expected):
    assert found_by(backend_of(left_behind(finish))) == {expected}


def noise(self, maps, inputs, target):
    with torch.random.fork_rng(devices=[]):
        return (maps + torch.rand(maps.shape[-2:], dtype=maps.dtype)) / 2


def next_class(self, maps, inputs, target):
    return Saliency.attribute(self, inputs, (target + 1) % 5) if isinstance(target, int) else maps


def first_target(self, maps, inputs, target):
    return Saliency.attribute(self, inputs, target if isinstance(target, int) else int(target.flatten()[0]))


CHANGED = {
    "three maps for one class": (
        lambda self, maps, *_: maps.expand(-1, 3, -1, -1),
        {"check_shape", "check_candidates", "check_stream", "check_correction"},
    ),
    "above one": (lambda self, maps, *_: maps * 2, {"check_range"}),
    "below zero": (lambda self, maps, *_: maps - 0.5, {"check_range", "check_no_information"}),
    "NaN for a flat map": (lambda self, maps, *_: maps / maps.amax((2, 3), keepdim=True), {"check_no_information"}),
    "half precision": (lambda self, maps, *_: maps.half(), {"check_dtype", "check_half_precision"}),
    "never float64": (lambda self, maps, *_: maps.float(), {"check_dtype"}),
    "a graph": (lambda self, maps, inputs, _: maps + 0 * inputs.mean(), {"check_detached"}),
    "noise": (noise, {"check_repeatable"}),
    "an int is another class": (next_class, {"check_int_target"}),
    "only the first target counts": (first_target, {"check_batch"}),
    "scaled by batch": (lambda self, maps, *_: maps * maps.mean(), {"check_batch"}),
    "class ignored": (lambda self, maps, inputs, _: Saliency.attribute(self, inputs, 0), {"check_class_aware"}),
}


@pytest.mark.parametrize(("change", "expected"), CHANGED.values(), ids=CHANGED)
def test_wrong_maps_are_found_by_their_own_check(change, expected):
    assert found_by(backend_of(changed_maps(change))) == expected


class Forgotten(Observation):
    def __init__(self, inputs, shift=0):
        self.inputs = inputs
        self.shift = shift


class Rows(Forgotten):
    def select(self, rows):
        return Forgotten(self.inputs[: len(rows)])


def observing(kind, shift):
    class Observing(Saliency):
        def observe(self, inputs):
            return contextlib.nullcontext(kind(inputs, shift))

        def attribute_candidates(self, inputs, candidates, observation=None):
            if observation is not None:
                inputs, candidates = observation.inputs[: len(inputs)], (candidates + observation.shift) % 5
            return super().attribute_candidates(inputs, candidates)

    return Observing


class Reversed(Saliency):
    def attribute_candidates(self, inputs, candidates, observation=None):
        return super().attribute_candidates(inputs, candidates.flip(1), observation)

    def stream_candidates(self, inputs, candidates, observation=None, block=8):
        yield from torch.split(self.attribute_candidates(inputs, candidates, observation), block, dim=1)


class ReversedBlocks(Saliency):
    def stream_candidates(self, inputs, candidates, observation=None, block=8):
        yield from reversed(list(super().stream_candidates(inputs, candidates, observation, block)))


class OneBlock(Saliency):
    def stream_candidates(self, inputs, candidates, observation=None, block=8):
        yield self.attribute_candidates(inputs, candidates, observation)


class OtherModel(Saliency):
    def __init__(self, model):
        super().__init__(testing.tiny_network(next(model.parameters()).dtype))


class NotPlain(Saliency):
    settings = {"layer": nn.ReLU()}  # noqa: RUF012


class NoEngine(Saliency):
    def use_engine(self, engine):
        raise RuntimeError("no engine, please")


class HookLeftByFailure(Saliency):
    def attribute(self, inputs, target):
        handle = self.model.relu1.register_forward_hook(lambda *_: None)
        maps = super().attribute(inputs, target)
        handle.remove()
        return maps


class Swallows(Saliency):
    def attribute(self, inputs, target):
        try:
            return super().attribute(inputs, target)
        except IndexError:
            return inputs.new_zeros(len(inputs), 1, *inputs.shape[-2:])


class HookLeftByBackward(Saliency):
    """Its hook is there only after the forward."""

    def attribute(self, inputs, target):
        left = []
        handle = self.model.register_forward_hook(
            lambda model, *_: left.append(model.relu1.register_full_backward_hook(lambda *_: None))
        )
        try:
            maps = super().attribute(inputs, target)
        finally:
            handle.remove()
        left.pop().remove()
        return maps


class NeedsTrainable(Saliency):
    def attribute(self, inputs, target):
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise RuntimeError("element 0 of tensors does not require grad")
        return super().attribute(inputs, target)


class NeedsGradMode(Saliency):
    def attribute(self, inputs, target):
        if not torch.is_grad_enabled():
            raise RuntimeError("element 0 of tensors does not require grad")
        return super().attribute(inputs, target)


class AsItIs(Saliency):
    """Runs the model in whatever mode it is."""

    def attribute(self, inputs, target):
        flags = {module: module.training for module in self.model.modules()}
        self.model.eval()
        Saliency.attribute(self, inputs, target)
        for module, flag in flags.items():
            module.training = flag
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            classes = check_target(target, len(inputs))
            leaf = inputs.detach().to(next(self.model.parameters()).dtype).requires_grad_()
            (gradient,) = torch.autograd.grad(self.model(leaf).gather(1, classes[:, None]).sum(), leaf)
        return scale_maps(gradient.abs().sum(dim=1, keepdim=True))


class Clamps(Saliency):
    def attribute(self, inputs, target):
        if isinstance(target, int) and not isinstance(target, bool):
            target = min(max(target, 0), 4)
        elif isinstance(target, torch.Tensor):
            target = target.clamp(0, 4)
        return super().attribute(inputs, target)


class Rounds(Saliency):
    def attribute(self, inputs, target):
        return super().attribute(inputs, target.long() if isinstance(target, torch.Tensor) else target)


class Repairs(Saliency):
    def attribute(self, inputs, target):
        return super().attribute(torch.nan_to_num(inputs, posinf=0.0), target)


class AddsBatchAxis(Saliency):
    def attribute(self, inputs, target):
        return super().attribute(inputs if inputs.ndim == 4 else inputs.unsqueeze(0), target)


METHODS = {
    "bound to another model": (OtherModel, {"check_create", "check_correction"}),
    "settings are not plain": (NotPlain, {"check_settings"}),
    "candidates out of order": (Reversed, {"check_candidates"}),
    "blocks out of order": (ReversedBlocks, {"check_stream"}),
    "blocks too large": (OneBlock, {"check_stream"}),
    "observation of something else": (observing(Forgotten, 1), {"check_observation", "check_observation_select"}),
    "observation selects other rows": (observing(Rows, 0), {"check_observation_select"}),
    "refuses the engine": (NoEngine, {"check_correction"}),
    "a hook is left by a failure": (HookLeftByFailure, {"check_after_failure", "check_after_backward_failure"}),
    "a hook is left by a failing backward pass": (HookLeftByBackward, {"check_after_backward_failure"}),
    "swallows an IndexError": (Swallows, {"check_after_failure", "check_after_backward_failure"}),
    "needs parameters that require gradients": (NeedsTrainable, {"check_frozen_parameters"}),
    "needs grad mode": (
        NeedsGradMode,
        {"check_grad_mode", "check_observation", "check_observation_select", "check_correction"},
    ),
    "clamps the target": (Clamps, {"check_target_range"}),
    "rounds the target": (Rounds, {"check_target_count"}),
    "repairs NaN": (Repairs, {"check_finite_inputs"}),
    "adds the batch axis": (AddsBatchAxis, {"check_input_kind"}),
}


@pytest.mark.parametrize(("made", "expected"), METHODS.values(), ids=METHODS)
def test_a_faulty_method_is_found_by_its_own_check(made, expected):
    assert found_by(backend_of(made)) == expected


def test_a_forward_in_training_mode_is_found():
    assert "check_eval_mode" in found_by(backend_of(AsItIs))


DECLARED = {
    "two methods of one name": ({"methods": lambda self: ("Map", "Map")}, {"check_names"}),
    "a list of methods": ({"methods": lambda self: ["Map"]}, {"check_names"}),
    "information on another method": ({"described": MethodInfo("Other")}, {"check_names"}),
    "declared not class-aware": ({"described": MethodInfo("Map", class_aware=False)}, {"check_class_aware"}),
}


@pytest.mark.parametrize(("attributes", "expected"), DECLARED.values(), ids=DECLARED)
def test_a_false_declaration_is_found(attributes, expected):
    assert found_by(backend_of(Saliency, **attributes)) == expected


def test_what_a_method_cannot_do_is_declared():
    """Random maps and float32 maps are allowed to those who say so."""
    random_maps = backend_of(changed_maps(noise), described=MethodInfo("Map", deterministic=False))
    single = backend_of(changed_maps(CHANGED["never float64"][0]), described=MethodInfo("Map", float64=False))
    assert found_by(random_maps) == set() and found_by(single) == set()


def test_maps_on_another_device_are_found(device):
    if device.type == "cpu":
        pytest.skip("needs a second device: run with --device cuda")
    case = testing.Case(backend_of(changed_maps(lambda self, maps, *_: maps.cpu())), "Map", device=device)
    with pytest.raises(AssertionError, match=r"broken:Map: check_device: maps must be on cuda.*found cpu"):
        testing.check_device(case)


def test_check_backend_lists_every_failure_and_says_what_was_found():
    with pytest.raises(AssertionError) as caught:
        testing.check_backend(backend_of(CHANGED_BELOW))
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 failed:"
    assert "broken:Map: check_range: maps of class 0 must lie in [0, 1], found values from -0.5 to 0.5" in lines


CHANGED_BELOW = changed_maps(CHANGED["below zero"][0])


def test_the_checks_leave_the_random_state_alone():
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    testing.check_backend(Backend())
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()


def test_options_reach_the_method_and_unknown_methods_are_refused():
    with pytest.raises(AssertionError, match=r"unexpected keyword argument 'steps'"):
        testing.check_backend(Backend(), ["Map"], options={"Map": {"steps": 3}})
    with pytest.raises(ValueError, match="methods must be one of 'Map'; got 'map'"):
        testing.iter_checks(Backend(), ["map"])
    with pytest.raises(TypeError, match="backend must be an instance of AttributionBackend"):
        testing.iter_checks(Backend)


def test_every_check_is_in_the_list_once():
    names = [check.__name__ for check in testing.CHECKS]
    public = [
        name for name in vars(testing) if name.startswith("check_") and name not in ("check_backend", "check_choice")
    ]
    assert sorted(names) == sorted(public) and len(set(names)) == len(names)
