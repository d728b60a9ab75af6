"""Figures of results: how one image was corrected, and how many answers were fixed and broken.

Every function returns a `matplotlib.figure.Figure` made without pyplot, so that nothing is left open and no backend is
chosen. Nothing here runs a model.
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.results import CorrectionResult

from .charts import figure_of
from .correction_case import make_case
from .correction_figure import correction_figure
from .palette import (
    COLORS,
    EDGE,
    INK,
    NORMAL,
    SMALL,
    add_axes,
    draw_key,
    new_figure,
    styled,
    text_width,
    wrap,
    write_figure,
)
from .rendered_views import RenderedViews

OUTCOMES = {"broken": "broken", "both_right": "both right", "fixed": "fixed", "both_wrong": "both wrong"}
"""In this order the answers that were right before are neighbours, and so are those that are right after."""
FORMATS = ("png", "svg", "pdf")


def draw_correction(
    image: Any,
    result: CorrectionResult,
    index: int = 0,
    *,
    class_names: Sequence[str] | None = None,
    view_images: RenderedViews | None = None,
    title: str | None = None,
    label: int | None = None,
) -> Figure:
    """One image of a result: the input, the maps, what was shown again, the classes before and after.

    For views that follow each candidate's map, a column per candidate; for those that follow the merged map or none, a
    panel each. What was cut out of the original stands beside it, with the boxes drawn on it.

    Args:
        image: What the network saw, as large as its input: a Pillow image, a uint8 array (H,W,3), or a tensor (3,H,W)
            in [0, 1], which `denormalize` makes of the model's input.
        result: With ``view_probs`` kept, and ``attributions`` where a view follows maps.
        index: Which image of the result.
        class_names: One for each class; ``"class 0"``, ... if None.
        view_images: What the network was shown again, which `render_views` makes; without it what was said is told in
            words.
        title: Instead of a heading that says what happened to the answer.
        label: The true class, if known.

    Raises:
        ValueError: something was not kept, there is no such image or class, or shapes do not fit.
        TypeError: `image` is nothing that can be displayed.
    """
    case = make_case(image, result, index, class_names, view_images, label)
    with styled():
        return correction_figure(case, title)


def draw_outcome(
    counts: Mapping[str, Mapping[str, int]],
    *,
    p_values: Mapping[str, float] | None = None,
    title: str | None = None,
    axes: Axes | None = None,
) -> Figure:
    """How many answers were fixed, broken, right both times and wrong both times, with the accuracy before and after.

    Args:
        counts: For each group of images, in the order drawn, the numbers ``fixed``, ``broken``, ``both_right`` and
            ``both_wrong``. The group's name is displayed: ``{"all images": {...}, "gap < 0.5": {...}}``.
        p_values: Exact McNemar p of some of the groups.
        title: Above everything.
        axes: Draw here instead of in a new figure.

    Raises:
        ValueError: no group, a group without images, or a number that is missing, unknown or negative.
    """
    groups = {name: _check_counts(name, group) for name, group in counts.items()}
    if not groups:
        raise ArgumentError("counts must hold at least one group of images, got none")
    for name in p_values or {}:
        check_choice("p_values", name, tuple(groups))
    with styled():
        if axes is None:
            head, width, height = (0.3 if title else 0.05), 5.2, 0.72 * len(groups)
            axes = add_axes(new_figure(width, head + height), EDGE, head, width - 2 * EDGE, height)
        figure = figure_of(axes)
        for row, (name, group) in enumerate(groups.items()):
            _draw_group(axes, row, name, group, (p_values or {}).get(name))
        axes.set(xlim=(0, 1), ylim=(len(groups) - 0.6, -0.5))
        axes.set_axis_off()
        if title:
            axes.set_title(title, size=NORMAL + 1, weight="bold", loc="left", color=INK, parse_math=False)
    return figure


def _check_counts(name: str, group: Mapping[str, int]) -> dict[str, int]:
    for kind in group:
        check_choice(f"counts[{name!r}]", kind, tuple(OUTCOMES))
    missing = [kind for kind in OUTCOMES if kind not in group]
    if missing:
        raise ArgumentError(f"counts[{name!r}] must hold {', '.join(OUTCOMES)}; {', '.join(missing)} is missing")
    checked = {kind: check_int(f"counts[{name!r}][{kind!r}]", group[kind], 0) for kind in OUTCOMES}
    if not sum(checked.values()):
        raise ArgumentError(f"counts[{name!r}] must count at least one image")
    return checked


def _draw_group(axes: Axes, row: int, name: str, group: dict[str, int], p_value: float | None) -> None:
    """One stacked bar: above it the group's name and the accuracy, below it the numbers."""
    total = sum(group.values())
    start = 0.0
    for kind, count in group.items():
        axes.barh(row, count / total, 0.3, left=start, color=COLORS[kind], edgecolor="white", linewidth=0.5)
        start += count / total
    before = (group["both_right"] + group["broken"]) / total
    after = (group["both_right"] + group["fixed"]) / total
    text = f"accuracy {before:.1%} → {after:.1%}" + ("" if p_value is None else f"   (p = {p_value:.2g})")
    above: dict[str, Any] = {"va": "bottom", "size": NORMAL, "parse_math": False}
    axes.text(1, row - 0.2, text, ha="right", **above)
    images = f"  (n = {total:,})"
    width = axes.bbox.width / axes.figure.dpi - text_width(f"{text}   ", NORMAL)
    name = wrap(name, width - text_width(images, NORMAL, "bold"), NORMAL, 1, "bold")
    axes.text(0, row - 0.2, name + images, weight="bold", **above)
    items = [(kind, f"{count:,} {OUTCOMES[kind]}") for kind, count in group.items()]
    draw_key(axes, (0, row + 0.3), items, size=SMALL + 0.5)


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: float = 200) -> Path:
    """Writes a figure, cut to what is drawn, under a temporary name first: the file is there whole or not at all.

    Args:
        figure: Any figure.
        path: Ends in ``.png``, ``.svg`` or ``.pdf``; its folder exists. An older file is replaced.
        dpi: Dots per inch, of the pictures in it.

    Returns:
        The path.

    Raises:
        ValueError: another ending, or no such folder.
    """
    file = Path(path)
    kind = check_choice("path's ending", file.suffix.lower().removeprefix("."), FORMATS)
    if not file.parent.is_dir():
        raise ArgumentError(f"path must lie in a folder that exists, got {file!s}")
    if file.is_dir():
        raise ArgumentError(f"path must be a file, but {file!s} is a folder")
    temporary = file.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        write_figure(figure, temporary, kind, dpi)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return file
