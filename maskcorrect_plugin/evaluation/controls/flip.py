"""`control:hflip`: the mirrored image, the cheapest second look there is."""

from collections.abc import Iterator

import torch
from torch import Tensor

from maskcorrect_plugin.corrector import Group, SecondAnswers

from .base import Control, ControlInfo


class HorizontalFlip(Control):
    """Asks again about the image mirrored left to right: ``R = f(flip(X))``, corrected ``(Y + f(flip(X))) / 2``.

    Of the corrector's options it looks at those of the frame only: `max_gap`, and `top_k` for the candidates that a
    result lists. A view of the whole image belongs to no candidate, so `weights` and `vote` do not concern it.
    """

    info = ControlInfo("control:hflip", "the mirrored image, with the same weight as the image itself", "2")

    @property
    def num_views(self) -> int:
        """The mirrored image."""
        return 1

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the mirrored image."""

        def mirror(rows: Tensor, _views: Tensor) -> Tensor:
            return group.inputs[rows].flip(-1)

        answers = self.ask_again(group.inputs, self.num_views, mirror)
        yield SecondAnswers(torch.ones_like(answers[..., 0]), answers)
