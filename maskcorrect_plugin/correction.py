"""One batch of images corrected by one or several recipes, which share the first forward, maps and answers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from . import functional
from .attribution import AttributionMethod, Observation
from .describing import is_described
from .errors import ArgumentError
from .results import CorrectionResult
from .second_pass import Answers, Request, ask
from .views import CANDIDATES, MERGED, ImageBatch

if TYPE_CHECKING:
    from .corrector import ProbabilityCorrector

MAPS_AT_ONCE = 64
"""Maps at input resolution held at a time; those of more candidates are made block by block."""
MAPS_SHARED = 160
"""Maps at input resolution that are kept for other recipes on the same images."""


def maps_per_block(images: int) -> int:
    """How many candidates of each of so many images are done at a time."""
    return max(1, MAPS_AT_ONCE // images)


class _Block(NamedTuple):
    """Maps of some candidates: as the method makes them (n,k,h,w), and (n,k,H,W) in [0, 1] with flat ones zero."""

    coarse: Tensor
    maps: Tensor
    flat: Tensor


@dataclass
class _Spent:
    """What the maps of n images took: forwards of each image, (n,), and seconds of each."""

    forwards: Tensor | int = 0
    seconds: float = 0.0


@dataclass
class BatchWork:
    """A batch after its first forward, and what its recipes have found out so far.

    Attributes:
        images: The batch.
        probs: ``Y``, (N,M).
        observations: What each method kept of the forward, by the method's identity.
        seconds: What the first forward took of each image.
        answers: Second answers that several recipes share.
    """

    images: ImageBatch
    probs: Tensor
    observations: dict[int, Observation]
    seconds: float
    answers: Answers
    _maps: dict[Any, tuple[list[_Block], _Spent]] = field(default_factory=dict)

    def observation(self, method: AttributionMethod, images: ImageBatch, rows: Tensor) -> Observation:
        """What a method kept of the forward, for some of the images, with their names and labels."""
        seen = self.observations[id(method)].select(rows)
        seen.ids, seen.labels = images.ids, images.labels
        return seen

    def maps(
        self, corrector: "ProbabilityCorrector", images: ImageBatch, rows: Tensor, candidates: Tensor, spent: _Spent
    ) -> Iterator[_Block]:
        """The candidates' maps block by block; made once for all recipes that want the same."""
        method = corrector.guide
        key = (id(method), tuple(images.rows), candidates.shape[1])
        if key in self._maps:
            blocks, known = self._maps[key]
            spent.forwards, spent.seconds = known.forwards, known.seconds
            yield from blocks
            return
        fresh = _make_maps(corrector, images, self.observation(method, images, rows), candidates, spent)
        if not self.answers.shared or candidates.numel() > MAPS_SHARED:
            yield from fresh
            return
        self._maps[key] = (list(fresh), spent)
        yield from self._maps[key][0]


def correct_batch(corrector: "ProbabilityCorrector", work: BatchWork, keep: frozenset[str]) -> CorrectionResult:
    """One recipe on one batch.

    Args:
        corrector: Has the recipe; the caller holds `evaluation_mode`.
        work: The batch after the first forward.
        keep: Names out of `results.KEEP`.
    """
    recipe, probs = corrector.recipe, work.probs
    candidates = functional.top_candidates(probs, corrector.num_candidates(probs.shape[1]))
    gap = functional.probability_gap(probs)
    corrected = torch.ones_like(gap, dtype=torch.bool) if recipe.max_gap is None else gap < recipe.max_gap
    result = _unchanged(corrector, work, candidates, gap, corrected, keep)
    rows = corrected.nonzero().flatten()
    if len(rows):
        result = _Filling(corrector, work, rows, result, keep).fill()
    pooled = functional.apply_correction(probs, result.correction, recipe.pool, recipe.temperature)
    corrected_probs = torch.where(corrected[:, None], pooled, probs)
    changed = corrected_probs.argmax(dim=-1) != probs.argmax(dim=-1)
    # Settings are read last: some methods find their layer only when they make maps.
    return replace(
        result,
        corrected_probs=corrected_probs,
        changed=changed,
        settings=corrector.settings,
        recipe=corrector.resolved_recipe,
    )


def _unchanged(
    corrector: "ProbabilityCorrector",
    work: BatchWork,
    candidates: Tensor,
    gap: Tensor,
    corrected: Tensor,
    keep: frozenset[str],
) -> CorrectionResult:
    """The result of correcting nothing, with room for what is kept."""
    probs, size = work.probs, functional.spatial_size(work.images.inputs)
    columns = corrector.recipe.columns(candidates.shape[1])
    shape = (len(probs), sum(count for _, count in columns))
    maps = (*candidates.shape, *size)
    return CorrectionResult(
        probs=probs,
        candidates=candidates,
        correction=torch.zeros_like(probs),
        corrected_probs=probs,
        gap=gap,
        corrected=corrected,
        changed=torch.zeros_like(corrected),
        flat=probs.new_zeros(shape, dtype=torch.bool),
        weights=probs.new_zeros(shape),
        forwards=torch.ones_like(corrected, dtype=torch.int64),
        saved=torch.zeros_like(corrected, dtype=torch.int64),
        seconds=torch.full_like(gap, work.seconds, dtype=torch.float32),
        attributions=probs.new_zeros(maps) if "attributions" in keep else None,
        view_probs=probs.new_zeros(*shape, probs.shape[1]) if "view_probs" in keep else None,
        columns=columns,
    )


class _Filling:
    """Predicts again on the chosen rows of a batch and writes R, and what is kept, into the result.

    Args:
        corrector: Has the recipe.
        work: The batch.
        rows: Which images are corrected.
        result: What is filled in.
        keep: What is kept.
    """

    def __init__(
        self,
        corrector: "ProbabilityCorrector",
        work: BatchWork,
        rows: Tensor,
        result: CorrectionResult,
        keep: frozenset[str],
    ) -> None:
        self.corrector, self.recipe, self.work = corrector, corrector.recipe, work
        self.rows, self.result, self.keep = rows, result, keep
        self.images = work.images.select(rows)
        self.probs = work.probs[rows]
        self.candidates = result.candidates[rows]
        self.candidate_weights = functional.candidate_weights(
            self.probs, self.candidates, self.recipe.candidate_weights
        )
        self.prepared = [view.prepare(self.images) for view, _ in corrector.views]
        self.counted: set[Any] = set()

    def fill(self) -> CorrectionResult:
        """The result with everything in it."""
        views = [view for view, _ in self.corrector.views]
        spent = _Spent()
        last = [index for index, view in enumerate(views) if not view.guided]
        if not any(view.guided for view in views):
            self._ask([(index, None, 0) for index in last], None)
        else:
            merged, start = torch.zeros((), device=self.probs.device), 0
            for block in self.work.maps(self.corrector, self.images, self.rows, self.candidates, spent):
                stop = start + block.maps.shape[1]
                weights = self.candidate_weights[:, start:stop]
                if any(view.guided and view.map == MERGED for view in views):
                    merged = merged + functional.summed_maps(block.maps, weights)
                requests: list[tuple[int, Tensor | None, int]] = [
                    (index, block.maps, start)
                    for index, view in enumerate(views)
                    if view.guided and view.map == CANDIDATES
                ]
                if stop == self.candidates.shape[1]:
                    one = functional.scale_maps(merged).unsqueeze(1) if merged.ndim else None
                    requests += [(i, one, 0) for i, view in enumerate(views) if view.guided and view.map == MERGED]
                    requests += [(index, None, 0) for index in last]
                self._keep_maps(block, slice(start, stop))
                self._ask(requests, block.flat)
                start = stop
        self.result.forwards[self.rows] += spent.forwards
        self.result.seconds[self.rows] += spent.seconds
        return self.result

    def _ask(self, requests: Sequence[tuple[int, Tensor | None, int]], flat: Tensor | None) -> None:
        """Predicts on what some views show, and adds their answers.

        Args:
            requests: For each view its position, its maps (n,v,H,W) or None, and its first candidate.
            flat: Which maps of the block were flat, (n,k).
        """
        views = self.corrector.views
        asked = ask(
            self.corrector.engine,
            self.images,
            self.probs,
            [
                Request(views[index][0].show(self.images, maps, self.prepared[index]), self._name(index, start))
                for index, maps, start in requests
            ],
            self.work.answers,
            self.counted,
        )
        for (index, maps, start), answers in zip(requests, asked.probs, strict=True):
            self._add(index, start, answers, self._flat(maps, flat))
        self.result.forwards[self.rows] += asked.forwards
        self.result.saved[self.rows] += asked.saved
        self.result.seconds[self.rows] += asked.seconds

    def _name(self, index: int, start: int) -> Any:
        """What tells a view's pictures from those of other recipes: the view and the maps that it follows."""
        view = self.corrector.views[index][0]
        same: tuple[Any, ...] = (type(view), view.spec) if is_described(view.spec) else (id(view),)
        if not view.guided:
            return same
        if view.map == CANDIDATES:
            return *same, id(self.corrector.guide), start
        return *same, id(self.corrector.guide), self.candidates.shape[1], self.recipe.candidate_weights

    @staticmethod
    def _flat(maps: Tensor | None, flat: Tensor | None) -> Tensor | None:
        if maps is None or flat is None:
            return None
        return flat if maps.shape[1] == flat.shape[1] and flat.shape[1] > 1 else functional.is_flat(maps)

    def _add(self, index: int, start: int, answers: Tensor, flat: Tensor | None) -> None:
        """The answers of one view into R."""
        view, weight = self.corrector.views[index]
        result, rows, count = self.result, self.rows, answers.shape[1]
        by_candidate = view.guided and view.map == CANDIDATES
        if by_candidate:
            shares = functional.view_shares(self.candidate_weights, self.recipe.pool)[:, start : start + count]
        else:
            shares = torch.full_like(answers[..., 0], 1 / count)
        shares = shares if weight == 1 else shares * weight
        own = self.candidates[:, start : start + count] if by_candidate else None
        vote = self.recipe.vote if by_candidate else "distribution"
        result.correction[rows] += functional.correction_term(shares, answers, own, vote, self.recipe.pool)
        first = result.columns_of(index).start + start
        columns = slice(first, first + count)
        result.weights[rows, columns] = shares
        if flat is not None:
            result.flat[rows, columns] = flat
        if result.view_probs is not None:
            result.view_probs[rows, columns] = answers

    def _keep_maps(self, block: _Block, columns: slice) -> None:
        result, rows = self.result, self.rows
        if result.attributions is not None:
            result.attributions[rows, columns] = block.maps.to(result.attributions.dtype)
        if "coarse_maps" not in self.keep:
            return
        if result.coarse_maps is None:
            shape = (*result.candidates.shape, *block.coarse.shape[2:])
            self.result = result = replace(result, coarse_maps=block.coarse.new_full(shape, torch.nan))
        if result.coarse_maps is not None:
            result.coarse_maps[rows, columns] = block.coarse.to(result.coarse_maps.dtype)


def _make_maps(
    corrector: "ProbabilityCorrector", images: ImageBatch, seen: Observation, candidates: Tensor, spent: _Spent
) -> Iterator[_Block]:
    """The candidates' maps as the method makes them, with what they take."""
    method, engine, size = corrector.guide, corrector.engine, functional.spatial_size(images.inputs)
    started, passes = time.perf_counter(), engine.passes
    count = 0
    for coarse in method.stream_coarse(images.inputs, candidates, seen, maps_per_block(len(images))):
        maps, flat = functional.zero_where_flat(method.render(coarse, size))
        spent.seconds += (time.perf_counter() - started) / len(images)
        count += engine.passes - passes
        yield _Block(coarse, maps, flat)
        started, passes = time.perf_counter(), engine.passes
    count += engine.passes - passes
    spent.forwards = -(-count // len(images)) if seen.forwards is None else seen.forwards


def check_required(method: AttributionMethod, images: ImageBatch) -> None:
    """Raises ArgumentError where a map source needs ids or labels that were not given."""
    given = {"labels": images.labels, "ids": images.ids}
    for name, why in method.required.items():
        if given[name] is None:
            raise ArgumentError(f"{name} must be given to {method.settings['method']}, {why}; got None")
