"""The graph of confused classes: which ones the network holds nearly as likely, and what correction does about it.

Classes stand on an ellipse at even heights, each with its name beside it, so that names never overlap; linked classes
are neighbours. Nothing is random: the same table gives the same figure.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError

from .charts import TITLE, chart_axes, check_width, draw_legend, draw_title, figure_of, legend_height, size_of
from .correction_case import display_names
from .palette import COLORS, EDGE, INK, MUTED, NORMAL, PAGE_WIDTH, SMALL, styled, text_width, wrap

if TYPE_CHECKING:
    import pandas as pd

Link = tuple[int, int]
"""Two classes."""

PITCH = 0.21
"""Inches from name to name."""
SMALLEST = 2.0
"""Inches: height of the ellipse, at least, unless it holds one pair or none."""
NAME = 2.0
"""Inches that a name may take at most."""
THIN, THICK = 0.4, 4.0
"""Points: width of the lines, at least and at most."""
BEND = 0.55
"""Where curves bend to: so far from the middle, of the way to the straight line's midpoint."""
NUMBERED, APART = 16, 0.16
"""Up to so many lines carry their number of images, but for those closer than so many inches to a stronger line's."""
INKS = {"fixed": COLORS["fixed"], "broken": COLORS["broken"], "even": "#AAAAAA"}
"""Lines of ``broken`` are hollow besides, so that they can be told apart in grey print."""
HOLLOW = 0.4
"""Of a hollow line's width, so much is white."""
MEANINGS = {"fixed": "correction fixed more than it broke", "broken": "broke more", "even": "neither"}


def draw_confused_classes(
    edges: "pd.DataFrame",
    *,
    class_names: Sequence[str] | None = None,
    max_edges: int = 40,
    max_classes: int = 30,
    title: str | None = None,
    axes: Axes | None = None,
    width: float = PAGE_WIDTH,
) -> Figure:
    """Classes linked by how many images hold both within the margin.

    The width of a line stands for that number, its colour for what correction did to the answers of the two classes.

    Args:
        edges: What `evaluation.subclasses.confused_classes` gives, the strongest first.
        class_names: One for each class; None takes those in `edges`, else ``"class 0"``, ...
        max_edges: The strongest so many pairs are drawn,
        max_classes: and of them those among so many classes.
        title: Above everything.
        axes: Draw here instead of in a new figure.
        width: Of a new figure, in inches.

    Raises:
        ValueError: a column is missing, or a limit is too small.
    """
    missing = [name for name in ("first_index", "second_index", "images", "fixed", "broken") if name not in edges]
    if missing:
        raise ArgumentError(f"edges must be what confused_classes gives; {', '.join(missing)} is missing")
    check_int("max_edges", max_edges, 1)
    check_int("max_classes", max_classes, 2)
    check_width(width)
    drawn = _strongest(edges, max_edges, max_classes)
    links = {
        (int(first), int(second)): int(images)
        for first, second, images in zip(drawn["first_index"], drawn["second_index"], drawn["images"], strict=True)
    }
    order = neighbours_first(links)
    with styled():
        if axes is None:
            height = max(math.ceil(len(order) / 2) * PITCH, SMALLEST if len(order) > 2 else 3 * PITCH)
            above = 0.08 + legend_height(MEANINGS.values(), width - 2 * EDGE) + (TITLE if title else 0)
            axes = chart_axes(width, height, above=above, below=0.25 if width >= PAGE_WIDTH else 0.4)
        axes.set_axis_off()
        draw_title(axes, title, legend=MEANINGS.values())
        places = _draw_classes(axes, order, _names(edges, class_names))
        _draw_links(axes, drawn, links, places)
        _draw_note(axes, len(drawn), len(edges), max(links.values(), default=0))
    return figure_of(axes)


def _strongest(edges: "pd.DataFrame", max_edges: int, max_classes: int) -> "pd.DataFrame":
    """The first rows, passing over those that would bring in too many classes."""
    classes: set[int] = set()
    kept: list[int] = []
    for row, pair in enumerate(zip(edges["first_index"], edges["second_index"], strict=True)):
        if len(kept) == max_edges:
            break
        if len(classes | {*pair}) <= max_classes:
            classes |= {*pair}
            kept.append(row)
    return edges.iloc[kept]


def _names(edges: "pd.DataFrame", class_names: Sequence[str] | None) -> Sequence[str]:
    """The displayed name of every class up to the highest one."""
    highest = max((int(edges[column].max()) for column in ("first_index", "second_index") if len(edges)), default=0)
    if class_names is None and "first_name" in edges:
        found = dict(zip(edges["first_index"], edges["first_name"], strict=True))
        found |= dict(zip(edges["second_index"], edges["second_name"], strict=True))
        class_names = [str(found.get(index, f"class {index}")) for index in range(highest + 1)]
    return display_names(class_names, highest + 1 if class_names is None else len(class_names))


def neighbours_first(links: dict[Link, int]) -> list[int]:
    """The linked classes in an order that keeps the strongly linked together, group by group.

    Args:
        links: The two classes and the strength of each link.

    Example:
        >>> neighbours_first({(0, 3): 5, (1, 2): 9, (2, 4): 8})
        [2, 1, 4, 0, 3]
    """
    strength: dict[int, dict[int, int]] = {}
    for (first, second), weight in links.items():
        strength.setdefault(first, {})[second] = weight
        strength.setdefault(second, {})[first] = weight
    order: list[int] = []
    left = set(strength)
    while left:
        near = next((done for done in reversed(order) if left & strength[done].keys()), None)
        if near is None:  # nothing left is linked to what stands: the next group, from the class linked most
            following = max(left, key=lambda one: (sum(strength[one].values()), -one))
        else:
            bonds = strength[near]
            following = min(left & bonds.keys(), key=lambda one: (-bonds[one], one))
        order.append(following)
        left.remove(following)
    return order


def _draw_classes(axes: Axes, order: Sequence[int], names: Sequence[str]) -> dict[int, tuple[float, float]]:
    """A dot and a name for each class: down the right side, then up the left one. Returns where, in inches."""
    width, height = size_of(axes)
    axes.set(xlim=(-width / 2, width / 2), ylim=(-height / 2, height / 2))
    labels = {index: wrap(names[index], min(NAME, 0.3 * width), NORMAL, 1) for index in order}
    widest = max((text_width(label, NORMAL) for label in labels.values()), default=0.0)
    radius = (min(width / 2 - widest - 0.12 - EDGE, 1.6 * height / 2), height / 2)
    right = math.ceil(len(order) / 2)
    places = {}
    for position, index in enumerate(order):
        side, count = (1, right) if position < right else (-1, len(order) - right)
        step = position if side > 0 else len(order) - 1 - position
        level = 1 - (2 * step + 1) / count
        places[index] = x, y = (side * radius[0] * math.sqrt(1 - level**2), radius[1] * level)
        axes.plot(x, y, marker="o", markersize=3.5, color=INK, zorder=3)
        align: dict[str, Any] = {"ha": "left" if side > 0 else "right", "va": "center", "parse_math": False}
        axes.annotate(labels[index], (x, y), (5 * side, 0), textcoords="offset points", size=NORMAL, **align)
    return places


def _draw_links(
    axes: Axes, drawn: "pd.DataFrame", links: dict[Link, int], places: dict[int, tuple[float, float]]
) -> None:
    """A curve for each pair, bent towards the middle; thin ones lie on top of thick ones."""
    most = max(links.values(), default=1)
    numbered: list[tuple[float, float]] = []
    counts = zip(links.items(), drawn["fixed"], drawn["broken"], strict=True)
    for ((first, second), images), fixed, broken in counts:
        (x0, y0), (x1, y1) = places[first], places[second]
        bend = (BEND * (x0 + x1) / 2, BEND * (y0 + y1) / 2)
        curve = Path([(x0, y0), bend, (x1, y1)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        kind = "fixed" if fixed > broken else "broken" if broken > fixed else "even"
        for width, color in _strokes(kind, max(THIN, THICK * images / most)):
            axes.add_patch(PathPatch(curve, fill=False, linewidth=width, edgecolor=color, capstyle="butt", zorder=2))
        middle = ((x0 + 2 * bend[0] + x1) / 4, (y0 + 2 * bend[1] + y1) / 4)
        if len(links) <= NUMBERED and all(math.dist(middle, other) > APART for other in numbered):
            numbered.append(middle)
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
            axes.annotate(f"{images:,}", middle, size=SMALL, ha="center", va="center", bbox=box, zorder=4)
    draw_legend(axes, {meaning: _key(kind) for kind, meaning in MEANINGS.items()})


def _strokes(kind: str, width: float) -> list[tuple[float, str]]:
    """Width and colour of the strokes, one on top of the other, that make a line."""
    return [(width, INKS[kind])] + ([(HOLLOW * width, "white")] if kind == "broken" else [])


def _key(kind: str) -> tuple[Line2D, ...]:
    """The line as the legend displays it."""
    return tuple(Line2D([], [], linewidth=width, color=color) for width, color in _strokes(kind, 3))


def _draw_note(axes: Axes, drawn: int, pairs: int, most: int) -> None:
    """What the widths mean and what was left out; or that there is nothing to draw."""
    if not pairs:
        place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, "no image has two classes within the margin", size=NORMAL, color=MUTED, **place)
        return
    which = "all pairs" if drawn == pairs else f"the strongest {drawn:,} of {pairs:,} pairs"
    text = f"Width of a line: images with both classes within the margin, {most:,} at the thickest; {which}."
    below: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top"}
    text = wrap(text, size_of(axes)[0], SMALL)
    axes.annotate(text, (0, 0), (0, -4), size=SMALL, color=MUTED, **below)
