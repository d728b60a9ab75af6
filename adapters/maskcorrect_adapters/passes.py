"""Score-CAM's masked passes: one set for all classes and all images of a batch, in full batches.

Every (image, channel) pair that is asked about is one item. Masks are upsampled and multiplied batch by batch, so that
memory does not grow with the number of channels, and nothing waits for the device between two batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.errors import ModelOutputError
from maskcorrect_plugin.inference import PassEngine

from .budget import budgeted_scores
from .presets import Preset

Batch = Callable[[Sequence[int], Tensor], tuple[Any, ...]]
"""Makes the arguments of one forward from b image rows, known to the host, and masks-to-be (b,h,w)."""


def live_channels(activations: Tensor) -> Tensor:
    """Which channels are not constant: (N,C,h,w) to (N,C) bool. Constant ones have no mask to make."""
    return activations.amax(dim=(-2, -1)) > activations.amin(dim=(-2, -1))


def masked_passes(activations: Tensor, preset: Preset, max_masks: int | None = None) -> Tensor:
    """Forwards that `channel_weights` spends on each image, (N,) int64: live channels, and one for all dead ones."""
    live = live_channels(activations)
    asked = live.sum(dim=1)
    if max_masks is not None:
        asked = asked.clamp(max=max_masks)
    return asked + (~live.all(dim=1) if preset.counts_dead else 0)


def channel_weights(
    engine: PassEngine,
    activations: Tensor,
    candidates: Tensor | None,
    preset: Preset,
    make_batch: Batch,
    like: Tensor,
    *,
    max_masks: int | None = None,
    show_progress: bool = False,
) -> Tensor:
    """Weights ``alpha`` of every channel for every candidate.

    Args:
        engine: Runs the forwards.
        activations: Tensor (N,C,h,w).
        candidates: Tensor (N,K) int64; None for a model with a single score per image.
        preset: The definition of Score-CAM.
        make_batch: Makes the arguments of one forward from b image rows and channels (b,h,w).
        like: The images (N,C,H,W), for their size.
        max_masks: How many live channels of an image are asked about, at most; the scores of the others are then
            estimated. None asks about all.
        show_progress: Show a progress bar.

    Returns:
        Tensor (N,C,K) in at least float32.
    """
    live = live_channels(activations)

    def ask(asked: Tensor) -> Tensor:
        return _scores(engine, activations, asked, candidates, preset, make_batch, like, show_progress)

    if max_masks is None or not bool((live.sum(dim=1) > max_masks).any()):
        return preset.weights(ask(live), live)
    weighs_as_it_is = candidates is not None and not preset.use_logits and not preset.softmax
    scores = budgeted_scores(ask, activations, live, max_masks, roots=weighs_as_it_is)
    return preset.weights(scores, live)


def _scores(
    engine: PassEngine,
    activations: Tensor,
    asked: Tensor,
    candidates: Tensor | None,
    preset: Preset,
    make_batch: Batch,
    like: Tensor,
    show_progress: bool,
) -> Tensor:
    """Scores (N,C,K) of the channels asked about, (N,C) bool, and of dead ones where they count; others are zero."""
    live = live_channels(activations)
    items = asked.nonzero()  # the device is waited for here and where rows are read, and then only at the end
    if preset.counts_dead:
        activations, items = _with_zero_channel(activations, live, items)
    count, channels = activations.shape[:2]
    top_k = 1 if candidates is None else candidates.shape[1]
    scores = torch.zeros(count, channels, top_k, device=activations.device)
    rows, columns = items.unbind(dim=1)
    known_rows = rows.tolist()

    def batch(start: int, stop: int) -> tuple[Any, ...]:
        return make_batch(known_rows[start:stop], activations[rows[start:stop], columns[start:stop]])

    with tqdm(total=len(items), desc="Score-CAM", unit="pass", disable=not show_progress, leave=False) as bar:
        for start, stop, output in engine.run(len(items), like, batch):
            values = output if preset.use_logits or candidates is None else engine.probs(output)
            if (
                start == 0 and candidates is not None
            ):  # known only now; an index out of range would kill a GPU's context
                check_classes("target", candidates, output.shape[1])
            image = rows[start:stop]
            picked = values if candidates is None else values.gather(1, candidates[image])
            scores = scores.to(picked.dtype)  # float64 for float64 models
            scores[image, columns[start:stop]] = picked
            bar.update(stop - start)
    if not bool(torch.isfinite(scores).all()):
        raise ModelOutputError(
            "the model gave NaN or infinite scores for masked inputs; in half precision try bfloat16"
        )
    if preset.counts_dead:
        scores = torch.where(live.unsqueeze(-1), scores[:, :-1], scores[:, -1:])
    return scores


def _with_zero_channel(activations: Tensor, live: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """One more channel, all zero, that stands for all dead ones of an image: their masks, too, are zero."""
    zero = torch.zeros_like(activations[:, :1])
    dead = (~live).any(dim=1).nonzero()
    extra = torch.cat([dead, torch.full_like(dead, activations.shape[1])], dim=1)
    return torch.cat([activations, zero], dim=1), torch.cat([items, extra])
