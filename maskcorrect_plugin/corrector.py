"""`Corrector`: the frame of every correction, whatever it asks the network again about.

The first forward finds the candidates; something that the subclass chooses is shown to the network again; what the
network says to it is added. `correction.ProbabilityCorrector` shows masked inputs, the controls of an evaluation show
flipped or cropped images, or inputs masked with something that explains nothing.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from . import functional
from .attribution import Observation
from .checks import check_choice, check_inputs, check_int, check_number, check_target
from .errors import ArgumentError
from .inference import PassEngine, check_finite_scores, evaluation_mode
from .results import CorrectionResult, check_keep


@dataclass(frozen=True)
class Group:
    """Images that are corrected together.

    Attributes:
        inputs: Tensor (n,C,H,W).
        probs: ``Y``, (n,M).
        candidates: (n,K) int64.
        observation: What `Corrector.observe` kept of the first forward.
        ids: Names of the images, if the caller gave them.
        labels: The truth, (n,) int64, if the caller gave it.
    """

    inputs: Tensor
    probs: Tensor
    candidates: Tensor
    observation: Observation
    ids: tuple[Any, ...] | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, rows: Tensor) -> "Group":
        """Some of the images only."""
        if len(rows) == len(self):
            return self
        return Group(
            self.inputs[rows],
            self.probs[rows],
            self.candidates[rows],
            self.observation.select(rows),
            None if self.ids is None else tuple(self.ids[row] for row in rows.tolist()),
            None if self.labels is None else self.labels[rows],
        )


@dataclass(frozen=True)
class SecondAnswers:
    """What the network says to v views of each of n images.

    Attributes:
        weights: ``w``, (n,v): the weight of each view in ``R``.
        masked_probs: ``P``, (n,v,M).
        flat: (n,v) bool: the map behind the view carried no information; None where there are no maps.
        maps: (n,v,H,W), the maps behind the views, if there are any.
        coarse: The maps before scaling and upsampling, (n,v,h,w), if the method has them.
        own: (n,v) int64: the class that each view belongs to, where the ``"diagonal"`` vote makes sense.
    """

    weights: Tensor
    masked_probs: Tensor
    flat: Tensor | None = None
    maps: Tensor | None = None
    coarse: Tensor | None = None
    own: Tensor | None = None


class Corrector(nn.Module, ABC):
    """The frame: first forward, candidates, gap, what the subclass asks again, ``R``.

    Args:
        model: Any classifier from inputs (N,C,H,W) to class scores (N,M). It is run in eval mode and left as it was.
        top_k: ``K``, from 1 to M: the candidates.
        vote: ``"distribution"`` or ``"diagonal"``.
        weights: ``"probs"`` or ``"uniform"``.
        max_gap: Correct only images with ``gap < max_gap``; None corrects all.
        **engine_options: Of `PassEngine`: `output`, `batch_size`, `precision`, `channels_last`, `compile`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        top_k: int = 5,
        vote: str = "distribution",
        weights: str = "probs",
        max_gap: float | None = None,
        **engine_options: Any,
    ) -> None:
        super().__init__()
        self.top_k = check_int("top_k", top_k, 1)
        self.vote = check_choice("vote", vote, functional.VOTES)
        self.weights = check_choice("weights", weights, functional.WEIGHTS)
        self.max_gap = None if max_gap is None else check_number("max_gap", max_gap, 0, 1, include_high=True)
        self.model = model
        self.engine = PassEngine(model, **engine_options)

    @property
    @abstractmethod
    def num_views(self) -> int:
        """V: how many views of each image the network is asked about again."""

    @abstractmethod
    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """Asks the network again, in blocks of views.

        Args:
            group: The images to correct; gradients are off and the model is in eval mode.

        Yields:
            Blocks that together have `num_views` views, in order.
        """

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """Held open around the first forward of the model, to keep what is needed of it. Keeps nothing by default."""
        return contextlib.nullcontext(Observation())

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images, as plain values."""
        own = {name: getattr(self, name) for name in ("top_k", "vote", "weights", "max_gap")}
        return {**own, "output": self.engine.output, "precision": self.engine.precision}

    def forward(self, inputs: Tensor) -> Tensor:
        """Log of the corrected probabilities, (N,M): softmax gives them back, argmax is the corrected answer."""
        corrected = self.correct(inputs).corrected_probs
        return corrected.clamp_min(torch.finfo(corrected.dtype).tiny).log()

    def correct(
        self,
        inputs: Tensor,
        labels: Tensor | Sequence[int] | None = None,
        ids: Sequence[Any] | None = None,
        *,
        keep: Collection[str] = (),
    ) -> CorrectionResult:
        """Corrects a batch. The result of an image does not depend on the others in the batch.

        Args:
            inputs: Tensor (N,C,H,W), normalised as the model expects.
            labels: The truth, one class per image: only controls that say so look at it.
            ids: A name for each image: only controls with a random choice look at it, to make the same one again.
            keep: What else to keep: ``"attributions"`` (N,V,H,W), ``"masked_probs"`` (N,V,M) and ``"coarse_maps"``
                (N,K,h,w).

        Raises:
            ValueError, TypeError: wrong or non-finite inputs, `top_k` above the number of classes, unknown `keep`,
                labels or ids that are not one per image.
            LayerError: the target layer is not found or has no feature maps.
            ModelOutputError: the model does not give finite class scores.
        """
        check_inputs(inputs)
        kept = check_keep(keep)
        truth = None if labels is None else check_target(labels, len(inputs), name="labels")
        if ids is not None and len(ids) != len(inputs):
            raise ArgumentError(f"ids must hold one name per image ({len(inputs)}), got {len(ids)}")
        inputs = self.engine.place(inputs)
        truth = None if truth is None else truth.to(inputs.device)
        with evaluation_mode(self.model):
            groups = self.engine.chunks(len(inputs), inputs, lambda start, stop: self._first_pass(inputs[start:stop]))
            results = []
            for start, stop, (scores, seen) in groups:
                names = None if ids is None else tuple(ids[start:stop])
                some_truth = None if truth is None else truth[start:stop]
                group = self._group(inputs[start:stop], scores, seen, names, some_truth)
                results.append(self._correct_group(group, kept))
        return CorrectionResult.cat(results)

    def probe(self, like: Tensor) -> None:
        """One forward of noise in the shape of the images: finds the target layer, and what can never work.

        Args:
            like: Tensor (...,C,H,W); only its shape counts.

        Raises:
            LayerError: no target layer is found, or the method cannot use it.
            ModelOutputError: the model does not give class scores.
            ValueError: `top_k` is above the number of classes.
        """
        noise = torch.randn(1, *like.shape[-3:], generator=torch.Generator().manual_seed(0))
        noise = self.engine.place(noise)
        with evaluation_mode(self.model), self.observe(noise):
            scores = self.engine.scores(noise)
        check_int("top_k", self.top_k, 1, self.engine.checked_probs(scores).shape[1])

    def _first_pass(self, inputs: Tensor) -> tuple[Tensor, Observation]:
        """The forward that finds the candidates, observed so that nobody need run it again."""
        with self.observe(inputs) as observation:
            return self.engine.scores(inputs), observation

    def _group(
        self,
        inputs: Tensor,
        scores: Tensor,
        observation: Observation,
        ids: tuple[Any, ...] | None,
        labels: Tensor | None,
    ) -> Group:
        probs = self.engine.checked_probs(scores)
        if self.top_k > probs.shape[1]:
            raise ArgumentError(f"top_k must be from 1 to {probs.shape[1]}, the number of classes; got {self.top_k}")
        return Group(inputs, probs, functional.top_candidates(probs, self.top_k), observation, ids, labels)

    def _correct_group(self, group: Group, keep: frozenset[str]) -> CorrectionResult:
        gap = functional.probability_gap(group.probs)
        corrected = torch.ones_like(gap, dtype=torch.bool) if self.max_gap is None else gap < self.max_gap
        result = self._unchanged(group, gap, corrected, keep)
        rows = corrected.nonzero().flatten()
        if len(rows):
            result = self._fill_in(result, rows, group.select(rows), keep)
        probs = group.probs
        corrected_probs = torch.where(corrected[:, None], functional.apply_correction(probs, result.correction), probs)
        changed = corrected_probs.argmax(dim=-1) != probs.argmax(dim=-1)
        # Settings are read last: some methods find their layer only when they make maps.
        return replace(result, corrected_probs=corrected_probs, changed=changed, settings=self.settings)

    def _fill_in(self, result: CorrectionResult, rows: Tensor, group: Group, keep: frozenset[str]) -> CorrectionResult:
        """Asks again about the chosen rows and writes R, and what is kept, into the result block by block."""
        passes = self.engine.passes
        start = 0
        for answers in self.second_answers(group):
            columns = slice(start, start + answers.weights.shape[1])
            start = columns.stop
            vote = "distribution" if answers.own is None else self.vote
            result.correction[rows] += functional.correction_term(
                answers.weights, answers.masked_probs, answers.own, vote
            )
            result.weights[rows, columns] = answers.weights
            if answers.flat is not None:
                result.flat[rows, columns] = answers.flat
            if result.attributions is not None and answers.maps is not None:
                result.attributions[rows, columns] = answers.maps.to(result.attributions.dtype)
            if result.masked_probs is not None:
                result.masked_probs[rows, columns] = answers.masked_probs
            if "coarse_maps" in keep and answers.coarse is not None:
                result = self._keep_coarse(result, rows, columns, answers.coarse)
        method_passes = self.engine.passes - passes - self.num_views * len(group)
        known = group.observation.forwards
        result.forwards[rows] += self.num_views + (-(-method_passes // len(group)) if known is None else known)
        return result

    def _keep_coarse(self, result: CorrectionResult, rows: Tensor, columns: slice, coarse: Tensor) -> CorrectionResult:
        if result.coarse_maps is None:
            shape = (len(result), self.num_views, *coarse.shape[2:])
            result = replace(result, coarse_maps=coarse.new_full(shape, torch.nan))
        if result.coarse_maps is not None:
            result.coarse_maps[rows, columns] = coarse.to(result.coarse_maps.dtype)
        return result

    def _unchanged(self, group: Group, gap: Tensor, corrected: Tensor, keep: frozenset[str]) -> CorrectionResult:
        """The result of correcting nothing, with room for what is kept."""
        probs, views = group.probs, (len(group), self.num_views)
        return CorrectionResult(
            probs=probs,
            candidates=group.candidates,
            correction=torch.zeros_like(probs),
            corrected_probs=probs,
            gap=gap,
            corrected=corrected,
            changed=torch.zeros_like(corrected),
            flat=probs.new_zeros(views, dtype=torch.bool),
            weights=probs.new_zeros(views),
            forwards=torch.ones_like(corrected, dtype=torch.int64),
            attributions=probs.new_zeros(*views, *group.inputs.shape[-2:]) if "attributions" in keep else None,
            masked_probs=probs.new_zeros(*views, probs.shape[1]) if "masked_probs" in keep else None,
        )

    def ask_again(self, inputs: Tensor, views: int, make_views: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What the model says to v views of each image, packed into full batches.

        Args:
            inputs: Tensor (n,C,H,W).
            views: v.
            make_views: From rows (b,) and views (b,), both int64, to the views (b,C,H,W), made batch by batch.

        Returns:
            ``P``, (n,v,M).

        Raises:
            ModelOutputError: NaN or infinite scores.
        """

        def make_batch(start: int, stop: int) -> tuple[Tensor]:
            items = torch.arange(start, stop, device=inputs.device)
            return (make_views(items // views, items % views),)

        count = len(inputs)
        scores = torch.cat([chunk for _, _, chunk in self.engine.run(count * views, inputs, make_batch)])
        check_finite_scores(scores)
        return self.engine.probs(scores).reshape(count, views, -1)
