"""Masked inputs ``X * H_k``, batch by batch, in memory that is used again and again.

Next to a fast network, making them counts: it is bound by memory traffic. So no image is copied for each of its masks,
nothing of the batch's size is allocated, and the product is written where and how the network reads it.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from maskcorrect_plugin.functional import spatial_size

from .presets import Preset
from .upsampling import products_suit, upsample_into, upsample_many


class MaskedInputs:
    """Makes the arguments of masked forwards from image rows and channels. Each call overwrites what the last one gave.

    Args:
        images: Tensors (N,C,H,W), each masked at its own size.
        arguments: Further arguments of the forward; tensors whose first axis is N go along row by row.
        preset: The definition of Score-CAM, which says what a mask is.
        memory_format: Asked before each batch how the network wants its first argument.
    """

    def __init__(
        self,
        images: tuple[Tensor, ...],
        arguments: tuple[Any, ...],
        preset: Preset,
        memory_format: Callable[[Tensor], torch.memory_format],
    ) -> None:
        self.images = images
        self.arguments = arguments
        self.preset = preset
        self.memory_format = memory_format
        self._buffers: dict[int, Tensor] = {}
        self._images = list(images)

    def __call__(self, rows: Sequence[int], channels: Tensor) -> tuple[Any, ...]:
        """The arguments of one forward.

        Args:
            rows: The image of each mask, b of them, known to the host.
            channels: The masks-to-be, (b,h,w).
        """
        parts = [(row, len(list(same))) for row, same in groupby(rows)]
        masked = [self._masked(index, parts, channels) for index in range(len(self.images))]
        return (*masked, *(self._along(value, parts) for value in self.arguments))

    def _masked(self, index: int, parts: Sequence[tuple[int, int]], channels: Tensor) -> Tensor:
        buffer = self._buffer(index, len(channels))
        images = self._images[index]
        coarse = self.preset.scale_channels(channels, spatial_size(images))
        corners, pixels = self.preset.align_corners, buffer.permute(0, 2, 3, 1)
        if pixels.is_contiguous() and pixels.dtype == coarse.dtype and products_suit(coarse):
            upsample_into(pixels, coarse, align_corners=corners)
            masks = buffer
        else:
            masks = upsample_many(coarse, spatial_size(images), align_corners=corners).unsqueeze(1)
        start = 0
        for row, length in parts:
            stop = start + length
            torch.mul(masks[start:stop], images[row : row + 1], out=buffer[start:stop])
            start = stop
        return buffer

    def _buffer(self, index: int, count: int) -> Tensor:
        """Room for `count` masked inputs; a smaller one when much less is needed, as after memory has run out."""
        images, buffer = self.images[index], self._buffers.get(index)
        wanted = self.memory_format(images) if index == 0 else torch.contiguous_format
        fits = buffer is not None and len(buffer) // 2 < count <= len(buffer)
        if buffer is None or not fits or not buffer.is_contiguous(memory_format=wanted):
            self._buffers.pop(index, None)
            shape = (count, *images.shape[1:])
            buffer = torch.empty(shape, dtype=images.dtype, device=images.device, memory_format=wanted)
            self._buffers[index] = buffer
            self._images[index] = images.contiguous(memory_format=wanted)
        return buffer[:count]

    def _along(self, value: Any, parts: Sequence[tuple[int, int]]) -> Any:
        if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != len(self.images[0]):
            return value
        return torch.cat([value[row : row + 1].expand(length, *value.shape[1:]) for row, length in parts])
