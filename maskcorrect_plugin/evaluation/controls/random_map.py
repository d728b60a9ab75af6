"""`control:random_map`: masks as smooth as an explanation's that explain nothing."""

from collections.abc import Iterator

import torch
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.correction import maps_per_block
from maskcorrect_plugin.corrector import Group

from .base import FRAME_SETTINGS, VIEW_SETTINGS, ControlInfo, MapControl, SeededControl

CELLS = 7
"""Of the noise along each side: what the last layer of an ImageNet network has for 224 pixels."""


class RandomMap(SeededControl, MapControl):
    """Asks again about K views by random maps: everything as in the correction, but the maps know nothing.

    ``S_k = minmax(upsample(noise_k))`` with ``noise_k`` uniform in [0, 1) on 7 x 7 cells (bilinear,
    align_corners=False). For each image one tensor (K,7,7) is drawn from `SeededControl.generator`. View, threshold,
    fill, weights and vote are the corrector's; `method` does not concern it.
    """

    info = ControlInfo(
        "control:random_map", "K smooth random maps through the same view, threshold and weights", "1 + K"
    )
    depends_on = (*FRAME_SETTINGS, "vote", "weights", *VIEW_SETTINGS)

    def stream_maps(self, group: Group) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Random maps."""
        size = functional.spatial_size(group.inputs)
        noise = [torch.rand(self.top_k, CELLS, CELLS, generator=generator) for generator in self.generators(group)]
        for block in torch.split(torch.stack(noise).to(group.inputs), maps_per_block(len(group)), dim=1):
            yield None, functional.scale_maps(functional.upsample(block, size))
