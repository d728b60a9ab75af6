"""What all methods of other libraries share: the contract around the library's own computation."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import Observation
from maskcorrect_plugin.checks import check_candidates, check_classes, check_inputs
from maskcorrect_plugin.describing import describe
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.functional import is_flat, scale_maps, spatial_size, upsample
from maskcorrect_plugin.inference import PassEngine, class_scores, first_tensor

from .state import preserved, seeded
from .streaming import StreamingMethod

Solver = Callable[[Tensor], Tensor]
"""From classes (n,) int64 to the maps (n,h,w) of n images."""


class LibraryMethod(StreamingMethod):
    """A method of another library, with the contract kept around it.

    Args:
        model: The classifier.
        name: What it is called in records, ``"library:Class"``.
        options: Its options, for records.
        class_aware: False computes the map once and shares it among all candidates.
        per_image: One image at a time: for methods that draw random numbers, and for libraries whose maps depend on the
            batch.
        half: Whether the library works with float16 and bfloat16 models.
        requires_grad: Whether the library needs parameters that require gradients.
        seed: Where random numbers start, for each image and class anew.
    """

    def __init__(
        self,
        model: nn.Module,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        class_aware: bool = True,
        per_image: bool = False,
        half: bool = True,
        requires_grad: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(model)
        self.name = name
        self.options = dict(options or {})
        self.class_aware = class_aware
        self.per_image = per_image
        self.half = half
        self.requires_grad = requires_grad
        self.seed = seed
        self.engine = PassEngine(model, channels_last=False)  # to the last bit what the library would see

    def use_engine(self, engine: PassEngine) -> None:
        """Runs the forwards that are ours on the corrector's engine; the library runs its own as it likes."""
        self.engine = engine

    @property
    def settings(self) -> dict[str, Any]:
        """Name and options, as `describe` puts them; the seed where it is not 0."""
        seed = {"seed": self.seed} if self.seed else {}
        return {"method": self.name, **describe(self.options), **seed}

    @abstractmethod
    def solver(self, inputs: Tensor, observation: Observation) -> Solver:
        """A function that gives the library's maps of these images for one class each.

        It is called once for each candidate, inside `preserved` and from the same seed; work that serves all classes
        is kept between its calls.

        Args:
            inputs: Tensor (n,C,H,W) on the model's device, in at least float32.
            observation: What `observe` kept, for these images.
        """

    def run_observed(self, inputs: Tensor) -> Observation:
        """Runs the forward that nobody else ran; methods that keep nothing of it run none."""
        return Observation()

    def stream_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The same in blocks of candidates; what serves all classes is done once, before the first block."""
        check_inputs(inputs)
        device = inputs.device
        inputs = self.engine.place(inputs)
        candidates = check_candidates(candidates, len(inputs)).to(inputs.device)
        self._check_precision()
        if observation is None or type(observation) is Observation:
            observation = self.run_observed(inputs)
        parts = [slice(row, row + 1) for row in range(len(inputs))] if self.per_image else [slice(0, len(inputs))]
        rows = torch.arange(len(inputs), device=inputs.device)
        solvers = [self.solver(inputs[part], observation.select(rows[part])) for part in parts]

        def column_maps(classes: Tensor) -> Tensor:
            solved = [
                self._solve(solve, inputs[part], classes[part]) for part, solve in zip(parts, solvers, strict=True)
            ]
            return torch.cat(solved).to(device)

        shared = None if self.class_aware else column_maps(candidates[:, 0])
        for columns in torch.split(candidates, block, dim=1):
            if shared is not None:
                yield shared.unsqueeze(1).expand(-1, columns.shape[1], -1, -1)
            else:
                yield torch.stack([column_maps(classes) for classes in columns.unbind(dim=1)], dim=1)

    def _solve(self, solve: Solver, inputs: Tensor, classes: Tensor) -> Tensor:
        """Maps (n,H,W) in [0, 1] of one class for each image, with the model preserved."""
        reference = first_tensor(self.model)

        def cast_inputs(_module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
            # Libraries add noise or masks in float32, which a bfloat16 model does not take.
            dtype = None if reference is None else reference.dtype
            return tuple(
                value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
                for value in arguments
            )

        def check_output(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
            scores: Tensor = getattr(output, "logits", output)
            self.engine.passes += len(scores)
            check_classes("target", classes, class_scores(scores, len(scores)).shape[1])
            return scores  # an output object becomes a tensor, which is all that libraries understand

        with preserved(self.model, requires_grad=self.requires_grad), seeded(self.seed, inputs.device):
            self.model.register_forward_pre_hook(cast_inputs)  # both are gone after this block, as every other hook
            self.model.register_forward_hook(check_output)
            maps = solve(classes).detach().to(inputs.device)
        return finished(maps, spatial_size(inputs)).to(inputs.dtype)

    def _check_precision(self) -> None:
        reference = first_tensor(self.model)
        if not self.half and reference is not None and reference.dtype in (torch.float16, torch.bfloat16):
            raise ArgumentError(
                f"{self.name} cannot work with a {reference.dtype} model, because its library computes in NumPy; use "
                "a float32 model (precision='bfloat16' of the corrector then still speeds up the re-evaluation)"
            )


def scaled(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """Coarse maps (n,h,w) upsampled (bilinear, align_corners=False) and then min-max scaled at (H,W).

    A constant map is found before upsampling, whose rounding errors would otherwise be scaled up to a map.
    """
    flat = is_flat(coarse)[:, None, None]
    maps = upsample(torch.where(flat, 0, coarse).unsqueeze(1), size).squeeze(1)
    return torch.where(flat, 0, scale_maps(maps))


def finished(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (n,h,w), already scaled, at (H,W) in [0, 1]; maps without information become zero."""
    maps = upsample(maps.unsqueeze(1), size).squeeze(1)
    return torch.where(is_flat(maps)[:, None, None], 0, maps).clamp(0, 1)
