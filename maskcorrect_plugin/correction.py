"""`ProbabilityCorrector`: the method of `functional`, run on a model with any attribution method."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from . import functional
from .attribution import AttributionMethod, Observation
from .checks import check_number
from .corrector import Corrector, Group, SecondAnswers
from .errors import ArgumentError
from .registry import create_attribution
from .results import KEEP, CorrectionResult
from .views import View, make_view

__all__ = ["KEEP", "MAPS_AT_ONCE", "CorrectionResult", "ProbabilityCorrector"]

MAPS_AT_ONCE = 64
"""Maps at input resolution held at a time; those of more candidates are made block by block."""


def maps_per_block(images: int) -> int:
    """How many candidates of each of so many images are done at a time."""
    return max(1, MAPS_AT_ONCE // images)


class ProbabilityCorrector(Corrector):
    """Corrects a classifier's probabilities with what it says to its own masked inputs (Maeng and Baek).

    As a module it is a drop-in for the model: `forward` gives the log of the corrected probabilities.

    Args:
        model: Any classifier from inputs (N,C,H,W) to class scores (N,M). It is run in eval mode and left as it was.
        method: The attribution method, by name or object: see `create_attribution`.
        target_layer: A module or its name; None finds it at the first call.
        top_k: ``K``, from 1 to M: the candidates.
        threshold: Map values at or below it are hidden (mask view) or outside the box (crop view). In [0, 1).
        view: ``"mask"`` (the paper), ``"crop"``, or a `View`.
        fill: What a mask shows instead: ``"zero"`` (the paper), ``"black"``, ``"mean"``, ``"blur"`` or a tensor.
        vote: ``"distribution"`` (the paper) or ``"diagonal"``: only what the model says of ``c_k`` on ``M_k`` counts.
        weights: ``"probs"`` (the paper's ``Y[c_k]``) or ``"uniform"`` (``1/K``).
        max_gap: Correct only images with ``gap < max_gap``; None corrects all. The paper reports on 0.5.
        output: ``"logits"`` if the model returns logits, ``"probs"`` if it returns distributions.
        mean: Mean of the input normalisation, for ``fill="black"``.
        std: Standard deviation of the input normalisation, for ``fill="black"``.
        batch_size: Inputs per forward, or ``"auto"``.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        channels_last: Hand inputs over in channels_last memory format; ``"auto"`` tries both in long runs.
        compile: `torch.compile` the model for the many passes; ``"auto"`` does so once their number repays it.
        **method_options: The method's own options, for example ``preset="grad_cam"``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        ...                           torch.nn.Flatten(), torch.nn.Linear(4, 3))
        >>> result = ProbabilityCorrector(net, "ScoreCAM", target_layer="1", top_k=2).correct(torch.rand(5, 3, 16, 16))
        >>> result.corrected_probs.shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        model: nn.Module,
        method: Any = "ScoreCAM",
        target_layer: str | nn.Module | None = None,
        top_k: int = 5,
        threshold: float = 0.1,
        view: str | View = "mask",
        fill: str | Tensor = "zero",
        vote: str = "distribution",
        weights: str = "probs",
        max_gap: float | None = None,
        output: str = "logits",
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        batch_size: int | str = "auto",
        precision: str = "float32",
        channels_last: bool | str = "auto",
        compile: bool | str = False,
        **method_options: Any,
    ) -> None:
        super().__init__(
            model,
            top_k=top_k,
            vote=vote,
            weights=weights,
            max_gap=max_gap,
            output=output,
            batch_size=batch_size,
            precision=precision,
            channels_last=channels_last,
            compile=compile,
        )
        self.threshold = check_number("threshold", threshold, 0, 1)
        self.view = make_view(view, threshold, fill, mean, std)
        self.method: AttributionMethod = create_attribution(method, model, target_layer, **method_options)
        if self.method.model is not model:
            raise ArgumentError("method must be bound to the model that is corrected, but it is bound to another one")
        self.method.use_engine(self.engine)
        self._fill_name = fill if isinstance(fill, str) else "tensor"

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images, as plain values."""
        view = {"view": self.view.name, "threshold": getattr(self.view, "threshold", None), "fill": self._fill_name}
        return {**self.method.settings, **super().settings, **view}

    @property
    def num_views(self) -> int:
        """One view for each candidate."""
        return self.top_k

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """The method watches the forward that finds the candidates, so that it need not run its own."""
        self.method.use_engine(self.engine)  # again: a method given as an object may serve several correctors
        return self.method.observe(inputs)

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to each candidate's masked input ``M_k``, block by block."""
        weights = functional.candidate_weights(group.probs, group.candidates, self.weights)
        prepared = self.view.prepare(group.inputs)
        start = 0
        for coarse, maps in self.stream_maps(group):
            columns = slice(start, start + maps.shape[1])
            start = columns.stop
            maps, flat = functional.zero_where_flat(maps)
            masked_probs = self.ask_about_maps(group.inputs, maps, prepared)
            yield SecondAnswers(weights[:, columns], masked_probs, flat, maps, coarse, group.candidates[:, columns])

    def stream_maps(self, group: Group) -> Iterator[tuple[Tensor | None, Tensor]]:
        """The map of each candidate, block by block. Controls put other maps in their place.

        Yields:
            Coarse maps (n,k,h,w) as the method makes them, or None, and maps (n,k,H,W) in [0, 1].
        """
        size, block = functional.spatial_size(group.inputs), maps_per_block(len(group))
        for coarse in self.method.stream_coarse(group.inputs, group.candidates, group.observation, block):
            yield coarse, self.method.render(coarse, size)

    def ask_about_maps(self, inputs: Tensor, maps: Tensor, prepared: Tensor | None) -> Tensor:
        """What the model says to each image as the view shows it by each map.

        Args:
            inputs: Tensor (n,C,H,W).
            maps: Tensor (n,v,H,W) in [0, 1].
            prepared: What ``view.prepare(inputs)`` gave.

        Returns:
            ``P``, (n,v,M).
        """
        shared = prepared is not None and len(prepared) == 1 != len(inputs)

        def make_views(rows: Tensor, views: Tensor) -> Tensor:
            extra = prepared if prepared is None or shared else prepared[rows]
            return self.view.render(inputs[rows], maps[rows, views], extra)

        return self.ask_again(inputs, maps.shape[1], make_views)
