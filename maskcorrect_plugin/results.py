"""`CorrectionResult`: what a correction did to some images."""

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .checks import check_choice
from .errors import ArgumentError, ArgumentTypeError
from .html_tables import html_table
from .recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = "maskcorrect_plugin.visualization"
"""Stands above this module, which therefore knows it by name only."""
ROWS_SHOWN = 10
"""Images that a notebook's table of a result lists."""
KEEP = ("attributions", "view_probs", "coarse_maps")
"""What `keep` may name: costly in memory, so it is only kept when asked for."""


@dataclass(frozen=True)
class CorrectionResult:
    """What the correction did to N images, with M classes and K candidates. All tensors are on the model's device.

    A correction predicts again on V pictures of each image: one for each candidate of a view that follows each map, one
    of a view that follows the merged map, and as many as an unguided view has, view after view (`columns`).

    Attributes:
        probs: ``Y``, (N,M): the model's own distribution.
        candidates: (N,K) int64: the most probable classes, most probable first.
        correction: ``R``, (N,M): what is added to ``Y``, or in the log pool to ``log Y``; zero where nothing was
            corrected.
        corrected_probs: ``(Y + R)`` divided by its sum, (N,M): see `functional.apply_correction`.
        gap: ``Y[c_1] - Y[c_min(5,M)]``, (N,).
        corrected: (N,) bool: False where `max_gap` passed the image unchanged.
        changed: (N,) bool: the most probable class is another one now.
        flat: (N,V) bool: the map behind the picture carried no information, so that it shows the image unchanged.
        weights: (N,V): the weight of each answer in ``R``; zero where nothing was corrected.
        forwards: (N,) int64: forwards of the model that this correction takes of each image, by itself.
        saved: (N,) int64: pictures that took no forward, because the image showed an equal one.
        seconds: (N,) float32: what the correction took, shared evenly among the images of a batch.
        attributions: The maps ``S_k`` of the candidates, (N,K,H,W) in [0, 1], if kept; zero where nothing was
            corrected, and for recipes without maps.
        view_probs: The answers ``P_v``, (N,V,M), if kept; zero where nothing was corrected.
        coarse_maps: The maps as the method makes them, before scaling and upsampling, (N,K,h,w), if kept and if the
            recipe has maps: ``method.render(coarse_maps, (H, W))`` gives the attributions. NaN where nothing was
            corrected.
        columns: For each view its text form and how many of the V pictures are its own, in order.
        recipe: What gave the result, with what ``"auto"`` took and the layer that was found.
        settings: Everything that the result depends on besides model and images: the options of the recipe, as they
            were resolved, with ``output`` and ``precision``.
    """

    probs: Tensor
    candidates: Tensor
    correction: Tensor
    corrected_probs: Tensor
    gap: Tensor
    corrected: Tensor
    changed: Tensor
    flat: Tensor
    weights: Tensor
    forwards: Tensor
    saved: Tensor
    seconds: Tensor
    attributions: Tensor | None = None
    view_probs: Tensor | None = None
    coarse_maps: Tensor | None = None
    columns: tuple[tuple[str, int], ...] = ()
    recipe: Recipe | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def prediction(self) -> Tensor:
        """The model's own answer, (N,) int64."""
        return self.probs.argmax(dim=-1)

    @property
    def corrected_prediction(self) -> Tensor:
        """The answer after correction, (N,) int64."""
        return self.corrected_probs.argmax(dim=-1)

    def columns_of(self, view: int) -> slice:
        """Where the pictures of one view are among the V, for example in ``view_probs[:, columns]``.

        Args:
            view: Its position in `columns`.
        """
        start = sum(count for _, count in self.columns[:view])
        return slice(start, start + self.columns[view][1])

    def show(self, image: Any, index: int = 0, **options: Any) -> "Figure":
        """The figure of one image, which a notebook displays: `visualization.draw_correction`.

        Args:
            image: What the network saw, as large as its input.
            index: Which image of the result.
            **options: Of `draw_correction`: ``class_names``, ``view_images``, ``title``, ``label``.

        Raises:
            ValueError: ``attributions`` and ``view_probs`` were not kept, or shapes do not fit.
        """
        figure: Figure = importlib.import_module(FIGURES).draw_correction(image, self, index, **options)
        return figure

    def _repr_html_(self) -> str:
        """The answers before and after, as a notebook shows them."""
        rows = [self._html_row(index) for index in range(min(len(self), ROWS_SHOWN))]
        more = f"and {len(self) - ROWS_SHOWN:,} more images; " if len(self) > ROWS_SHOWN else ""
        changed = f"{int(self.changed.sum()):,} of {len(self):,} answers changed"
        title = f"Correction by {self.settings['method']}" if "method" in self.settings else "Correction"
        return html_table(["image", "before", "after", "gap", "forwards"], rows, title, more + changed)

    def _html_row(self, index: int) -> list[str]:
        before, after = (
            f"class {int(probs[index].argmax())} ({float(probs[index].max()):.3f})"
            for probs in (self.probs, self.corrected_probs)
        )
        mark = "" if self.corrected[index] else ", passed unchanged"
        mark = ", changed" if self.changed[index] else mark
        return [str(index), before, after + mark, f"{float(self.gap[index]):.3f}", f"{int(self.forwards[index]):,}"]

    def select(self, rows: slice | Tensor | int) -> "CorrectionResult":
        """The same for some of the images only.

        Args:
            rows: A slice, indices (n,) or a mask (N,); a number gives the result of that one image.
        """
        chosen: Any = slice(rows, rows + 1) if isinstance(rows, int) else rows
        selected: dict[str, Any] = {name: value[chosen] for name, value in self._tensors().items()}
        return replace(self, **selected)

    def to(self, device: torch.device | str) -> "CorrectionResult":
        """The same result with all tensors on `device`."""
        moved: dict[str, Any] = {name: value.to(device) for name, value in self._tensors().items()}
        return replace(self, **moved)

    def _tensors(self) -> dict[str, Tensor]:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    @staticmethod
    def cat(results: Sequence["CorrectionResult"]) -> "CorrectionResult":
        """Results of several batches with the same settings as one."""
        if not results:
            raise ArgumentError("results must hold at least one CorrectionResult, got none")
        if len(results) == 1:
            return results[0]
        names = results[0]._tensors()
        joined: dict[str, Any] = {name: torch.cat([getattr(result, name) for result in results]) for name in names}
        return replace(results[0], **joined)


def check_keep(keep: Collection[str]) -> frozenset[str]:
    """Names of what is to be kept, out of `KEEP`."""
    if isinstance(keep, str) or not isinstance(keep, Collection):
        raise ArgumentTypeError(f"keep must be a collection of names such as ('attributions',), got {keep!r}")
    for name in keep:
        check_choice("keep", name, KEEP)
    return frozenset(keep)
