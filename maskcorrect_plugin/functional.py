"""The method as pure tensor mathematics (Maeng and Baek, "CNN-based Class Probability Correction using Mask-image").

Words: ``N`` images, ``M`` classes, ``K`` candidates, ``V`` views. ``probs`` is ``Y`` of the paper, ``view_probs`` are
what the model says to what it is shown again (of the paper: ``P_k = f(M_k)``), ``correction`` is ``R``. Nothing here
runs a model, keeps state or moves data between devices.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_choice, check_int, check_number
from .errors import ArgumentError
from .recipe_options import POOLS, VOTES, WEIGHTS

FLOOR = 2.0**-24
"""Smallest probability of a view in the log pool: what half precision still holds, so that records recompute it."""
GAP_RANK = 5
"""The paper's gap is between the first and the fifth probability."""


def scale_maps(maps: Tensor) -> Tensor:
    """Min-max scales each map to [0, 1].

    A map without information (max == min, or not finite) becomes all zeros, never NaN; `is_flat` finds it afterwards.

    Args:
        maps: Tensor (..., H, W) of any finite range.

    Returns:
        Tensor of the same shape, in at least float32.

    Example:
        >>> scale_maps(torch.tensor([[1.0, 3.0], [2.0, 5.0]]))
        tensor([[0.0000, 0.5000],
                [0.2500, 1.0000]])
    """
    maps = at_least_float32(maps)
    low = maps.amin(dim=(-2, -1), keepdim=True)
    high = maps.amax(dim=(-2, -1), keepdim=True)
    span = high - low
    usable = torch.isfinite(span) & (span > 0)
    scaled = (maps - low) / torch.where(usable, span, 1)
    return torch.where(usable, scaled, 0)


def at_least_float32(values: Tensor) -> Tensor:
    """Half-precision tensors as float32; float32 and float64 as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def spatial_size(images: Tensor) -> tuple[int, int]:
    """``(H, W)`` of a tensor (..., H, W)."""
    return images.shape[-2], images.shape[-1]


def upsample(maps: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Bilinear interpolation of (B,C,h,w) to (B,C,H,W) in at least float32."""
    maps = at_least_float32(maps)
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=align_corners)


def upsample_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """`upsample`, but a constant map stays constant: scaling would make a map of the interpolation's rounding."""
    constant = maps.amax(dim=(-2, -1), keepdim=True) == maps.amin(dim=(-2, -1), keepdim=True)
    return torch.where(constant, at_least_float32(maps[..., :1, :1]), upsample(maps, size))


def is_flat(maps: Tensor) -> Tensor:
    """Which maps carry no information: constant, or holding NaN or infinite values.

    Args:
        maps: Tensor (..., H, W).

    Returns:
        Boolean tensor (...).
    """
    low, high = maps.amin(dim=(-2, -1)), maps.amax(dim=(-2, -1))
    return ~(high > low) | ~torch.isfinite(high - low)


def zero_where_flat(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps with those that carry no information as zeros, and which ones these are.

    Args:
        maps: Tensor (..., H, W).

    Returns:
        Tensor of the same shape, and a boolean tensor (...): see `is_flat`.

    Example:
        >>> zero_where_flat(torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]]))
        (tensor([[[0., 1.]],
        <BLANKLINE>
                [[0., 0.]]]), tensor([False,  True]))
    """
    flat = is_flat(maps)
    if maps.device.type == "cpu" and not flat.any():  # elsewhere asking would be a synchronisation
        return maps, flat
    return torch.where(flat[..., None, None], 0, maps), flat


def threshold_masks(maps: Tensor, threshold: float = 0.1) -> Tensor:
    """Masks ``T_k``: values at or below the threshold become 0, the rest keep their value.

    A flat map gives a mask of ones (neutral), so that it never blacks out an image.

    Args:
        maps: Tensor (..., H, W) in [0, 1].
        threshold: In [0, 1).

    Returns:
        Tensor of the same shape in [0, 1].

    Example:
        >>> threshold_masks(torch.tensor([[0.0, 0.1], [0.2, 1.0]]), threshold=0.1)
        tensor([[0.0000, 0.0000],
                [0.2000, 1.0000]])
    """
    check_number("threshold", threshold, 0, 1)
    masks = torch.where(maps > threshold, maps, 0)
    return torch.where(is_flat(maps)[..., None, None], 1, masks)


def masked_inputs(inputs: Tensor, masks: Tensor, background: Tensor | float = 0.0) -> Tensor:
    """Masked inputs ``M = T * X + (1 - T) * B`` (the paper's Hadamard product when ``B`` is 0).

    Args:
        inputs: ``X``, tensor (B,C,H,W).
        masks: ``T``, tensor (B,H,W) in [0, 1].
        background: ``B``, a tensor that broadcasts with the inputs, or a number.

    Returns:
        Tensor (B,C,H,W).
    """
    masks = masks.unsqueeze(1)
    if not isinstance(background, Tensor) and background == 0.0:
        return inputs * masks
    return inputs * masks + (1 - masks) * background


def top_candidates(probs: Tensor, top_k: int) -> Tensor:
    """The K most probable classes of each image, most probable first; the lower index first among equals.

    Args:
        probs: Tensor (N,M).
        top_k: ``K`` from 1 to M.

    Returns:
        Tensor (N,K) int64.
    """
    check_int("top_k", top_k, 1, probs.shape[-1])
    # A stable sort and not topk, whose choice among equal values depends on the device and the shape.
    return torch.sort(probs, dim=-1, descending=True, stable=True).indices[..., :top_k]


def probability_gap(probs: Tensor, rank: int = GAP_RANK) -> Tensor:
    """Gap ``Y[c_1] - Y[c_r]`` between the most probable class and the one at `rank`.

    With fewer than `rank` classes the last one takes its place: ``r = min(rank, M)``.

    Args:
        probs: Tensor (N,M).
        rank: 2 or more.

    Returns:
        Tensor (N,) in [0, 1].

    Example:
        >>> probability_gap(torch.tensor([[0.5, 0.25, 0.25]]))
        tensor([0.2500])
    """
    check_int("rank", rank, 2)
    best = torch.topk(probs, min(rank, probs.shape[-1]), dim=-1).values
    return best[..., 0] - best[..., -1]


def candidate_weights(probs: Tensor, candidates: Tensor, weights: str = "probs") -> Tensor:
    """The weight of each candidate in ``R``, and in the merged map.

    Args:
        probs: ``Y``, tensor (N,M).
        candidates: Tensor (N,K) int64.
        weights: ``"probs"`` gives ``Y[c_k]`` (the paper), ``"uniform"`` gives ``1/K``.

    Returns:
        Tensor (N,K).
    """
    check_choice("weights", weights, WEIGHTS)
    if weights == "probs":
        return probs.gather(-1, candidates)
    return torch.full(candidates.shape, 1.0 / max(1, candidates.shape[-1]), dtype=probs.dtype, device=probs.device)


def summed_maps(maps: Tensor, weights: Tensor) -> Tensor:
    """``sum_k w_k S_k``.

    Args:
        maps: Tensor (N,K,H,W) in [0, 1]; flat maps are zero and add nothing.
        weights: ``w``, tensor (N,K), non-negative.

    Returns:
        Tensor (N,H,W).
    """
    return torch.einsum("nk,nkhw->nhw", weights, maps.to(weights.dtype))


def merged_map(maps: Tensor, weights: Tensor) -> Tensor:
    """One map for all candidates, ``sum_k w_k S_k / sum_k w_k``, scaled to [0, 1] (which makes the division vanish).

    Args:
        maps: Tensor (N,K,H,W) in [0, 1]; flat maps are zero and add nothing.
        weights: ``w``, tensor (N,K), non-negative.

    Returns:
        Tensor (N,1,H,W) in [0, 1]; zeros where nothing is left.
    """
    return scale_maps(summed_maps(maps, weights)).unsqueeze(1)


def view_shares(weights: Tensor, pool: str = "sum") -> Tensor:
    """The weight of each picture of a guided view in a pool: ``w_k``, or ``w_k / sum_k w_k`` in the log pool.

    Args:
        weights: ``w``, tensor (N,K).
        pool: ``"sum"`` or ``"log"``.
    """
    check_choice("pool", pool, POOLS)
    if pool == "sum":
        return weights
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)


def correction_term(
    weights: Tensor,
    view_probs: Tensor,
    candidates: Tensor | None = None,
    vote: str = "distribution",
    pool: str = "sum",
) -> Tensor:
    """The correction term ``R = sum_v w_v P_v``; in the log pool ``sum_v w_v log P_v``, no ``P_v`` below `FLOOR`.

    Args:
        weights: ``w``, tensor (N,V): for the paper's mask ``Y[c_k]``.
        view_probs: ``P``, tensor (N,V,M): what the model says to each picture that it is shown again.
        candidates: Tensor (N,V) int64, needed by the diagonal vote only.
        vote: ``"distribution"`` adds the whole of ``P_k`` (the paper); with ``"diagonal"`` only ``P_k[c_k]`` counts,
            for class ``c_k``.
        pool: ``"sum"`` (the paper) or ``"log"``, which has no diagonal vote.

    Returns:
        Tensor (N,M). With no views it is zero, and the correction is the identity.

    Example:
        >>> correction_term(torch.tensor([[0.5, 0.25]]), torch.tensor([[[0.8, 0.2], [0.4, 0.6]]]))
        tensor([[0.5000, 0.2500]])
    """
    check_choice("vote", vote, VOTES)
    check_choice("pool", pool, POOLS)
    if pool == "log":
        view_probs = view_probs.clamp_min(FLOOR).log()
    if vote == "distribution":
        return torch.einsum("nk,nkm->nm", weights, view_probs)
    if pool == "log":
        raise ArgumentError("vote must be 'distribution' where pool is 'log', got 'diagonal'")
    if candidates is None:
        raise ArgumentError("candidates must be given when vote is 'diagonal'")
    own = view_probs.gather(-1, candidates.unsqueeze(-1)).squeeze(-1)
    correction = view_probs.new_zeros(view_probs.shape[0], view_probs.shape[-1])
    return correction.scatter_add(-1, candidates, weights * own)


def apply_correction(probs: Tensor, correction: Tensor, pool: str = "sum", temperature: float = 1.0) -> Tensor:
    """Corrected probabilities: ``Y_hat = Y + R`` (eq. of the paper), divided by its sum.

    For the paper's vote the sum is ``1 + sum_k Y[c_k]``. The division does not change the order of the classes. In the
    log pool ``log Y + R`` takes the place of ``log(Y + R)``. The temperature ``T`` raises the result to the power
    ``1 / T``, which leaves the order as it is.

    Args:
        probs: ``Y``, tensor (N,M), rows summing to 1.
        correction: ``R``, tensor (N,M), of the same pool.
        pool: ``"sum"`` or ``"log"``.
        temperature: Above 0; above 1 flattens the distribution.

    Returns:
        Tensor (N,M), rows summing to 1.

    Example:
        >>> apply_correction(torch.tensor([[0.6, 0.4]]), torch.tensor([[0.2, 0.8]]))
        tensor([[0.4000, 0.6000]])
        >>> apply_correction(torch.tensor([[0.6, 0.4]]), torch.tensor([[0.2, 0.8]]).log(), pool="log")
        tensor([[0.2727, 0.7273]])
    """
    check_choice("pool", pool, POOLS)
    if pool == "log":
        return ((_log(probs) + correction) / temperature).softmax(dim=-1)
    scores = probs + correction
    if temperature != 1:
        return (_log(scores) / temperature).softmax(dim=-1)
    return scores / scores.sum(dim=-1, keepdim=True)


def _log(probs: Tensor) -> Tensor:
    """Logarithms of probabilities; zero counts as the smallest normal number, so that nothing becomes infinite."""
    return probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
