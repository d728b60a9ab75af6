"""One image by several methods: what each of them says that the network used, and the answer that it leads to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.results import CorrectionResult

from .correction_case import display_names, number, outcome_of
from .palette import (
    COLORS,
    EDGE,
    LARGE,
    LINE,
    MUTED,
    NORMAL,
    PAGE_WIDTH,
    SMALL,
    add_text,
    draw_note,
    new_figure,
    styled,
    text_width,
    wrap,
)
from .pictures import FLAT, Pixels, as_picture, draw_map_scale, fitted_size, kept_maps, overlay, show_picture

PER_ROW = 5
"""Panels side by side, the input among them."""
SIDE = 0.95
"""Inches for the name of the class at the left of its maps."""
GAP, BLOCK = 0.08, 0.16
"""Inches between panels, and from one row of methods to the next."""
NARROWEST = 3
"""The figure is at least as wide as so many panels side by side."""


@dataclass(frozen=True)
class Panel:
    """A map to draw, or a few words in its place."""

    values: Pixels | None
    note: str = ""


@dataclass(frozen=True)
class MethodColumn:
    """What one method made of the image.

    Attributes:
        name: Of the method.
        panels: One for each class that is asked about.
        answer: The most probable class after correction.
        prob: Its probability.
    """

    name: str
    panels: tuple[Panel, ...]
    answer: int
    prob: float


def draw_methods(
    image: Any,
    results: Mapping[str, CorrectionResult],
    index: int = 0,
    *,
    num_maps: int = 1,
    class_names: Sequence[str] | None = None,
    label: int | None = None,
    title: str | None = None,
) -> Figure:
    """One image by several methods: the map of the same class by each, and the answer that it leads to.

    Args:
        image: What the network saw, as in `draw_correction`.
        results: By the method's name, in the order drawn: results of the same model on the same inputs, each with its
            ``attributions`` kept.
        index: Which image of the results.
        num_maps: Maps of so many of the most probable classes are drawn, one below the other.
        class_names: One for each class; ``"class 0"``, ... if None.
        label: The true class, if known: says which answers are fixed and which broken.
        title: Instead of a heading that names the image's answer.

    Raises:
        ValueError: there is no method, maps were not kept, or the results are of different models or images.
        TypeError: `image` is nothing that can be displayed.
    """
    first = _check_results(results, index)
    check_int("num_maps", num_maps, 1, first.candidates.shape[1])
    picture = as_picture(image)
    size = tuple(kept_maps(first, index).shape[-2:])
    if picture.shape[:2] != size:
        raise ArgumentError(f"image must be as large as the maps, {size} (H,W), got {picture.shape[:2]}")
    num_classes = first.probs.shape[1]
    names = display_names(class_names, num_classes)
    if label is not None:
        check_int("label", label, 0, num_classes - 1)
    classes = first.candidates[index, :num_maps].tolist()
    columns = [_column(name, result, index, classes) for name, result in results.items()]
    answer = int(first.probs[index].argmax())
    with styled():
        grid = Grid(picture, columns, names, [(one, float(first.probs[index, one])) for one in classes], label, answer)
        return grid.draw(title or f"{names[answer]}: one image by {len(columns)} methods")


def _check_results(results: Mapping[str, CorrectionResult], index: int) -> CorrectionResult:
    """The first of them, which the others have to fit."""
    if not results:
        raise ArgumentError("results must hold at least one method, got none")
    first, *others = results.values()
    shape = kept_maps(first, index).shape[-2:]
    for name, other in zip([*results][1:], others, strict=True):
        if other.probs.shape != first.probs.shape or kept_maps(other, index).shape[-2:] != shape:
            raise ArgumentError(
                f"results must be of the same model and images, but {name!r} has probabilities "
                f"{tuple(other.probs.shape)} and maps {tuple(kept_maps(other, index).shape[-2:])}, not "
                f"{tuple(first.probs.shape)} and {tuple(shape)}"
            )
    return first


def _column(name: str, result: CorrectionResult, index: int, classes: Sequence[int]) -> MethodColumn:
    after = result.corrected_probs[index]
    answer = int(after.argmax())
    panels = tuple(_panel(result, index, one) for one in classes)
    return MethodColumn(name, panels, answer, float(after[answer]))


def _panel(result: CorrectionResult, index: int, wanted: int) -> Panel:
    """The map of one class, wherever it stands among this result's candidates."""
    maps = kept_maps(result, index)
    candidates = result.candidates[index].tolist()
    if not bool(result.corrected[index]):
        return Panel(None, "passed unchanged")
    if len(maps) not in (1, len(candidates)):
        return Panel(None, "no map")
    if wanted not in candidates:
        return Panel(None, "no candidate")
    position = candidates.index(wanted) if len(maps) > 1 else 0
    if bool(result.flat[index, position]):
        return Panel(None, FLAT)
    values = maps[position].float().cpu().numpy()
    return Panel(values) if values.any() else Panel(None, "no map")


def _title(name: str, width: float) -> str:
    """A method's name in at most two lines, broken between library and method where there is no room for both."""
    return wrap(name if text_width(name, NORMAL) <= width else name.replace(":", ": "), width, NORMAL)


def _class_text(name: str, prob: float) -> str:
    """What stands at the left of the maps of a class."""
    return f"map of\n{wrap(name, SIDE - 0.1, NORMAL)}\n{number(prob)} before"


class Grid:
    """Where everything stands, in inches from the upper left corner, so that nothing can overlap.

    Args:
        picture: (H,W,3).
        columns: The methods.
        names: Of all classes.
        classes: The classes whose maps are drawn, with their probability before correction.
        label: The true class, if known.
        answer: The answer before correction.
    """

    def __init__(
        self,
        picture: Pixels,
        columns: Sequence[MethodColumn],
        names: Sequence[str],
        classes: Sequence[tuple[int, float]],
        label: int | None,
        answer: int,
    ) -> None:
        self.picture, self.columns, self.names, self.classes = picture, columns, names, classes
        self.label, self.answer = label, answer
        self.cell = (PAGE_WIDTH - 2 * EDGE - SIDE) / PER_ROW - GAP
        self.panel = fitted_size(self.cell, picture.shape[0] / picture.shape[1])
        self.labels = [
            f"map of\n{wrap(names[one], SIDE - 0.1, NORMAL)}\n{number(prob)} before" for one, prob in classes
        ]
        self.row = GAP + max(self.panel[1], (max(text.count("\n") for text in self.labels) + 1) * NORMAL * LINE)
        panels = len(columns) + 1
        lines = -(-panels // PER_ROW)
        self.per_row = -(-panels // lines)
        self.width = 2 * EDGE + SIDE + max(self.per_row, NARROWEST) * (self.cell + GAP)
        self.titles = ["input", *(_title(column.name, self.cell) for column in columns)]
        self.answers = [wrap(names[one], self.cell, NORMAL) for one in [answer, *(one.answer for one in columns)]]
        self.above = (max(title.count("\n") for title in self.titles) + 1) * NORMAL * LINE + 0.04
        # Below the maps: the answer's name, its probability, and what became of it, if there is anything to say.
        said = label is not None or any(column.answer != answer for column in columns)
        self.caption = (max(text.count("\n") for text in self.answers) + 2 + said) * NORMAL * LINE + 0.06
        self.block = self.above + len(classes) * self.row + self.caption + BLOCK
        self.lines = lines

    def draw(self, title: str) -> Figure:
        """The whole figure."""
        heading = wrap(title, self.width - 2 * EDGE, LARGE, 2, "bold")
        top = EDGE + (heading.count("\n") + 1) * LARGE * LINE + 0.06
        bottom = top + self.lines * self.block - BLOCK / 2
        figure = new_figure(self.width, bottom + 2 * SMALL * LINE)
        add_text(figure, EDGE, EDGE, heading, LARGE, weight="bold")
        for line in range(self.lines):
            self._draw_classes(figure, top + line * self.block + self.above)
        for position in range(len(self.columns) + 1):
            line, place = divmod(position, self.per_row)
            left = EDGE + SIDE + place * (self.cell + GAP)
            self._draw_column(figure, position, left, top + line * self.block + self.above)
        if self.label is not None:
            text = wrap(f"true class: {self.names[self.label]}", self.width - 1.4, SMALL, 1)
            add_text(figure, EDGE, bottom, text, SMALL, color=MUTED)
        draw_map_scale(figure, self.width - EDGE, bottom)
        return figure

    def _draw_classes(self, figure: Figure, top: float) -> None:
        """At the left of each line of maps the class that they are of, and below them what the captions are."""
        for row, text in enumerate(self.labels):
            middle = top + (row + 0.5) * self.row - GAP / 2
            add_text(figure, EDGE, middle, text, NORMAL, va="center")
        add_text(figure, EDGE, self._below(top), "answer", NORMAL, color=MUTED)

    def _below(self, top: float) -> float:
        return top + len(self.classes) * self.row - GAP + 0.05

    def _draw_column(self, figure: Figure, position: int, left: float, top: float) -> None:
        """The input, or one method: its name, its maps, its answer. `top` is the upper edge of the first picture."""
        middle = left + self.cell / 2
        centred: dict[str, Any] = {"ha": "center"}
        add_text(figure, middle, top - 0.04, self.titles[position], NORMAL, va="bottom", **centred)
        column = self.columns[position - 1] if position else None
        panels = column.panels if column else (Panel(None),)
        for row, panel in enumerate(panels):
            picture = self.picture if panel.values is None else overlay(self.picture, panel.values)
            down = top + row * self.row + (self.row - GAP - self.panel[1]) / 2
            place = (left + (self.cell - self.panel[0]) / 2, down, *self.panel)
            axes = show_picture(figure, place, picture)
            if panel.note:
                draw_note(axes, panel.note)
        prob = column.prob if column else dict(self.classes)[self.answer]
        text = f"{self.answers[position]}\n{number(prob)}"
        add_text(figure, middle, self._below(top), text, NORMAL, **centred)
        if column:
            self._draw_outcome(figure, column, middle, self._below(top) + (text.count("\n") + 1) * NORMAL * LINE)

    def _draw_outcome(self, figure: Figure, column: MethodColumn, middle: float, top: float) -> None:
        """What became of the answer: one of the four outcomes where the truth is known, else whether it changed."""
        if self.label is None:
            text = "" if column.answer == self.answer else "changed"
            add_text(figure, middle, top, text, NORMAL, weight="bold", ha="center")
            return
        kind = outcome_of(self.answer, column.answer, self.label)
        word = kind.replace("_", " ")
        square, blank = text_width("■", NORMAL), 0.04
        left = middle - (square + blank + text_width(word, NORMAL)) / 2
        add_text(figure, left, top, "■", NORMAL, color=COLORS[kind])
        add_text(figure, left + square + blank, top, word, NORMAL)
