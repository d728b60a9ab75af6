"""Bilinear interpolation of many small maps, as matrix products where these are faster.

Interpolation is linear and separable: ``U(A) = R_h A R_w^T`` with one matrix of weights for each axis. On a CPU the two
products take a sixth of the time of `torch.nn.functional.interpolate` for maps of 13 x 13 (docs/performance.md).
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from maskcorrect_plugin.functional import spatial_size, upsample

PRODUCT_LIMIT = 32 * 32
"""Values in a map up to which the products are used; with larger maps they cost as much as interpolation does."""


def upsample_many(maps: Tensor, size: tuple[int, int], *, align_corners: bool = False) -> Tensor:
    """Bilinear interpolation of (B,h,w) to (B,H,W), equal to `functional.upsample` up to rounding (1e-6 of the range).

    Args:
        maps: Tensor (B,h,w) in float32 or float64.
        size: ``(H, W)``.
        align_corners: As in `torch.nn.functional.interpolate`.
    """
    if spatial_size(maps) == size:
        return maps
    if not products_suit(maps):
        return upsample(maps.unsqueeze(1), size, align_corners=align_corners).squeeze(1)
    return _upsample_rows(maps, size[0], align_corners) @ axis_weights(
        maps.shape[-1], size[1], maps.dtype, align_corners
    )


def upsample_into(pixels: Tensor, maps: Tensor, *, align_corners: bool = False) -> None:
    """The same, written C times side by side, as memory in channels_last format has it.

    Args:
        pixels: Tensor (B,H,W,C), contiguous, of the maps' dtype, which is overwritten.
        maps: Tensor (B,h,w) of which `products_suit` is true.
        align_corners: As in `torch.nn.functional.interpolate`.
    """
    height, width, copies = pixels.shape[1:]
    rows = _upsample_rows(maps, height, align_corners)
    weights = axis_weights(maps.shape[-1], width, maps.dtype, align_corners, copies)
    torch.mm(rows.flatten(0, 1), weights, out=pixels.view(-1, width * copies))


def products_suit(maps: Tensor) -> bool:
    """On a CPU, for small maps, and not where products are allowed less than the precision of their factors."""
    exact = torch.get_float32_matmul_precision() == "highest" and not torch.is_autocast_enabled(maps.device.type)
    return maps.device.type == "cpu" and exact and maps.shape[-2] * maps.shape[-1] <= PRODUCT_LIMIT


def _upsample_rows(maps: Tensor, height: int, align_corners: bool) -> Tensor:
    return axis_weights(maps.shape[-2], height, maps.dtype, align_corners).T @ maps


@lru_cache(maxsize=64)
def axis_weights(length: int, target: int, dtype: torch.dtype, align_corners: bool, copies: int = 1) -> Tensor:
    """The weights of bilinear interpolation along one axis, (length, target * copies): PyTorch's own, read off it."""
    units = torch.eye(length, dtype=dtype)[None, None]
    weights = F.interpolate(units, size=(length, target), mode="bilinear", align_corners=align_corners)[0, 0]
    return weights.repeat_interleave(copies, dim=1)
