"""Captum behind the contract: its own ``attribute`` makes the values, a documented reduction makes maps of them.

Values (N,C,h,w) become maps by one of two signs: ``"positive"`` sums over colour channels and keeps what is above zero,
evidence for the class; ``"absolute"`` sums absolute values, importance in either direction. Layer-level values are
upsampled (bilinear, align_corners=False), and every map is min-max scaled at the inputs' resolution.
"""

import copy
import functools
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import captum.attr
import torch
from captum.attr import Attribution, LayerAttribution
from torch import Tensor, nn

from maskcorrect_plugin.attribution import MethodInfo, Observation
from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError, LayerError
from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.inference import first_tensor
from maskcorrect_plugin.layers import get_layer, layer_name

from .arguments import check_options, class_and_object, parameters_of
from .captum_defaults import SIGNS, default_options
from .captum_lrp import prepare_for_lrp
from .library_method import LibraryMethod, Solver, scaled
from .replay import Replay
from .reshape import find_layer
from .state import check_gradients_possible, kept_tensors

RANDOM = (captum.attr.NoiseTunnel, captum.attr.GradientShap)
WITH_LAYER = (captum.attr.LayerGradCam, captum.attr.GuidedGradCam)
NO_OPTIONS = ("inputs", "target", "return_convergence_delta")
"""Arguments of ``attribute`` that are not the user's to give."""


class SharedForward:
    """A ``gradient_func`` for Captum's gradient methods that keeps the graph of one forward for all classes."""

    def __init__(self) -> None:
        self._scores: Tensor | None = None

    def __call__(self, forward_fn: Any, inputs: tuple[Tensor, ...], target_ind: Any = None, *_: Any) -> Any:
        """Gradients of the targets' scores with respect to the inputs, which must be the same tensors each time."""
        if self._scores is None:
            self._scores = forward_fn(*inputs)
        loss = self._scores.gather(1, target_ind.unsqueeze(1)).sum()
        return torch.autograd.grad(loss, inputs, retain_graph=True)


class CaptumMethod(LibraryMethod):
    """One attribution method of Captum.

    Args:
        model: The classifier.
        cls: A class of ``captum.attr``, or the user's own object.
        info: What is known of it.
        target_layer: For layer methods given by class: a module or its name; None finds it.
        options: For ``attribute``.
        sign: ``"positive"``, ``"absolute"``, or None for the method's own.
        base: For NoiseTunnel given by class: the class that it wraps.
        seed: Of random numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        cls: Any,
        info: MethodInfo,
        target_layer: str | nn.Module | None,
        options: Mapping[str, Any],
        *,
        sign: str | None = None,
        base: type | None = None,
        seed: int = 0,
    ) -> None:
        self.cls, self.own = class_and_object(cls)
        wraps = issubclass(self.cls, captum.attr.NoiseTunnel)
        self.base: Any = base if self.own is None or not wraps else type(cls.attribution_method)
        inner: Any = self.base if wraps else self.cls
        self.sign = check_choice("sign", sign or SIGNS.get(inner.__name__, "positive"), ("positive", "absolute"))
        self._layer = None if target_layer is None else get_layer(model, target_layer)
        layer = getattr(self.own, "layer", None)
        if isinstance(layer, nn.Module):
            self._layer = get_layer(model, layer)
        takes = [parameters_of(kind.attribute, NO_OPTIONS) for kind in {self.cls, inner}]
        check_options(info.name, options, set().union(*takes), ("sign", "seed"))
        super().__init__(
            model,
            f"captum:{info.name}",
            options if not wraps else {"base": inner.__name__, **options},
            class_aware=info.class_aware,
            per_image=issubclass(self.cls, RANDOM) or issubclass(inner, RANDOM),
            seed=seed,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """Name, options, sign, and the target layer where there is one."""
        layer = {} if self._layer is None else {"target_layer": layer_name(self.model, self._layer)}
        return {**super().settings, "sign": self.sign, **layer}

    def solver(self, inputs: Tensor, observation: Observation) -> Solver:
        """The library's maps of these images, class by class."""
        inner = self.base if issubclass(self.cls, captum.attr.NoiseTunnel) else self.cls
        if issubclass(inner, WITH_LAYER) and self._layer is None:
            self._layer = get_layer(self.model, find_layer(self.model, inputs))
        reference = first_tensor(self.model)
        leaf = inputs.clone() if reference is None else inputs.to(reference.dtype, copy=True)
        options = {**default_options(self.cls.__name__, leaf), **self.options_for_attribute()}
        if inner is not self.cls:
            options = {**default_options(inner.__name__, leaf), **options}
        perturbs = self.cls in (captum.attr.Occlusion, captum.attr.FeatureAblation)
        if not perturbs:
            check_gradients_possible(self.name)
        replay, shared = Replay(self.model), SharedForward()
        propagates = issubclass(inner, captum.attr.LRP)

        def solve(classes: Tensor) -> Tensor:
            method = self._library_object(replay.rewind() if perturbs else self.model)
            if self.cls in (captum.attr.Saliency, captum.attr.InputXGradient):
                method.gradient_func = shared
            if propagates:
                prepare_for_lrp(self.model)
            with warnings.catch_warnings(), kept_tensors(self.model, propagates):
                warnings.filterwarnings("ignore", module=r"captum\.")  # it tells of its hooks at every call
                values = method.attribute(leaf.requires_grad_(not perturbs), target=classes, **options)
            return self._maps(values[0] if isinstance(values, tuple) else values, spatial_size(inputs))

        return solve

    def options_for_attribute(self) -> dict[str, Any]:
        """The user's arguments for ``attribute``; lists, as texts and files have them, as the tuples that it takes."""
        return {key: as_tuples(value) for key, value in self.options.items() if key != "base"}

    def _library_object(self, model: nn.Module) -> Any:
        if self.own is not None:
            own = copy.copy(self.own)
            if model is not self.model:
                own.forward_func = model
            return own
        arguments = (self._layer,) if issubclass(self.cls, WITH_LAYER) else ()
        if issubclass(self.cls, captum.attr.NoiseTunnel):
            arguments = (self._layer,) if issubclass(self.base, WITH_LAYER) else ()
            return self.cls(self.base(model, *arguments))
        return self.cls(model, *arguments)

    def _maps(self, values: Tensor, size: tuple[int, int]) -> Tensor:
        if not isinstance(values, Tensor) or values.ndim != 4:
            given = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise LayerError(f"{self.name} must give values (N,C,h,w) to make maps of, but it gives {given}")
        values = values.detach().to(torch.promote_types(values.dtype, torch.float32))
        summed = values.abs().sum(dim=1) if self.sign == "absolute" else values.sum(dim=1).relu()
        return scaled(summed, size)


def create_captum(
    model: nn.Module,
    info: MethodInfo,
    target_layer: str | nn.Module | None,
    options: Mapping[str, Any],
    *,
    sign: str | None,
    base: str,
    seed: int,
) -> CaptumMethod:
    """The method of that name."""
    wraps = info.name == "NoiseTunnel"
    bases = tuple(name for name in (*SIGNS, "LayerGradCam") if name != "LRP")
    inner = getattr(captum.attr, check_choice("base", base, bases)) if wraps else None
    cls = getattr(captum.attr, info.name)
    return CaptumMethod(model, cls, info, target_layer, options, sign=sign, base=inner, seed=seed)


def adopt_captum(obj: Any, model: nn.Module, infos: Mapping[str, MethodInfo]) -> CaptumMethod | None:
    """The method of a user's own object, bound ``attribute`` or partial of it; None if it is none of Captum's."""
    options: dict[str, Any] = {}
    positional: tuple[Any, ...] = ()
    while isinstance(obj, functools.partial):
        options, positional, obj = {**obj.keywords, **options}, obj.args or positional, obj.func
    if inspect.ismethod(obj) and obj.__name__ == "attribute":
        obj = obj.__self__
    if not isinstance(obj, Attribution):
        return None
    if positional:
        raise ArgumentError("the arguments of the attribution's partial must be given by name, as in n_steps=20")
    if "target" in options:
        raise ArgumentError("target must be left out of the attribution's arguments: the candidates are its targets")
    if getattr(obj, "forward_func", None) is not model:
        raise ArgumentError("the attribution object must be bound to the model itself, not to another forward_func")
    name = type(obj).__name__
    known = infos.get(name, MethodInfo(name))
    if isinstance(obj, LayerAttribution) and not isinstance(obj.layer, nn.Module):
        raise ArgumentError(f"{name} must have a single layer, got {type(obj.layer).__name__}")
    return CaptumMethod(model, obj, known, None, options)


def as_tuples(value: Any) -> Any:
    """Lists, also inside one another, as tuples."""
    return tuple(as_tuples(item) for item in value) if isinstance(value, list | tuple) else value
