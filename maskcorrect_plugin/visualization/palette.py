"""How every figure looks: colours that colour-blind readers can tell apart, type sizes for print, text that fits.

Figures are made without pyplot: no backend is chosen, no figure is kept alive, and the user's own style is left alone.
"""

import contextlib
import io
import re
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

COLORS = {
    "before": "#E69F00",
    "after": "#0072B2",
    "fixed": "#009E73",
    "broken": "#D55E00",
    "both_right": "#56B4E9",
    "both_wrong": "#BBBBBB",
}
"""Okabe and Ito's palette ("Color Universal Design", 2008), and a grey. One meaning, one colour, in every figure."""
INK, MUTED, FRAME = "#1A1A1A", "#5A5A5A", "#9A9A9A"
COLORMAP = "inferno"
"""For maps: perceptually uniform, so that it survives colour blindness and grey print."""

SMALL, NORMAL, LARGE = 6.5, 7.5, 9.5
"""Type sizes in points, at the size at which the figure is printed."""
PAGE_WIDTH, COLUMN_WIDTH, EDGE = 7.2, 3.5, 0.05
"""Inches: the text width of a two-column paper, that of one of its columns, and the margin inside a figure."""
SCREEN_DPI = 120
"""Dots per inch of figures that a notebook displays."""
LINE = 1.3 / 72
"""Inches from line to line per point of type."""

FAMILY = "DejaVu Sans"
WORLD_FONTS = (
    *("Noto Sans CJK KR", "Noto Sans CJK SC", "Noto Sans CJK JP", "Malgun Gothic", "NanumGothic", "Microsoft YaHei"),
    *("Hiragino Sans", "PingFang SC", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai"),
)
"""Asked for the characters that the first family lacks, where they are installed."""

_STYLE: dict[str, Any] = {
    "font.size": NORMAL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FRAME,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # outlines that publishers accept and editors can edit
    "svg.hashsalt": "maskcorrect_plugin",  # the same figure gives the same file
}
_STYLING = threading.RLock()


@lru_cache(maxsize=1)
def font_families() -> list[str]:
    """The font families of all figures: the one that comes with matplotlib, then those for other scripts."""
    installed = set(font_manager.get_font_names())
    return [FAMILY, *(name for name in WORLD_FONTS if name in installed)]


@contextlib.contextmanager
def styled(**more: Any) -> Iterator[None]:
    """Inside, matplotlib's defaults, this style and `more` hold; afterwards the user's settings are back.

    The settings belong to the whole process: the lock keeps threads that draw from mixing theirs.
    """
    with _STYLING, style.context({**_STYLE, "font.family": font_families(), **more}, after_reset=True):
        yield


class NotebookFigure(Figure):
    """A figure that a notebook displays where it is a cell's last value: without pyplot nothing else would draw it."""

    def _repr_png_(self) -> bytes:
        target = io.BytesIO()
        write_figure(self, target, "png", SCREEN_DPI)
        return target.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    return NotebookFigure(figsize=(width, height), dpi=200)


def write_figure(figure: Figure, target: Path | BinaryIO, kind: str, dpi: float, *, text_as_text: bool = False) -> None:
    """Writes a figure, cut to what is drawn.

    Args:
        figure: Any figure.
        target: A file or a stream.
        kind: ``"png"``, ``"svg"`` or ``"pdf"``.
        dpi: Dots per inch, of the pictures in it.
        text_as_text: In SVG, for a page that has fonts of its own: texts instead of their outlines.
    """
    # Without a date the same figure gives the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with styled(**{"svg.fonttype": "none" if text_as_text else "path"}):
        figure.savefig(target, format=kind, dpi=dpi, bbox_inches="tight", pad_inches=0.05, metadata=metadata)


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches, `top` counted from the figure's upper edge."""
    whole_width, whole_height = figure.get_size_inches()
    return figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    )


def add_text(figure: Figure, left: float, top: float, text: str, size: float = NORMAL, **kwargs: Any) -> None:
    """Text at a place given in inches, `top` counted from the figure's upper edge. Never read as TeX."""
    defaults: dict[str, Any] = {"va": "top", "ha": "left", "linespacing": 1.15, "parse_math": False}
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, size=size, **{**defaults, **kwargs})


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text."""
    font = FontProperties(family=font_families(), size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def wrap(text: str, width: float, size: float, lines: int = 2, weight: str = "normal") -> str:
    """Text broken into at most that many lines of at most that width; what is left over becomes an ellipsis.

    Args:
        text: Broken after blanks (not after no-break spaces), hyphens and colons, and before a bracket that options of
            a method begin with; elsewhere only where a word does not fit.
        width: In inches.
        size: In points.
        lines: 1 or more.
        weight: Of the font.
    """
    rest = re.sub(r"[ \t\r\n]+", " ", text).strip()
    done: list[str] = []
    while rest and len(done) < lines - 1 and text_width(rest, size, weight) > width:
        head = _longest(rest, width, size, weight)
        within = len(head) < len(rest) and rest[len(head)] != " "
        stop = max(*(head.rfind(sign) + 1 for sign in " -:"), head.rfind("[")) if within else 0
        head = head[:stop] if stop > 0 else head
        done.append(head.strip())
        rest = rest[len(head) :].strip()
    if text_width(rest, size, weight) > width:
        rest = _longest(rest, width - text_width("…", size, weight), size, weight).rstrip(" ,-") + "…"
    return "\n".join([*done, rest])


def _longest(text: str, width: float, size: float, weight: str) -> str:
    """The longest beginning that fits, at least one character."""
    stop = len(text)
    while stop > 1 and text_width(text[:stop], size, weight) > width:
        stop -= 1
    return text[:stop]


def draw_note(axes: Axes, text: str) -> None:
    """A few small words in a box in the middle of the axes, for what there is no picture of."""
    box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": FRAME, "alpha": 0.9}
    place: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.5, text, size=SMALL, bbox=box, **place)


def draw_key(
    axes: Axes, at: tuple[float, float], items: Sequence[tuple[str, str]], rise: float = 0, size: float = NORMAL
) -> None:
    """A line of coloured squares, each with its text, one behind the other: a legend that may hold numbers.

    Args:
        axes: Where to draw.
        at: Where the line starts: x as a fraction of the axes, y in data units.
        items: Key of `COLORS` and text of each.
        rise: How far above that height the line stands, in points.
        size: In points; less where the line would be wider than the axes.
    """
    blank, square = "    ", "■ "
    whole = sum(text_width(square + text + blank, size) for _, text in items) - text_width(blank, size)
    size *= min(1.0, axes.bbox.width / axes.figure.dpi / whole)
    offset = 0.0
    place: dict[str, Any] = {"xy": at, "xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    for key, text in items:
        axes.annotate("■", xytext=(offset, rise), color=COLORS[key], size=size, va="center", **place)
        offset += 72 * text_width(square, size)
        axes.annotate(text, xytext=(offset, rise), size=size, va="center", parse_math=False, **place)
        offset += 72 * text_width(text + blank, size)
