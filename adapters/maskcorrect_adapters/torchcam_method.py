"""torchcam behind the contract: its own ``compute_cams`` makes the maps, from a forward that is recorded here.

What its hooks would hold (activations, outputs, the input) is put into the extractor, so that one forward serves all
classes and no hook stays. torchcam scales maps at the layer's resolution; they are upsampled (bilinear,
align_corners=False) and not scaled again, which is what its own overlays show.
"""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torchcam.methods
from torch import Tensor, nn
from torchcam.methods.core import _CAM
from torchcam.methods.gradient import _CAMWrapper, _GradCAM

from maskcorrect_plugin.attribution import MethodInfo, Observation
from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.layers import layer_name

from .arguments import check_options, class_and_object, parameters_of
from .graph_method import GraphMethod, GraphObservation
from .library_method import Solver
from .replay import Replay
from .reshape import Reshape
from .state import check_gradients_possible

RANDOM = (torchcam.methods.SmoothGradCAMpp, torchcam.methods.SSCAM)
LARGE = (torchcam.methods.ISCAM,)
"""Upsamples all channels of all images at once: one image at a time bounds that."""
OWN_BACKWARDS = (torchcam.methods.SmoothGradCAMpp,)
NO_OPTIONS = ("model", "target_layer", "input_shape", "enable_hooks", "reshape_transform")
"""Arguments of the constructors that are given in another way, or that must stay as they are."""


class TorchcamMethod(GraphMethod):
    """One extractor of torchcam.

    Args:
        model: The classifier.
        cls: A class of ``torchcam.methods``, or the user's own extractor.
        info: What is known of it.
        target_layers: Modules or names; None finds one.
        options: For the constructor, and ``comparison_idx`` for FinerCAM's call.
        reshape_transform: As in `make_reshape`.
        seed: Of random numbers.
    """

    def __init__(
        self,
        model: nn.Module,
        cls: Any,
        info: MethodInfo,
        target_layers: Sequence[str | nn.Module] | None,
        options: Mapping[str, Any],
        *,
        reshape_transform: str | Callable[[Tensor], Tensor] | None = "auto",
        seed: int = 0,
    ) -> None:
        self.cls, self.own = class_and_object(cls)
        base = type(getattr(self.own, "base_cam", self.own)) if self.own is not None else self.cls
        wrapper = issubclass(self.cls, _CAMWrapper)
        gradient = issubclass(base, _GradCAM) or (wrapper and self.own is None)
        called = {"comparison_idx"} if issubclass(self.cls, torchcam.methods.FinerCAM) else set()
        known = parameters_of(self.cls.__init__, NO_OPTIONS) | called
        check_options(info.name, options, known, ("reshape_transform", "target_layers", "seed"))
        self.call_options = {key: value for key, value in options.items() if key == "comparison_idx"}
        self.constructor = {key: value for key, value in options.items() if key != "comparison_idx"}
        super().__init__(
            model,
            f"torchcam:{info.name}",
            options,
            target_layers,
            reshape_transform=reshape_transform,
            differentiable=gradient and not issubclass(base, OWN_BACKWARDS),
            class_aware=info.class_aware,
            per_image=issubclass(base, RANDOM + LARGE),
            seed=seed,
        )

    def solver(self, inputs: Tensor, observation: Observation) -> Solver:
        """The library's maps of these images, class by class."""
        if not isinstance(observation, GraphObservation):
            raise ArgumentTypeError("observation must come from this method's own observe()")
        layers = self.layers(inputs)
        replay = Replay(self.model)

        def solve(classes: Tensor) -> Tensor:
            check_classes("target", classes, observation.scores.shape[1])
            extractor = self._extractor(layers, inputs)
            base = getattr(extractor, "base_cam", extractor)
            indices = classes.tolist()
            if self.differentiable:
                return self._by_gradients(extractor, base, observation, indices)
            base.hook_a = observation.activations()
            base._input = inputs
            if isinstance(base, OWN_BACKWARDS):
                check_gradients_possible(self.name)
                _arm(base, layers)
            else:
                base.model = replay.rewind()
            return self._fused(extractor, extractor.compute_cams(indices, observation.scores))

        return solve

    def _by_gradients(self, extractor: Any, base: Any, observation: GraphObservation, indices: list[int]) -> Tensor:
        """The library differentiates the recorded graph; it knows no rows, so maps of the whole batch come back."""
        outputs = observation.outputs()
        base.hook_a = [
            output.detach() if base._reshape_transform is None else base._reshape_transform(output.detach())
            for output in outputs
        ]
        base._hook_outputs = outputs
        maps = extractor.compute_cams(indices, observation.scores, retain_graph=True, **self.call_options)
        fused = self._fused(extractor, maps)
        return fused if observation.rows is None else fused[observation.rows]

    @staticmethod
    def _fused(extractor: Any, maps: list[Tensor]) -> Tensor:
        fused: Tensor = maps[0] if len(maps) == 1 else extractor.fuse_cams(maps)
        return fused.clamp(0, 1)  # fusing LayerCAM's maps takes their tanh

    def _extractor(self, layers: list[nn.Module], inputs: Tensor) -> Any:
        """A fresh extractor, or a copy of the user's own, whose hooks hold nothing."""
        if self.own is not None:
            own = copy.copy(self.own)
            if isinstance(own, _CAMWrapper):
                own.base_cam = copy.copy(own.base_cam)
            return own
        reshape = self.reshape_transform
        if isinstance(reshape, Reshape):
            reshape = reshape.sized(inputs)
        options = dict(self.constructor)
        if issubclass(self.cls, torchcam.methods.CAM) and "fc_layer" not in options:
            linear = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
            options["fc_layer"] = linear[0] if len(linear) == 1 else None
        extractor = self.cls(self.model, list(layers), reshape_transform=reshape, **options)
        extractor.remove_hooks()
        return extractor


def _arm(extractor: Any, layers: list[nn.Module]) -> None:
    """Hooks for an extractor that runs the model itself; `preserved` takes them off again."""
    extractor._hooks_enabled = True
    for index, layer in enumerate(layers):
        layer.register_forward_hook(functools.partial(extractor._hook_a, idx=index))
        layer.register_forward_hook(functools.partial(extractor._hook_g, idx=index))


def create_torchcam(
    model: nn.Module,
    info: MethodInfo,
    target_layers: Sequence[str | nn.Module] | None,
    options: Mapping[str, Any],
    *,
    reshape_transform: str | Callable[[Tensor], Tensor] | None,
    seed: int,
) -> TorchcamMethod:
    """The method of that name."""
    cls = getattr(torchcam.methods, info.name, None)
    if cls is None:
        raise ArgumentError(f"the installed version of torchcam has no {info.name}; upgrade it")
    return TorchcamMethod(model, cls, info, target_layers, options, reshape_transform=reshape_transform, seed=seed)


def adopt_torchcam(obj: Any, model: nn.Module, infos: Mapping[str, MethodInfo]) -> TorchcamMethod | None:
    """The method of a user's own extractor; None if it is not one of this library's."""
    if not isinstance(obj, _CAM | _CAMWrapper):
        return None
    base = getattr(obj, "base_cam", obj)
    if base.model is not model:
        raise ArgumentError("the extractor must be bound to the model that is corrected, not to another one")
    name = type(obj).__name__
    if name == "LeGrad":
        raise ArgumentError("LeGrad objects cannot be taken: they read attention, not a target layer's feature maps")
    info = infos.get(name, MethodInfo(name))
    layers = [base.submodule_dict[layer] for layer in base.target_names]
    return TorchcamMethod(
        model, obj, info, [layer_name(model, layer) for layer in layers], {}, reshape_transform=base._reshape_transform
    )
