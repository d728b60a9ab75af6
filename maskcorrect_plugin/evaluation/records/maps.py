"""Kept maps: what a method made before scaling and upsampling, so that the cheap part can be run again later.

One row for each image that was corrected: ``index``, ``id``, ``shape`` (K, h, w), ``scales`` (the largest absolute
value of each map) and ``values`` (K*h*w numbers in half precision, each map divided by its scale).
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pyarrow as pa


def maps_schema() -> "pa.Schema":
    """The parquet schema of kept maps."""
    import pyarrow as pa

    fields = {
        "index": pa.int64(),
        "id": pa.string(),
        "shape": pa.list_(pa.int32()),
        "scales": pa.list_(pa.float32()),
        "values": pa.list_(pa.float16()),
    }
    return pa.schema(list(fields.items()))


def pack_maps(maps: Tensor) -> dict[str, Any]:
    """The maps of one image as a row.

    Args:
        maps: Tensor (K,h,w) on the CPU. A map with NaN or infinite values becomes zero, which is flat, too.

    Example:
        >>> packed = pack_maps(torch.tensor([[[-4.0, 2.0]]]))
        >>> packed["scales"].tolist(), packed["values"].tolist()
        ([4.0], [-1.0, 0.5])
        >>> unpack_maps(packed)
        tensor([[[-4.,  2.]]])
    """
    maps = maps.float()
    finite = torch.isfinite(maps).all(dim=-1).all(dim=-1)
    maps = torch.where(finite[:, None, None], maps, 0)
    scales = maps.abs().amax(dim=(-2, -1))
    values = maps / torch.where(scales > 0, scales, 1)[:, None, None]
    return {"shape": list(maps.shape), "scales": scales.numpy(), "values": values.half().flatten().numpy()}


def unpack_maps(row: Any) -> Tensor:
    """The maps (K,h,w) in float32 of a row of `pack_maps`, also as pandas gives it."""
    values = torch.from_numpy(np.array(row["values"], dtype=np.float32)).reshape(*(int(side) for side in row["shape"]))
    return values * torch.from_numpy(np.array(row["scales"], dtype=np.float32))[:, None, None]
