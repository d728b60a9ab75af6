"""Which images of a part are kept as thumbnails: those that changed, the most telling first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from maskcorrect_plugin.functional import spatial_size
from maskcorrect_plugin.normalization import denormalize, known_or_spread

from .correctable import Answer, Correctable
from .records.thumbnails import kind_of, pack_thumbnail


@dataclass(frozen=True)
class _Picture:
    importance: float
    kind: str
    row: Mapping[str, Any]
    image: Tensor
    coarse: Tensor | None


class PictureSelection:
    """The most telling images of those that it is offered.

    Fixed and broken answers come before those that were wrong before and after; among them the ones whose true class
    gained or lost most. Only what is kept in the end is drawn.

    Args:
        corrector: Draws the maps, where its method has any.
        limit: Pictures at most.
        mean: Of the normalisation; None where it is not known.
        std: Likewise.
    """

    def __init__(
        self, corrector: Correctable, limit: int, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        self.corrector = corrector
        self.limit = limit
        self.mean, self.std = mean, std
        self._best: list[_Picture] = []

    def offer(self, row: Mapping[str, Any], answer: Answer, image: Tensor) -> None:
        """Keeps an image for as long as no more telling ones come.

        Args:
            row: Its record.
            answer: What became of it.
            image: What the model was given, (C,H,W).
        """
        known = row["label"] is not None
        right = (row["label_rank_before"] == 1, row["label_rank_after"] == 1) if known else (None, None)
        kind = kind_of(row["changed"], *right)
        if self.limit == 0 or kind is None or answer.result is None:
            return
        moved = abs(row["label_prob_after"] - row["label_prob_before"]) if known else 0.0
        coarse = answer.result.coarse_maps
        maps = None if coarse is None else coarse[answer.row : answer.row + 1]
        self._best.append(_Picture(moved + (kind != "changed"), kind, row, image, maps))
        self._best = sorted(self._best, key=lambda picture: -picture.importance)[: self.limit]

    def rows(self) -> list[dict[str, Any]]:
        """The chosen images as rows of thumbnails, the most telling first."""
        return [self._drawn(picture) for picture in self._best]

    def _drawn(self, picture: _Picture) -> dict[str, Any]:
        method = getattr(self.corrector, "method", None)
        maps = None
        if picture.coarse is not None and method is not None:
            maps = method.render(picture.coarse, spatial_size(picture.image))[0]
        shown = denormalize(picture.image, *known_or_spread(picture.image, self.mean, self.std))
        row = {"index": picture.row["index"], "id": picture.row["id"], "kind": picture.kind}
        return {**row, **pack_thumbnail(shown, maps)}
