"""pytorch-grad-cam behind the contract: its own code makes the maps, from activations and gradients recorded here.

The library's classes work in three steps: a forward and a backward pass with hooks, the map of each layer
(``compute_cam_per_layer``), and their mean (``aggregate_multi_layers``). The last two are called as they are; the first
is ours, so that one forward serves all classes and no hook stays. FullGrad, ShapleyCAM and augmentation smoothing are
run whole, once per class.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_grad_cam import AblationCAM, FinerCAM, FullGrad, RandomCAM, ScoreCAM, ShapleyCAM
from pytorch_grad_cam.ablation_layer import AblationLayer, AblationLayerVit
from pytorch_grad_cam.base_cam import BaseCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, FinerWeightedTarget
from torch import Tensor, nn

from maskcorrect_plugin.attribution import MethodInfo, Observation
from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.functional import scale_maps

from .arguments import check_options, class_and_object, parameters_of
from .grad_cam_hooks import OnDemand, Recorded, silent
from .graph_method import GraphMethod, GraphObservation
from .library_method import Solver
from .replay import Replay
from .reshape import Reshape
from .state import check_gradients_possible

CLOSEST = (1, 2, 3)
"""FinerCAM compares with the three classes of closest score, as the library does by default."""

CALL_OPTIONS: dict[Any, tuple[str, ...]] = {FinerCAM: ("alpha", "comparison_categories"), ScoreCAM: ("batch_size",)}
"""Options of a class that its constructor does not take."""
ALWAYS = ("eigen_smooth", "aug_smooth", "reshape_transform", "target_layers", "seed")


class GradCamMethod(GraphMethod):
    """One CAM class of pytorch-grad-cam.

    Args:
        model: The classifier.
        cls: The class, or the user's own object.
        info: What is known of it.
        target_layers: Modules or names; None finds one.
        options: For the constructor, and those of `CALL_OPTIONS`.
        reshape_transform: As in `make_reshape`.
        eigen_smooth: The library's own smoothing by the first principal component.
        aug_smooth: The library's own test-time augmentation.
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
        eigen_smooth: bool = False,
        aug_smooth: bool = False,
        seed: int = 0,
    ) -> None:
        self.cls, self.own = class_and_object(cls)
        self.smoothing = {"eigen_smooth": bool(eigen_smooth), "aug_smooth": bool(aug_smooth)}
        self.whole = issubclass(self.cls, FullGrad | ShapleyCAM) or aug_smooth
        if aug_smooth and issubclass(self.cls, FinerCAM):
            raise ArgumentError("aug_smooth must be False for FinerCAM: the library has none for it")
        called = CALL_OPTIONS.get(self.cls, ())
        known = {*parameters_of(self.cls.__init__, ("model", "target_layers", "reshape_transform")), *called}
        check_options(info.name, options, known, ALWAYS)
        self.call_options = {key: value for key, value in options.items() if key in called}
        self.constructor = {key: value for key, value in options.items() if key not in called}
        super().__init__(
            model,
            f"pytorch_grad_cam:{info.name}",
            {**options, **{key: value for key, value in self.smoothing.items() if value}},
            target_layers,
            reshape_transform=reshape_transform,
            differentiable=not self.whole and info.backwards != "0",
            class_aware=info.class_aware,
            per_image=issubclass(self.cls, RandomCAM | ScoreCAM),  # ScoreCAM makes all masked images of a batch at once
            half=not self.whole,
            requires_grad=issubclass(self.cls, ShapleyCAM),
            seed=seed,
        )

    def layers(self, inputs: Tensor) -> list[nn.Module]:
        """The target layers; FullGrad has none of its own choice."""
        return [] if issubclass(self.cls, FullGrad) else super().layers(inputs)

    def run_observed(self, inputs: Tensor) -> Observation:
        """The forward that nobody else ran; none for methods that run their own."""
        return Observation() if self.whole else super().run_observed(inputs)

    def solver(self, inputs: Tensor, observation: Observation) -> Solver:
        """The library's maps of these images, class by class."""
        layers = self.layers(inputs)
        if self.whole:
            return lambda classes: self._run_whole(layers, inputs, classes)
        if not isinstance(observation, GraphObservation):
            raise ArgumentTypeError("observation must come from this method's own observe()")
        replay = Replay(self.model)
        activations, scores = observation.activations(), observation.scores
        made: list[Any] = []

        def solve(classes: Tensor) -> Tensor:
            check_classes("target", classes, scores.shape[1])
            targets = self._targets(scores, classes)
            gradients = activations  # methods without gradients look at their shape at most
            if self.differentiable:
                loss = torch.stack([target(row) for target, row in zip(targets, scores, strict=True)]).sum()
                gradients = observation.gradients(loss)
            if not made:
                made.append(self._library_object(layers, inputs))
            cam = made[0]
            cam.model = replay.rewind()
            cam.activations_and_grads = Recorded(activations, gradients)
            with silent():
                per_layer = cam.compute_cam_per_layer(inputs, targets, self.smoothing["eigen_smooth"])
                return scale_maps(torch.from_numpy(cam.aggregate_multi_layers(per_layer)))

        return solve

    def _run_whole(self, layers: list[nn.Module], inputs: Tensor, classes: Tensor) -> Tensor:
        check_gradients_possible(self.name)
        cam = self._library_object(layers, inputs)
        cam.activations_and_grads = OnDemand(cam.activations_and_grads, cam.target_layers)
        leaf = inputs.to(next(self.model.parameters()).dtype).clone().requires_grad_()
        with silent():
            maps = cam(leaf, self._targets(None, classes), **self.smoothing)
        return scale_maps(torch.from_numpy(maps))

    def _library_object(self, layers: list[nn.Module], inputs: Tensor) -> Any:
        """A fresh object of the library, or a copy of the user's own, without hooks; FinerCAM's base instead of it."""
        if self.own is not None:
            return copy.copy(getattr(self.own, "base_cam", self.own))
        reshape = self.reshape_transform
        options = dict(self.constructor)
        if isinstance(reshape, Reshape):
            reshape = reshape.sized(inputs)
        if issubclass(self.cls, AblationCAM):  # the library's default is one object for everybody
            options.setdefault("ablation_layer", AblationLayer() if reshape is None else AblationLayerVit())
        with silent():
            cam = self.cls(self.model, layers, reshape_transform=reshape, **options)
        cam = getattr(cam, "base_cam", cam)
        cam.activations_and_grads = OnDemand(cam.activations_and_grads, cam.target_layers)
        if "batch_size" in self.call_options:
            cam.batch_size = self.call_options["batch_size"]
        return cam

    def _targets(self, scores: Tensor | None, classes: Tensor) -> list[Any]:
        if scores is None or not issubclass(self.cls, FinerCAM):
            return [ClassifierOutputTarget(int(index)) for index in classes]
        categories = self.call_options.get("comparison_categories") or CLOSEST
        distance = (scores.detach() - scores.detach().gather(1, classes.unsqueeze(1))).abs()
        order = distance.argsort(dim=1, stable=True).tolist()
        alpha = self.call_options.get("alpha", 1)
        return [FinerWeightedTarget(row[0], [row[at] for at in categories if at < len(row)], alpha) for row in order]


def adopt_grad_cam(obj: Any, model: nn.Module, infos: Mapping[str, MethodInfo]) -> GradCamMethod | None:
    """The method of a user's own object; None if it is not one of this library's."""
    if not isinstance(obj, BaseCAM | FinerCAM):
        return None
    base = getattr(obj, "base_cam", obj)
    if base.model is not model:
        raise ArgumentError("the CAM object must be bound to the model that is corrected, not to another one")
    if not isinstance(base.activations_and_grads, OnDemand):
        base.activations_and_grads = OnDemand(base.activations_and_grads, base.target_layers)
    known = [info for info in infos.values() if info.name == type(obj).__name__]
    gradients = "K" if getattr(base, "uses_gradients", True) else "0"
    info = known[0] if known else MethodInfo(type(obj).__name__, backwards=gradients, float64=False)
    reshape = base.activations_and_grads.reshape_transform
    return GradCamMethod(model, obj, info, list(base.target_layers), {}, reshape_transform=reshape)
