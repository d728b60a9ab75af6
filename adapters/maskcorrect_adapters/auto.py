"""``"auto"``: closed-form CAM where it holds, else Score-CAM with a budget of masks.

CAM's maps are as good for zooming as Score-CAM's, at a fraction of the cost, but only a network whose head reads the
global average of its last feature maps has them. Whether it does is seen on the first images.
"""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionMethod, Observation
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.inference import PassEngine, evaluation_mode

from .cam import CAMMethod
from .streaming import StreamingMethod

MAX_MASKS = 64
"""Score-CAM's budget of masks."""
logger = logging.getLogger("maskcorrect_plugin")


class AutoMethod(StreamingMethod):
    """CAM or Score-CAM, whichever the network allows; chosen once, on the first images, at the price of a forward.

    Args:
        model: The classifier.
        target_layer: A module or its name; None finds it.
    """

    def __init__(self, model: nn.Module, target_layer: str | nn.Module | None = None) -> None:
        super().__init__(model)
        self.target_layer = target_layer
        self.chosen: AttributionMethod | None = None
        self.engine = PassEngine(model)

    def use_engine(self, engine: PassEngine) -> None:
        """Runs forwards on the corrector's engine."""
        self.engine = engine
        if self.chosen is not None:
            self.chosen.use_engine(engine)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the method that was chosen; before that the name alone."""
        return {"method": "auto"} if self.chosen is None else self.chosen.settings

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """The chosen method watches."""
        return self._choice(inputs).observe(inputs)

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The chosen method's."""
        return self._choice(inputs).stream_coarse(inputs, candidates, observation, block)

    def stream_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The chosen method's maps."""
        for coarse in self.stream_coarse(inputs, candidates, observation, block):
            yield self.render(coarse, spatial_size(inputs))

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """As the chosen method does it."""
        if self.chosen is None:
            raise LayerError("method 'auto' has not chosen yet: it does so when it first sees images")
        return self.chosen.render(coarse, size)

    def _choice(self, inputs: Tensor) -> AttributionMethod:
        if self.chosen is None:
            self.chosen = self._choose(inputs[:1])
            self.chosen.use_engine(self.engine)
        return self.chosen

    def _choose(self, image: Tensor) -> AttributionMethod:
        cam = CAMMethod(self.model, self.target_layer)
        try:
            with evaluation_mode(self.model), cam.observe(image):
                self.engine.scores(self.engine.place(image))
        except LayerError as error:
            from .score_cam import ScoreCAMMethod  # imports captum

            logger.info("method 'auto' takes ScoreCAM with %d masks: %s", MAX_MASKS, error)
            return ScoreCAMMethod(self.model, self.target_layer, max_masks=MAX_MASKS)
        return cam
