"""`control:ten_crop`: the usual test-time augmentation of ImageNet networks (Krizhevsky et al., NeurIPS 2012)."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from maskcorrect_plugin.corrector import Group, SecondAnswers

from .base import Control, ControlInfo

MARGIN = 1 / 14
"""Of each side, before and after the image: crops of 224 pixels then come out of 256."""


class TenCrop(Control):
    """Asks again about four corners, the centre, and their mirror images: ``R = sum_v P_v``, all ten with weight 1.

    Corrected is ``(Y + sum_v P_v) / 11``. Crops are as large as the image and come out of the image padded on all sides
    by 1/14 of its length, rounded (16 pixels of 224), so nothing is resized. The original file has real pixels there,
    but no corrector sees it; reflection stands in for them. The centre is the image itself, so ``Y`` counts twice.

    Smaller crops that are resized back would be no fair rival: interpolating once more blurs the image, and a network
    answers blurred images worse. Options: as for `control:hflip`.
    """

    info = ControlInfo(
        "control:ten_crop", "four corners and the centre of the padded image, and their mirror images, all alike", "11"
    )

    @property
    def num_views(self) -> int:
        """Five crops, and their mirror images."""
        return 10

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the crops (views 0 to 4) and to their mirror images (5 to 9)."""
        height, width = group.inputs.shape[-2:]
        down, right = round(MARGIN * height), round(MARGIN * width)
        padded = F.pad(group.inputs, (right, right, down, down), mode="reflect")
        corners = [(0, 0), (0, 2 * right), (2 * down, 0), (2 * down, 2 * right), (down, right)]  # as in five_crop
        starts = torch.tensor(corners, device=padded.device)
        channels = torch.arange(padded.shape[1], device=padded.device)[:, None, None]

        def make_views(rows: Tensor, views: Tensor) -> Tensor:
            top, left = starts[views % 5].unbind(dim=1)
            lines = top[:, None] + torch.arange(height, device=top.device)
            columns = left[:, None] + torch.arange(width, device=left.device)
            crops = padded[rows[:, None, None, None], channels, lines[:, None, :, None], columns[:, None, None, :]]
            return torch.where((views >= 5)[:, None, None, None], crops.flip(-1), crops)

        answers = self.ask_again(group.inputs, self.num_views, make_views)
        yield SecondAnswers(torch.ones_like(answers[..., 0]), answers)
