"""`control:single_mask`: one mask from the maps of all candidates (MultiCAM)."""

import torch
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.corrector import Group

from .base import ControlInfo
from .one_mask import OneMask


class SingleMask(OneMask):
    """Asks again about one view by the weighted sum of all maps: ``S = minmax(sum_k w_k S_k)``.

    The idea of MultiCAM (Remote Sensing 11(5):544, 2019), which filters the image by the maps of several classes at
    once, without its second network. A flat map adds nothing to the sum.
    """

    info = ControlInfo(
        "control:single_mask",
        "one mask from the maps of all candidates, minmax(sum_k w_k S_k)",
        "2 + A",
        needs_method=True,
    )

    def one_map(self, group: Group) -> Tensor:
        """The weighted sum of the candidates' maps, scaled."""
        weights = functional.candidate_weights(group.probs, group.candidates, self.weights)
        total, start = torch.zeros_like(group.inputs[:, :1]), 0
        for _, maps in self.stream_maps(group):
            maps, _ = functional.zero_where_flat(maps)
            columns = slice(start, start + maps.shape[1])
            start = columns.stop
            total += torch.einsum("nk,nkhw->nhw", weights[:, columns], maps.to(weights.dtype)).unsqueeze(1)
        return functional.scale_maps(total)
