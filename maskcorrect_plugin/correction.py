"""`ProbabilityCorrector`: the method of `functional`, run on a model with any attribution method."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from . import functional
from .attribution import AttributionMethod, Observation
from .checks import check_choice, check_inputs, check_int, check_number
from .errors import ArgumentError, ArgumentTypeError
from .inference import PassEngine, check_finite_scores, evaluation_mode
from .registry import create_attribution
from .views import View, make_view

KEEP = ("attributions", "masked_probs")
MAPS_AT_ONCE = 64
"""Maps at input resolution held at a time; those of more candidates are made block by block."""


@dataclass(frozen=True)
class CorrectionResult:
    """What the correction did to N images, with M classes and K candidates. All tensors are on the model's device.

    Attributes:
        probs: ``Y``, (N,M): the model's own distribution.
        candidates: (N,K) int64: the most probable classes, most probable first.
        correction: ``R``, (N,M); zero where nothing was corrected.
        corrected_probs: ``(Y + R)`` divided by its sum, (N,M).
        gap: ``Y[c_1] - Y[c_min(5,M)]``, (N,).
        corrected: (N,) bool: False where `max_gap` passed the image unchanged.
        changed: (N,) bool: the most probable class is another one now.
        flat: (N,K) bool: the map carried no information, so its mask was neutral (all ones).
        attributions: The maps ``S_k``, (N,K,H,W) in [0, 1], if kept; zero where nothing was corrected.
        masked_probs: The ``P_k``, (N,K,M), if kept; zero where nothing was corrected.
        settings: Everything that the result depends on besides model and images: method, preset, threshold, ...
    """

    probs: Tensor
    candidates: Tensor
    correction: Tensor
    corrected_probs: Tensor
    gap: Tensor
    corrected: Tensor
    changed: Tensor
    flat: Tensor
    attributions: Tensor | None = None
    masked_probs: Tensor | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def prediction(self) -> Tensor:
        """The model's own answer, (N,) int64."""
        return self.probs.argmax(dim=-1)

    @property
    def corrected_prediction(self) -> Tensor:
        """The answer after correction, (N,) int64."""
        return self.corrected_probs.argmax(dim=-1)

    def to(self, device: torch.device | str) -> "CorrectionResult":
        """The same result with all tensors on `device`."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    @staticmethod
    def cat(results: Sequence["CorrectionResult"]) -> "CorrectionResult":
        """Results of several batches with the same settings as one."""
        if not results:
            raise ArgumentError("results must hold at least one CorrectionResult, got none")
        if len(results) == 1:
            return results[0]
        names = results[0]._tensors()
        joined: dict[str, Any] = {name: torch.cat([getattr(result, name) for result in results]) for name in names}
        return replace(results[0], **joined)


class ProbabilityCorrector(nn.Module):
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
        channels_last: Hand inputs over in channels_last memory format.
        compile: `torch.compile` the model for the many passes.
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
        channels_last: bool = True,
        compile: bool = False,
        **method_options: Any,
    ) -> None:
        super().__init__()
        self.top_k = check_int("top_k", top_k, 1)
        self.threshold = check_number("threshold", threshold, 0, 1)
        self.vote = check_choice("vote", vote, functional.VOTES)
        self.weights = check_choice("weights", weights, functional.WEIGHTS)
        self.max_gap = None if max_gap is None else check_number("max_gap", max_gap, 0, 1, include_high=True)
        self.view = make_view(view, threshold, fill, mean, std)
        self.method: AttributionMethod = create_attribution(method, model, target_layer, **method_options)
        if self.method.model is not model:
            raise ArgumentError("method must be bound to the model that is corrected, but it is bound to another one")
        self.model = model
        self.engine = PassEngine(
            model,
            output=output,
            batch_size=batch_size,
            precision=precision,
            channels_last=channels_last,
            compile=compile,
        )
        self.method.use_engine(self.engine)
        self._fill_name = fill if isinstance(fill, str) else "tensor"

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images, as plain values."""
        view = {"view": self.view.name, "threshold": getattr(self.view, "threshold", None), "fill": self._fill_name}
        names = ("top_k", "vote", "weights", "max_gap")
        own = {name: getattr(self, name) for name in names}
        return {**self.method.settings, **own, **view, "output": self.engine.output, "precision": self.engine.precision}

    def forward(self, inputs: Tensor) -> Tensor:
        """Log of the corrected probabilities, (N,M): softmax gives them back, argmax is the corrected answer."""
        corrected = self.correct(inputs).corrected_probs
        return corrected.clamp_min(torch.finfo(corrected.dtype).tiny).log()

    def correct(
        self, inputs: Tensor, labels: Any = None, ids: Any = None, *, keep: Collection[str] = ()
    ) -> CorrectionResult:
        """Corrects a batch. The result of an image does not depend on the others in the batch.

        Args:
            inputs: Tensor (N,C,H,W), normalised as the model expects.
            labels: Ignored: part of the interface that evaluations call, for controls that need the truth.
            ids: Ignored, for the same reason.
            keep: What else to keep: ``"attributions"`` (N,K,H,W) and ``"masked_probs"`` (N,K,M).

        Raises:
            ValueError, TypeError: wrong or non-finite inputs, `top_k` above the number of classes, unknown `keep`.
            LayerError: the target layer is not found or has no feature maps.
            ModelOutputError: the model does not give finite class scores.
        """
        check_inputs(inputs)
        keep = _check_keep(keep)
        inputs = self.engine.place(inputs)
        with evaluation_mode(self.model):
            groups = self.engine.chunks(len(inputs), inputs, lambda start, stop: self._first_pass(inputs[start:stop]))
            results = [
                self._correct_group(inputs[start:stop], scores, seen, keep) for start, stop, (scores, seen) in groups
            ]
        return CorrectionResult.cat(results)

    def _first_pass(self, inputs: Tensor) -> tuple[Tensor, Observation]:
        """The forward that finds the candidates, observed by the method so that it need not run its own."""
        with self.method.observe(inputs) as observation:
            return self.engine.scores(inputs), observation

    def _correct_group(
        self, inputs: Tensor, scores: Tensor, observation: Observation, keep: frozenset[str]
    ) -> CorrectionResult:
        probs = self.engine.checked_probs(scores)
        if self.top_k > probs.shape[1]:
            raise ArgumentError(f"top_k must be from 1 to {probs.shape[1]}, the number of classes; got {self.top_k}")
        candidates = functional.top_candidates(probs, self.top_k)
        gap = functional.probability_gap(probs)
        corrected = torch.ones_like(gap, dtype=torch.bool) if self.max_gap is None else gap < self.max_gap
        result = _unchanged(probs, candidates, gap, corrected, inputs.shape[-2:], keep, self.settings)
        rows = corrected.nonzero().flatten()
        if len(rows) == len(inputs):
            self._fill_in(result, rows, inputs, candidates, observation)
        elif len(rows):
            self._fill_in(result, rows, inputs[rows], candidates[rows], observation.select(rows))
        corrected_probs = torch.where(corrected[:, None], functional.apply_correction(probs, result.correction), probs)
        changed = corrected_probs.argmax(dim=-1) != probs.argmax(dim=-1)
        return replace(result, corrected_probs=corrected_probs, changed=changed)

    def _fill_in(
        self, result: CorrectionResult, rows: Tensor, inputs: Tensor, candidates: Tensor, observation: Observation
    ) -> None:
        """Runs the method on the chosen rows and writes R, and what is kept, into the result block by block."""
        weights = functional.candidate_weights(result.probs[rows], candidates, self.weights)
        prepared = self.view.prepare(inputs)
        block = max(1, MAPS_AT_ONCE // len(inputs))
        start = 0
        for maps in self.method.stream_candidates(inputs, candidates, observation, block):
            columns = slice(start, start + maps.shape[1])
            start = columns.stop
            flat = functional.is_flat(maps)
            maps = torch.where(flat[..., None, None], 0, maps)
            masked_probs = self._ask_again(inputs, maps, prepared)
            result.correction[rows] += functional.correction_term(
                weights[:, columns], masked_probs, candidates[:, columns], self.vote
            )
            result.flat[rows, columns] = flat
            if result.attributions is not None:
                result.attributions[rows, columns] = maps.to(result.attributions.dtype)
            if result.masked_probs is not None:
                result.masked_probs[rows, columns] = masked_probs

    def _ask_again(self, inputs: Tensor, maps: Tensor, prepared: Tensor | None) -> Tensor:
        """What the model says to each masked input: maps (N,k,H,W) -> ``P`` (N,k,M), packed into full batches."""
        count, block = maps.shape[:2]
        flattened = maps.flatten(0, 1)
        shared = prepared if prepared is not None and prepared.shape[0] == 1 != count else None

        def make_batch(start: int, stop: int) -> tuple[Tensor]:
            images = torch.arange(start, stop, device=inputs.device) // block
            extra = shared if shared is not None or prepared is None else prepared[images]
            return (self.view.render(inputs[images], flattened[start:stop], extra),)

        scores = torch.cat([chunk for _, _, chunk in self.engine.run(count * block, inputs, make_batch)])
        check_finite_scores(scores)
        return self.engine.probs(scores).reshape(count, block, -1)


def _check_keep(keep: Collection[str]) -> frozenset[str]:
    if isinstance(keep, str) or not isinstance(keep, Collection):
        raise ArgumentTypeError(f"keep must be a collection of names such as ('attributions',), got {keep!r}")
    for name in keep:
        check_choice("keep", name, KEEP)
    return frozenset(keep)


def _unchanged(
    probs: Tensor,
    candidates: Tensor,
    gap: Tensor,
    corrected: Tensor,
    size: Sequence[int],
    keep: frozenset[str],
    settings: Mapping[str, Any],
) -> CorrectionResult:
    """The result of correcting nothing, with room for what is kept."""
    count, top_k = candidates.shape
    return CorrectionResult(
        probs=probs,
        candidates=candidates,
        correction=torch.zeros_like(probs),
        corrected_probs=probs,
        gap=gap,
        corrected=corrected,
        changed=torch.zeros_like(corrected),
        flat=torch.zeros_like(candidates, dtype=torch.bool),
        attributions=probs.new_zeros(count, top_k, *size) if "attributions" in keep else None,
        masked_probs=probs.new_zeros(count, top_k, probs.shape[1]) if "masked_probs" in keep else None,
        settings=dict(settings),
    )
