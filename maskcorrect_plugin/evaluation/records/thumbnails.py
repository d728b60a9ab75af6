"""Small pictures of images whose answer changed, with their maps, so that a page needs neither images nor model.

One row for each picture: ``index``, ``id``, ``kind`` (``"fixed"``, ``"broken"`` or ``"changed"``: wrong before and
after, or without a label), ``image`` (JPEG: what the network was shown) and ``maps`` (for each view that has one a grey
PNG, white where the map is 1), all with `SIDE` pixels on the longer side.
"""

import io
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    import pyarrow as pa

SIDE = 160
"""Pixels of the longer side."""
QUALITY = 85
MOST_MAPS = 5
"""Maps of one image that are kept."""


def thumbnails_schema() -> "pa.Schema":
    """The parquet schema of thumbnails."""
    import pyarrow as pa

    fields = {
        "index": pa.int64(),
        "id": pa.string(),
        "kind": pa.string(),
        "image": pa.binary(),
        "maps": pa.list_(pa.binary()),
    }
    return pa.schema(list(fields.items()))


def quota(part: int, num_parts: int, limit: int) -> int:
    """How many pictures a part may keep, so that all parts together keep `limit` at most, whoever does them.

    Example:
        >>> [quota(part, 4, 10) for part in range(4)]
        [2, 3, 2, 3]
    """
    return (part + 1) * limit // num_parts - part * limit // num_parts


def kind_of(changed: bool, right_before: bool | None, right_after: bool | None) -> str | None:
    """``"fixed"``, ``"broken"``, ``"changed"``, or None where the answer stayed."""
    if not changed:
        return None
    return "fixed" if right_after else "broken" if right_before else "changed"


def pack_thumbnail(picture: Tensor, maps: Tensor | None) -> dict[str, Any]:
    """One image and its maps as encoded pictures.

    Args:
        picture: Tensor (C,H,W) in [0, 1]; other than three channels are shown as their mean.
        maps: Tensor (K,H,W) in [0, 1]; None where there are none.
    """
    shown = picture.permute(1, 2, 0) if len(picture) == 3 else picture.mean(dim=0)
    grey = [] if maps is None else list(maps[:MOST_MAPS])
    return {"image": _encoded(shown, "JPEG", quality=QUALITY), "maps": [_encoded(values, "PNG") for values in grey]}


def _encoded(values: Tensor, form: str, **options: Any) -> bytes:
    """Values in [0, 1], (H,W) or (H,W,3), as the bytes of a picture file."""
    file = io.BytesIO()
    pixels = (values * 255).round().to(torch.uint8).cpu().numpy()
    _shrunk(Image.fromarray(pixels)).save(file, form, **options)
    return file.getvalue()


def _shrunk(image: Image.Image) -> Image.Image:
    scale = SIDE / max(image.size)
    if scale >= 1:
        return image
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)
