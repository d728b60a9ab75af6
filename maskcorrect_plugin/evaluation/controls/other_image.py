"""`control:other_image`: an explanation of something else."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from maskcorrect_plugin import functional
from maskcorrect_plugin.attribution import Observation
from maskcorrect_plugin.checks import check_finite
from maskcorrect_plugin.correction import maps_per_block
from maskcorrect_plugin.corrector import Group
from maskcorrect_plugin.errors import ArgumentError, ImageError

from .base import FRAME_SETTINGS, VIEW_SETTINGS, ControlInfo, MapControl, SeededControl
from .partners import Partners


class OtherImage(SeededControl, MapControl):
    """Asks again about K views by the same candidates' maps on another image, its partner.

    Everything is as in the correction, also where maps of this method and class usually lie, but they do not belong to
    this image. The partner is the first in a random order of the data set (``torch.randperm`` by
    `SeededControl.generator`) that is not the image itself and can be read. It is resized to the image's size if its
    own is another one.

    Args:
        model: The classifier.
        partners: The data set.
        control_seed: Where the choice of partners starts.
        **options: Those of the corrector.
    """

    info = ControlInfo(
        "control:other_image",
        "the same candidates' maps on another image of the data set",
        "2 + A + K",
        needs_method=True,
        needs_dataset=True,
    )
    depends_on = (*FRAME_SETTINGS, "vote", "weights", *VIEW_SETTINGS)

    def __init__(self, model: nn.Module, partners: Partners, *, control_seed: int = 0, **options: Any) -> None:
        super().__init__(model, control_seed=control_seed, **options)
        if len(partners) < 2:
            raise ArgumentError(f"dataset must hold at least two images for {self.info.name}, got {len(partners)}")
        self.partners = partners

    @property
    def settings(self) -> dict[str, Any]:
        """How many images the partners are chosen from, as well."""
        return {**super().settings, "partners": len(self.partners)}

    def partner(self, image_id: Any) -> Tensor:
        """The input (C,H,W) of the image whose maps are used for the image of that name.

        Raises:
            ImageError: no other image can be read.
        """
        failures: list[ImageError] = []
        for index in torch.randperm(len(self.partners), generator=self.generator(image_id)).tolist():
            if self.partners.name(index) == str(image_id):
                continue
            try:
                return self.partners.inputs(index)
            except ImageError as error:
                failures.append(error)
        raise ImageError(
            f"{image_id}: no other image of the data set can be read, so {self.info.name} has no partner for it "
            f"({len(failures)} tried; the first: {failures[0] if failures else 'none'})"
        )

    def _first_pass(self, inputs: Tensor) -> tuple[Tensor, Observation]:
        """Unobserved: the method watches the partners' forward, not that of the images."""
        return self.engine.scores(inputs), Observation()

    def stream_maps(self, group: Group) -> Iterator[tuple[Tensor | None, Tensor]]:
        """The candidates' maps on the partners."""
        size = functional.spatial_size(group.inputs)
        chosen = [self._placed(name, group.inputs) for name in cast(tuple[Any, ...], group.ids)]
        coarse, group.observation.forwards = self._coarse_maps(torch.cat(chosen), group.candidates)
        for block in torch.split(coarse, maps_per_block(len(group)), dim=1):
            yield block, self.method.render(block, size)

    def _placed(self, image_id: Any, like: Tensor) -> Tensor:
        """A partner (1,C,H,W) on the device and of the size of the images."""
        partner = self.engine.place(self.partner(image_id).unsqueeze(0))
        check_finite("the partner's inputs", partner)
        return functional.upsample(partner, functional.spatial_size(like))

    def _coarse_maps(self, partners: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse maps (n,K,h,w) of the partners, and the forwards (n,) spent on each.

        A partner is treated as a corrector treats its own images: one observed forward, then the method's own.
        """

        def attempt(start: int, stop: int) -> tuple[Tensor, Tensor]:
            before, some, classes = self.engine.passes, partners[start:stop], candidates[start:stop]
            with self.observe(some) as seen:
                self.engine.scores(some)
            coarse = torch.cat(list(self.method.stream_coarse(some, classes, seen, classes.shape[1])), dim=1)
            spent = -(-(self.engine.passes - before) // len(some))
            alike = torch.full_like(classes[:, 0], spent)
            return coarse, alike if seen.forwards is None else 1 + seen.forwards

        done = [result for _, _, result in self.engine.chunks(len(partners), partners, attempt)]
        return torch.cat([coarse for coarse, _ in done]), torch.cat([forwards for _, forwards in done])
