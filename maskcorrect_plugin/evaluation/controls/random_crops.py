"""`control:random_crops`: zooming in anywhere, with the weights of a correction."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.correction import maps_per_block
from maskcorrect_plugin.corrector import Group, SecondAnswers
from maskcorrect_plugin.views import crop_and_resize

from .base import FRAME_SETTINGS, ControlInfo, SeededControl

MIN_AREA = 0.25
"""The smallest crop, as a share of the image's area; the largest is the whole image."""
MAX_RATIO = 4 / 3
"""Of the crop's aspect to the image's, in either direction."""


class RandomCrops(SeededControl):
    """Asks again about K random crops, weighted as masked images are: ``R = sum_k w_k f(crop_k(X))``.

    A crop's area is uniform in [0.25, 1] of the image's, its place is uniform, and it is resized bilinearly to the
    model's input. Its aspect relative to the image's is log-uniform in [3/4, 4/3], as in torchvision's
    ``RandomResizedCrop`` on square images. Where a large area leaves less room, the range is narrowed to what fits;
    torchvision draws again instead, which makes large areas rarer than it says.

    The k-th crop takes the place of the k-th candidate's view, so `weights` and `vote` count as they do there.
    `method`, `threshold`, `view` and `fill` do not concern it.
    """

    info = ControlInfo("control:random_crops", "K crops of random area and place, weighted as masked images", "1 + K")
    depends_on = (*FRAME_SETTINGS, "vote", "weights")

    @property
    def num_views(self) -> int:
        """One crop for each candidate."""
        return self.top_k

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the crops, block by block."""
        weights = functional.candidate_weights(group.probs, group.candidates, self.weights)
        size = functional.spatial_size(group.inputs)
        drawn = [random_boxes(self.top_k, size, generator) for generator in self.generators(group)]
        boxes = torch.stack(drawn).to(group.inputs)
        for views in torch.split(torch.arange(self.top_k, device=boxes.device), maps_per_block(len(group))):
            answers = self.ask_again(group.inputs, len(views), _Crops(group.inputs, boxes[:, views]))
            yield SecondAnswers(weights[:, views], answers, own=group.candidates[:, views])


class _Crops:
    """Makes views from image rows and crop numbers."""

    def __init__(self, inputs: Tensor, boxes: Tensor) -> None:
        self.inputs = inputs
        self.boxes = boxes

    def __call__(self, rows: Tensor, views: Tensor) -> Tensor:
        return crop_and_resize(self.inputs[rows], self.boxes[rows, views])


def random_boxes(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random boxes in pixels.

    With area ``a`` and relative aspect ``r`` a box has ``sqrt(a / r)`` of the height and ``sqrt(a r)`` of the width,
    rounded, at least one pixel; it fits where ``a <= r <= 1 / a``.

    Args:
        count: How many.
        size: ``(H, W)`` of the image.
        generator: On the CPU. Four numbers are drawn for each box: area, aspect, top, left.

    Returns:
        Tensor (count,4) int64 of ``(top, bottom, left, right)`` with exclusive ends.
    """
    drawn = torch.rand(count, 4, generator=generator, dtype=torch.float64)
    area = MIN_AREA + (1 - MIN_AREA) * drawn[:, 0]
    bound = (-area.log()).clamp_max(math.log(MAX_RATIO))
    ratio = ((2 * drawn[:, 1] - 1) * bound).exp()
    shares = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], dim=1)
    sides = torch.tensor(size, dtype=torch.float64)
    lengths = (shares * sides).round().clamp_min(1).minimum(sides)
    starts = (drawn[:, 2:] * (sides - lengths + 1)).floor()
    return torch.stack([starts, starts + lengths], dim=2).flatten(1).to(torch.int64)
