"""A model that remembers: perturbed forwards that do not depend on the class are run once for all classes.

Score-CAM, Ablation-CAM or occlusion run the same perturbed inputs for every class and read another column of the
scores. Libraries repeat them per class; a `Replay` in place of the model answers the repetitions from memory.
"""

import torch
from torch import Tensor, nn

from maskcorrect_plugin.errors import ModelOutputError
from maskcorrect_plugin.inference import class_scores, first_tensor


class Replay(nn.Module):
    """Answers the n-th forward after `rewind` with what the n-th forward gave the first time.

    It also hands inputs over in the model's precision and gives class scores in at least float32, so that libraries
    that go through NumPy work with bfloat16 models.

    Args:
        model: The classifier. It is run without gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._outputs: list[Tensor] = []
        self._position = 0

    def rewind(self) -> "Replay":
        """Starts the sequence again; what is already known is not run again."""
        self._position = 0
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Class scores (B,M)."""
        if self._position == len(self._outputs):
            reference = first_tensor(self.model)
            with torch.no_grad():
                output = self.model(inputs if reference is None else inputs.to(reference.dtype))
            self._outputs.append(class_scores(output, len(inputs)))
        scores = self._outputs[self._position]
        if len(scores) != len(inputs):
            raise ModelOutputError("the library ran another sequence of forwards for another class; please report this")
        self._position += 1
        return scores
