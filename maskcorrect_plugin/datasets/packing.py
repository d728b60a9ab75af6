"""Pictures of many sizes in one piece: a process hands on two tensors for a group, not two for each picture.

Every tensor that goes from process to process takes a file descriptor of its own until it is freed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from maskcorrect_plugin.images import Stack
from maskcorrect_plugin.pictures import Box, Picture


class PackedStack(NamedTuple):
    """A `Stack` whose pictures are one tensor.

    Attributes:
        inputs: As in the stack.
        kept: Likewise.
        failures: Likewise.
        pixels: Tensor (bytes,) uint8: the pixels of all pictures, (h,w,3) each, one after the other.
        shapes: (h,w) of each.
        boxes: Box of each.
        sizes: Size of each as it came.
    """

    inputs: Tensor
    kept: list[int]
    failures: dict[int, str]
    pixels: Tensor
    shapes: list[tuple[int, int]]
    boxes: list[Box]
    sizes: list[tuple[int, int]]

    def unpack(self) -> Stack:
        """The stack; its pictures look into the tensors of this one."""
        parts = torch.split(self.pixels, [3 * height * width for height, width in self.shapes])
        pictures = [
            Picture(row, part.view(*shape, 3).permute(2, 0, 1), box, size)
            for row, part, shape, box, size in zip(self.inputs, parts, self.shapes, self.boxes, self.sizes, strict=True)
        ]
        return Stack(self.inputs, self.kept, self.failures, pictures)


def pack(stack: Stack) -> PackedStack:
    """A stack with pictures in a form that is cheap to send."""
    pictures = stack.pictures or []
    flat = [picture.pixels.permute(1, 2, 0).reshape(-1) for picture in pictures]
    return PackedStack(
        stack.inputs,
        stack.kept,
        stack.failures,
        torch.cat(flat) if flat else torch.empty(0, dtype=torch.uint8),
        [(picture.pixels.shape[1], picture.pixels.shape[2]) for picture in pictures],
        [picture.box for picture in pictures],
        [picture.size for picture in pictures],
    )
