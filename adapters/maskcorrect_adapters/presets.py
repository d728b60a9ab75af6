"""Score-CAM is several functions under one name. Each preset is one of them, exactly.

==============  ==========================  ================  ===============  =========================================
preset          mask from activations       score             over channels    map from weighted sum
==============  ==========================  ================  ===============  =========================================
``official``    upsample, then min-max      probability       as it is         upsample, ReLU, min-max
``paper_v2``    upsample, then min-max      probability       softmax (live)   upsample, ReLU, min-max
``grad_cam``    upsample (corners           logit             softmax (all)    ReLU, min-max, upsample, min-max
                aligned), then min-max
``torchcam``    min-max, then upsample      logit             softmax (all)    ReLU, min-max, upsample
==============  ==========================  ================  ===============  =========================================

``official`` is the code of the paper's authors (Wang et al., CVPRW 2020, arXiv 1910.01279v1); ``paper_v2`` the text of
the arXiv version 2, whose baseline f(X_b) drops out, since softmax does not see a shift; ``grad_cam`` is
pytorch-grad-cam 1.5, ``torchcam`` is torchcam 0.5. Epsilons are those of the libraries, in float32 at least, where
they do not underflow.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskcorrect_plugin.functional import at_least_float32, is_flat, scale_maps, upsample_maps

from .upsampling import upsample_many


@dataclass(frozen=True)
class Preset:
    """One definition of Score-CAM.

    Attributes:
        name: How it is asked for.
        align_corners: Of the upsampling of masks.
        mask_epsilon: Added to the range of a mask; None divides exactly.
        scale_mask_first: Min-max masks at the layer's resolution, before upsampling.
        use_logits: Score by the model's raw output instead of its probability.
        softmax: Softmax of the scores over the channels.
        counts_dead: Constant channels take part (all by one forward of the zero input); otherwise they are skipped.
        map_epsilon: Added to the range of the map; None divides exactly.
        scale_map_first: ReLU and min-max at the layer's resolution, before upsampling.
        scale_map_last: Min-max at the input's resolution.
    """

    name: str
    align_corners: bool = False
    mask_epsilon: float | None = None
    scale_mask_first: bool = False
    use_logits: bool = False
    softmax: bool = False
    counts_dead: bool = False
    map_epsilon: float | None = None
    scale_map_first: bool = False
    scale_map_last: bool = True

    def masks(self, channels: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks ``H_k`` in [0, 1] from single channels, (B,h,w) to (B,H,W)."""
        return upsample_many(self.scale_channels(channels, size), size, align_corners=self.align_corners)

    def scale_channels(self, channels: Tensor, size: tuple[int, int]) -> Tensor:
        """Channels (B,h,w) scaled so that upsampling them gives the masks.

        Upsampling is linear and leaves constants as they are, so scaling its result is scaling what goes into it, by
        the extremes of the result. Those of the channel itself are not always reached.
        """
        maps, epsilon = at_least_float32(channels), self.mask_epsilon
        if self.scale_mask_first:
            return _scale(maps, epsilon)
        if epsilon is None:
            maps = torch.where(is_flat(maps)[:, None, None], 0, maps)
        low, span = _range(upsample_many(maps, size, align_corners=self.align_corners))
        return (maps - low) / (torch.where(span > 0, span, 1) if epsilon is None else span + epsilon)

    def weights(self, scores: Tensor, live: Tensor) -> Tensor:
        """Channel weights ``alpha`` from scores.

        Args:
            scores: (N,C,K); those of dead channels are only read when the preset counts them.
            live: (N,C) bool.

        Returns:
            Tensor (N,C,K).
        """
        if not self.counts_dead:
            scores = scores.masked_fill(~live.unsqueeze(-1), -torch.inf if self.softmax else 0)
        if not self.softmax:
            return scores
        # No live channel at all leaves 0 / 0, which means: no weights.
        return scores.softmax(dim=1).nan_to_num(0.0)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Weighted sums (N,K,h,w) to maps (N,K,H,W) in [0, 1]."""
        if self.scale_map_first:
            maps = upsample_maps(_scale(coarse.relu(), self.map_epsilon), size)
        else:
            maps = upsample_maps(coarse, size).relu()
        return _scale(maps, self.map_epsilon) if self.scale_map_last else maps


def _scale(maps: Tensor, epsilon: float | None) -> Tensor:
    """Min-max, exact or with a library's epsilon in the denominator."""
    if epsilon is None:
        return scale_maps(maps)
    low, span = _range(maps)
    return (maps - low) / (span + epsilon)


def _range(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum of each map, and maximum less minimum."""
    low = maps.amin(dim=(-2, -1), keepdim=True)
    return low, maps.amax(dim=(-2, -1), keepdim=True) - low


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("official"),
        Preset("paper_v2", softmax=True),
        Preset(
            "grad_cam",
            align_corners=True,
            mask_epsilon=1e-8,
            use_logits=True,
            softmax=True,
            counts_dead=True,
            map_epsilon=1e-7,
            scale_map_first=True,
        ),
        Preset(
            "torchcam",
            mask_epsilon=1e-8,
            scale_mask_first=True,
            use_logits=True,
            softmax=True,
            counts_dead=True,
            map_epsilon=1e-8,
            scale_map_first=True,
            scale_map_last=False,
        ),
    )
}
