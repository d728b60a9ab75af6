"""Maps that a run kept, as a method: the recipes of a sweep ask it instead of the one that made them."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from maskcorrect_plugin.attribution import AttributionMethod, Observation
from maskcorrect_plugin.errors import RunError


class KeptMaps(AttributionMethod):
    """Gives each image the maps that were kept of it, by its id and the class.

    Args:
        inner: The method that made them, which renders them.
    """

    def __init__(self, inner: AttributionMethod) -> None:
        super().__init__(inner.model)
        self.inner = inner
        self._maps: dict[str, tuple[Tensor, list[int]]] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the method that made the maps."""
        return self.inner.settings

    def hold(self, maps: Mapping[str, tuple[Tensor, list[int]]]) -> None:
        """Takes the maps of some images in the place of those before.

        Args:
            maps: By id: coarse maps (K,h,w), and the classes that they are of.
        """
        self._maps = dict(maps)

    def attribute(self, inputs: Tensor, target: int | Tensor) -> Tensor:
        """Not without the images' ids, which only a correction knows."""
        raise RunError("kept maps are found by the images' ids; they cannot be made for other images")

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The kept maps of the candidates, (N,k,h,w)."""
        ids = () if observation is None else observation.ids or ()
        chosen = [self._of(str(name), classes.tolist()) for name, classes in zip(ids, candidates, strict=True)]
        yield from torch.split(torch.stack(chosen).to(inputs.device), block, dim=1)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """As the method that made them does it."""
        return self.inner.render(coarse, size)

    def _of(self, image_id: str, classes: list[int]) -> Tensor:
        maps, known = self._maps[image_id]
        missing = [index for index in classes if index not in known]
        if missing:
            raise RunError(
                f"the run kept no map of class {missing[0]} for {image_id!r}: the model answers otherwise than it did"
            )
        return maps[[known.index(index) for index in classes]]
