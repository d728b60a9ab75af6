"""Score-CAM as a Captum class, and as this package's native attribution method."""

from typing import Any

import torch
from captum.attr import LayerAttribution, PerturbationAttribution
from captum.log import log_usage
from torch import Tensor, nn

from maskcorrect_plugin.checks import check_choice, check_inputs, check_int, check_target
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, ModelOutputError
from maskcorrect_plugin.feature_maps import FeatureMaps, recorded
from maskcorrect_plugin.functional import at_least_float32, spatial_size
from maskcorrect_plugin.inference import PassEngine, evaluation_mode

from .layer_method import LayerMethod
from .masked_inputs import MaskedInputs
from .passes import channel_weights, masked_passes
from .presets import PRESETS


class ScoreCAM(LayerAttribution, PerturbationAttribution):  # type: ignore[misc]  # captum is untyped here
    """Score-CAM (Wang et al., CVPRW 2020, arXiv 1910.01279) in Captum's interface.

    At a layer with activations ``A_k``: masks ``H_k = minmax(upsample(A_k))``, weights ``alpha_k = f(X *
    H_k)[target]``, map ``minmax(relu(upsample(sum_k alpha_k A_k)))``. No gradients. The masked passes of all images of
    a batch are packed together.

    Args:
        forward_func: The model, or any callable from inputs to class scores (N,M). A module is run in eval mode and
            left as it was; any other callable is responsible for its own mode.
        layer: The module whose output gives the masks, with feature maps (N,C,h,w).
        device_ids: For Captum's signature; models replicated by DataParallel are not supported.
        preset: Which definition of Score-CAM: ``"official"``, ``"grad_cam"``, ``"torchcam"`` or ``"paper_v2"``.
        output: ``"logits"`` if `forward_func` returns logits, ``"probs"`` if it returns distributions.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        max_masks: Channels of an image that are asked about, at most: those that matter most to its map. The weights
            of the others are estimated, see `budget`. None is exact.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        >>> ScoreCAM(net, net[1]).attribute(torch.rand(2, 3, 16, 16), target=0).shape
        torch.Size([2, 1, 16, 16])
    """

    def __init__(
        self,
        forward_func: Any,
        layer: nn.Module,
        device_ids: list[int] | None = None,
        *,
        preset: str = "official",
        output: str = "logits",
        precision: str = "float32",
        max_masks: int | None = None,
    ) -> None:
        if not callable(forward_func):
            raise ArgumentTypeError(f"forward_func must be callable, got {type(forward_func).__name__}")
        if not isinstance(layer, nn.Module):
            raise ArgumentTypeError(f"layer must be a torch.nn.Module, got {type(layer).__name__}")
        LayerAttribution.__init__(self, forward_func, layer, device_ids)
        self.preset = PRESETS[check_choice("preset", preset, tuple(PRESETS))]
        self.max_masks = _check_max_masks(max_masks)
        self.engine_options: dict[str, Any] = {"output": output, "precision": precision}
        PassEngine(forward_func, **self.engine_options)  # checks the options now

    @log_usage()  # type: ignore[untyped-decorator]
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: int | Tensor | list[int] | None = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int | str = "auto",
        show_progress: bool = False,
    ) -> Tensor | tuple[Tensor, ...]:
        """The map of one class for each image.

        Args:
            inputs: Tensor (N,C,H,W), or a tuple of such tensors, which are all masked, each at its own size.
            target: The class: one int for all images, or N of them; None only for a model with a single score per
                image.
            additional_forward_args: Further arguments of `forward_func`. Tensors whose first axis is N go along row by
                row.
            perturbations_per_eval: Masked inputs per forward, or ``"auto"``.
            show_progress: Show a progress bar.

        Returns:
            Tensor (N,1,H,W) in [0, 1] on the inputs' device, or a tuple of them, one for each tensor of a tuple. A map
            without information is all zero.
        """
        images = inputs if isinstance(inputs, tuple) else (inputs,)
        for image in images:
            check_inputs(image)
            if len(image) != len(images[0]):
                raise ArgumentError(f"inputs must hold equally many images, got {len(images[0])} and {len(image)}")
        engine = PassEngine(self.forward_func, batch_size=perturbations_per_eval, **self.engine_options)
        placed = tuple(engine.place(image) for image in images)
        arguments = _as_tuple(additional_forward_args)
        with evaluation_mode(self.forward_func):
            with recorded(self.layer, type(self.layer).__name__) as observation:
                scores = engine.scores(*placed, *arguments)
            candidates = self._candidates(target, scores)
            make_batch = MaskedInputs(placed, arguments, self.preset, engine.memory_format)
            weights = channel_weights(
                engine,
                observation.maps,
                candidates,
                self.preset,
                make_batch,
                placed[0],
                max_masks=self.max_masks,
                show_progress=show_progress,
            )
        coarse = weighted_sum(weights, observation.maps)
        maps = tuple(self.preset.render(coarse, spatial_size(image)).to(image.device) for image in images)
        return maps if isinstance(inputs, tuple) else maps[0]

    def _candidates(self, target: Any, scores: Tensor) -> Tensor | None:
        num_classes = scores.shape[1]
        if target is not None:
            return check_target(target, len(scores), num_classes).to(scores.device).unsqueeze(1)
        if num_classes != 1:
            raise ArgumentError(f"target must be given: the model has {num_classes} classes")
        return None


def _check_max_masks(max_masks: int | None) -> int | None:
    return None if max_masks is None else check_int("max_masks", max_masks, 1)


def _as_tuple(arguments: Any) -> tuple[Any, ...]:
    if arguments is None:
        return ()
    return arguments if isinstance(arguments, tuple) else (arguments,)


def weighted_sum(weights: Tensor, activations: Tensor) -> Tensor:
    """``sum_k alpha_k A_k``: weights (N,C,K) and activations (N,C,h,w) to (N,K,h,w)."""
    activations = at_least_float32(activations)
    return torch.einsum("nck,nchw->nkhw", weights.to(activations.dtype), activations)


class ScoreCAMMethod(LayerMethod):
    """Native Score-CAM for the corrector: all candidates by one set of passes, ``C`` forwards per image for any K.

    Args:
        model: The classifier.
        target_layer: A module or its name; None finds it at the first call.
        preset: As in `ScoreCAM`.
        max_masks: As in `ScoreCAM`: with it, at most that many forwards per image.
        show_progress: Show a progress bar over the passes.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: str | nn.Module | None = None,
        *,
        preset: str = "official",
        max_masks: int | None = None,
        show_progress: bool = False,
    ) -> None:
        super().__init__(model, target_layer)
        self.preset = PRESETS[check_choice("preset", preset, tuple(PRESETS))]
        self.max_masks = _check_max_masks(max_masks)
        self.show_progress = show_progress

    @property
    def settings(self) -> dict[str, Any]:
        """The method's name, target layer, preset and budget of masks."""
        own = {"method": "ScoreCAM", "preset": self.preset.name, "max_masks": self.max_masks}
        return {**super().settings, **own}

    def coarse_candidates(self, inputs: Tensor, candidates: Tensor, observation: FeatureMaps) -> Tensor:
        """``sum_k alpha_k A_k`` for each candidate, (N,K,h,w)."""
        make_batch = MaskedInputs((inputs,), (), self.preset, self.engine.memory_format)
        weights = channel_weights(
            self.engine,
            observation.maps,
            candidates,
            self.preset,
            make_batch,
            inputs,
            max_masks=self.max_masks,
            show_progress=self.show_progress,
        )
        observation.forwards = masked_passes(observation.maps, self.preset, self.max_masks)
        return weighted_sum(weights, observation.maps)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (N,K,H,W) in [0, 1]."""
        return self.preset.render(coarse, size)


def adopt_score_cam(obj: ScoreCAM, model: nn.Module) -> ScoreCAMMethod:
    """The method of a user's own `ScoreCAM` object, with its layer, preset, budget, output and precision."""
    if obj.forward_func is not model:
        raise ModelOutputError(
            "the ScoreCAM object must be bound to the model itself, but its forward_func is something else"
        )
    method = ScoreCAMMethod(model, obj.layer, preset=obj.preset.name, max_masks=obj.max_masks)
    method.use_engine(PassEngine(model, **obj.engine_options))
    return method
