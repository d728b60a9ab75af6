"""Methods whose work is done in `stream_candidates`; the other two ways to ask for maps follow from it."""

import torch
from torch import Tensor

from maskcorrect_plugin.attribution import AttributionMethod, Observation
from maskcorrect_plugin.checks import check_candidates, check_inputs, check_target


class StreamingMethod(AttributionMethod):
    """A method that overrides `stream_candidates`, because part of its work serves all candidates."""

    def attribute(self, inputs: Tensor, target: int | Tensor) -> Tensor:
        """The map of one class for each image, (N,1,H,W)."""
        check_inputs(inputs)
        classes = check_target(target, len(inputs))
        return self.attribute_candidates(inputs, classes.unsqueeze(1))

    def attribute_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None
    ) -> Tensor:
        """The maps of several classes of each image, (N,K,H,W), in a single block."""
        check_inputs(inputs)
        candidates = check_candidates(candidates, len(inputs))
        blocks = self.stream_candidates(inputs, candidates, observation, block=candidates.shape[1])
        return torch.cat(list(blocks), dim=1)
