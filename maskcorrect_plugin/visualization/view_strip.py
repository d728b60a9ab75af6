"""The part of an image's figure for views that follow the merged map or none, and the boxes of all views."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from maskcorrect_plugin.pictures import Box

from .correction_case import Case, Shown, number
from .palette import EDGE, LINE, NORMAL, wrap
from .pictures import Pixels, draw_box, fitted_size, overlay

WIDEST = 1.5
"""Inches: width of a panel, at most."""
PER_ROW = 6
"""Panels side by side, at most."""
GAP = 0.08
"""Inches between panels."""
BOX_STYLES = (("#F0E442", "solid"), ("#CC79A7", "dashed"), ("#56B4E9", "dotted"), ("#7BE495", "dashdot"))
"""Colours and lines of boxes on the original; what was cut out there has a frame of the colour. Beyond four they come
again."""
TEXT_LINES = 4
"""Of what was said to pictures that were not given."""


@dataclass(frozen=True)
class Tile:
    """One panel.

    Attributes:
        place: Left, top, width, height in inches.
        picture: (h,w,3).
        title: Above it, broken into lines.
        caption: Below it, likewise.
        shown: What of the case it is; None for the original and the merged map.
        is_original: Whether it is the original, which boxes are drawn on.
    """

    place: tuple[float, float, float, float]
    picture: Pixels
    title: str
    caption: str
    shown: Shown | None = None
    is_original: bool = False


class Strip:
    """The original, the merged map and the pictures of all views but those by candidate, in rows.

    Attributes:
        tiles: The panels.
        text: What was said to pictures that were not given; empty where all were.
        text_top: Where it stands.
        bottom: Where the strip ends.
    """

    def __init__(self, case: Case, width: float, top: float) -> None:
        aspect = case.picture.shape[0] / case.picture.shape[1]
        panels = _panels(case)
        if [panel.is_original for panel in panels] == [True]:
            aspect = panels[0].picture.shape[0] / panels[0].picture.shape[1]
        per_row = -(-len(panels) // -(-len(panels) // PER_ROW)) if panels else 1
        self.cell = min((width - 2 * EDGE + GAP) / per_row - GAP, WIDEST)
        size = fitted_size(self.cell, aspect)
        titles = [wrap(panel.title, self.cell, NORMAL) for panel in panels]
        captions = [self._caption(case, panel) for panel in panels]
        above = max((_height(text) for text in titles), default=0.0) + 0.06
        block = above + size[1] + max((_height(text) for text in captions), default=0.0) + 0.12
        self.tiles = []
        for position, (panel, title, caption) in enumerate(zip(panels, titles, captions, strict=True)):
            row, column = divmod(position, per_row)
            left = EDGE + column * (self.cell + GAP)
            place = _inside((left, top + row * block + above, self.cell, size[1]), panel.picture)
            self.tiles.append(Tile(place, panel.picture, title, caption, panel.shown, panel.is_original))
        self.text_top = top + -(-len(panels) // per_row) * block
        self.text = wrap(_unseen(case), width - 2 * EDGE, NORMAL, TEXT_LINES)
        self.bottom = self.text_top + (_height(self.text) + 0.06 if self.text else 0)

    def _caption(self, case: Case, panel: Tile) -> str:
        if panel.shown is None:
            return ""
        return f"{wrap(case.names[panel.shown.answer], self.cell, NORMAL)}\n{number(panel.shown.prob)}"


def _panels(case: Case) -> list[Tile]:
    """What there is to show, without places yet."""
    nowhere = (0.0, 0.0, 0.0, 0.0)
    panels = []
    if case.original is not None and case.boxes():
        panels.append(Tile(nowhere, case.original, "original", "", is_original=True))
    if case.merged is not None:
        panels.append(Tile(nowhere, overlay(case.picture, case.merged), "merged map", ""))
    for shown in case.others:
        if shown.picture is not None:
            panels.append(Tile(nowhere, shown.picture, shown.label, "", shown))
    return panels


def _unseen(case: Case) -> str:
    """What was said to pictures that were not given."""
    said = [
        f"{shown.label}: {case.names[shown.answer]} {number(shown.prob)}"
        for shown in case.others
        if shown.picture is None
    ]
    return "asked again: " + "; ".join(said) if said else ""


def _inside(place: tuple[float, float, float, float], picture: Pixels) -> tuple[float, float, float, float]:
    """The largest place of a picture's proportions in the middle of another."""
    left, top, width, height = place
    scale = min(width / picture.shape[1], height / picture.shape[0])
    wide, high = scale * picture.shape[1], scale * picture.shape[0]
    return left + (width - wide) / 2, top + (height - high) / 2, wide, high


def _height(text: str) -> float:
    return (text.count("\n") + 1) * NORMAL * LINE if text else 0.0


def draw_boxes(axes: Axes, case: Case) -> None:
    """The boxes on the original, and thin where the input lies in it."""
    boxes = case.boxes()
    if case.place is not None and case.place not in boxes:
        draw_box(axes, case.place, "white", "solid", 0.6)
    for position, box in enumerate(boxes):
        draw_box(axes, box, *BOX_STYLES[position % len(BOX_STYLES)])


def frame_panel(axes: Axes, boxes: Sequence[Box], shown: Shown) -> None:
    """A picture that was cut out of the original gets the frame of its box there."""
    if shown.box is None or len(boxes) < 2:
        return
    color, _ = BOX_STYLES[boxes.index(shown.box) % len(BOX_STYLES)]
    for spine in axes.spines.values():
        spine.set(edgecolor=color, linewidth=2.4)
