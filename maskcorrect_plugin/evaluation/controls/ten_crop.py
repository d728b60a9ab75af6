"""`control:ten_crop`: the usual test-time augmentation of ImageNet networks (Krizhevsky et al., NeurIPS 2012)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from maskcorrect_plugin.corrector import Group, SecondAnswers
from maskcorrect_plugin.views import crop_and_resize

from .base import Control, ControlInfo

SHARE = 7 / 8
"""Of each side: the convention of 224 pixels out of 256, applied to the input that the model was given."""


class TenCrop(Control):
    """Asks again about four corners, the centre, and their mirror images: ``R = sum_v P_v``, all ten with weight 1.

    Corrected is ``(Y + sum_v P_v) / 11``. A crop has 7/8 of each side, rounded, and is resized bilinearly to the
    model's input. It is cut from that input and not from the original image, which no corrector sees, so what the
    transform cut off does not come back. Options: as for `control:hflip`.
    """

    info = ControlInfo(
        "control:ten_crop", "four corners and the centre at 7/8 of each side, and their mirror images, all alike", "11"
    )

    @property
    def num_views(self) -> int:
        """Five crops, and their mirror images."""
        return 10

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the crops (views 0 to 4) and to their mirror images (5 to 9)."""
        boxes = five_boxes(*group.inputs.shape[-2:]).to(group.inputs)

        def make_views(rows: Tensor, views: Tensor) -> Tensor:
            crops = crop_and_resize(group.inputs[rows], boxes[views % 5])
            return torch.where((views >= 5)[:, None, None, None], crops.flip(-1), crops)

        answers = self.ask_again(group.inputs, self.num_views, make_views)
        yield SecondAnswers(torch.ones_like(answers[..., 0]), answers)


def five_boxes(height: int, width: int) -> Tensor:
    """Corners and centre, in torchvision's order (``five_crop``): tensor (5,4) of ``(top, bottom, left, right)``.

    Example:
        >>> five_boxes(16, 16)[[0, 4]]
        tensor([[ 0, 14,  0, 14],
                [ 1, 15,  1, 15]])
    """
    rows, columns = max(1, round(SHARE * height)), max(1, round(SHARE * width))
    down, right = height - rows, width - columns
    corners = [(0, 0), (0, right), (down, 0), (down, right), (round(down / 2), round(right / 2))]
    return torch.tensor([(top, top + rows, left, left + columns) for top, left in corners])
