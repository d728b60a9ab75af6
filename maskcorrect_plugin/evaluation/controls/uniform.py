"""`control:uniform`: maps of ones, which must change nothing."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from maskcorrect_plugin.correction import maps_per_block
from maskcorrect_plugin.corrector import Group, SecondAnswers

from .base import ControlInfo, MapControl


class Uniform(MapControl):
    """Asks again about K views by maps of ones: ``P_k = Y``, so corrected is ``Y``.

    It is a check of the whole path and not a rival: whatever it changes is an error, or the arithmetic of half
    precision. All its maps are flat, and flagged as such. It always takes the whole distribution: the diagonal vote
    would add to the candidates alone, even here.
    """

    info = ControlInfo("control:uniform", "maps of ones: must equal no correction", "1 + K")

    def second_answers(self, group: Group) -> Iterator[SecondAnswers]:
        """What the model says to the image itself, once for each candidate."""
        for answers in super().second_answers(group):
            yield replace(answers, own=None)

    def stream_maps(self, group: Group) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Ones."""
        count, height, width = len(group), *group.inputs.shape[-2:]
        for columns in torch.split(group.candidates, maps_per_block(count), dim=1):
            yield None, group.inputs.new_ones(1).expand(count, columns.shape[1], height, width)
