"""Figures as SVG inside a page: real text, the page's own colours in light and dark, no name used twice."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from maskcorrect_plugin.visualization.palette import COLORS, FRAME, INK, MUTED, write_figure

COLOR_NAMES = {
    **{color.lower(): f"--{name.replace('_', '-')}" for name, color in COLORS.items()},
    INK.lower(): "--ink",
    MUTED.lower(): "--muted",
    FRAME.lower(): "--frame",
    "#ffffff": "--card",
    "#eeeeee": "--faint",
    "#dddddd": "--pale",
    "#aaaaaa": "--even",
}
"""Colour of a figure -> the variable of the page's style that takes its place."""
_DROPPED = ("metadata", "style")
_REFERENCE = re.compile(r"(?:url\()?#([\w.-]+)\)?")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


@contextmanager
def glyphs_of_the_browser() -> Iterator[None]:
    """Inside, figures may hold signs that no font of this computer has: the reader's browser draws them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


def inline_svg(figure: Figure, key: str, alternative: str) -> Markup:
    """A figure as an ``<svg>`` element.

    Args:
        figure: Any of this package. Texts in it stay texts.
        key: Begins every ``id``; each figure of a page needs another one. Letters, digits and hyphens.
        alternative: What a reader who does not see it is told.
    """
    file = io.BytesIO()
    write_figure(figure, file, "svg", 72, text_as_text=True)
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - matplotlib wrote it a moment ago
    used = {name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)}
    for element in list(root.iter()):
        _clean(element, key, used)
    view_box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": view_box, "role": "img", "aria-label": alternative})
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - the serialiser escapes


def _clean(element: ElementTree.Element, key: str, used: set[str]) -> None:
    """One element without namespaces, needless digits and unused names; names and colours become the page's."""
    element.tag = element.tag.rpartition("}")[2]
    for child in list(element):
        if child.tag.rpartition("}")[2] in _DROPPED:
            element.remove(child)
    if element.tag != "text":
        element.text = None
    element.tail = None
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        name = name.rpartition("}")[2]
        if name == "id" and value not in used:
            continue
        if name in ("fill", "stroke"):  # where variables are not understood everywhere
            name, value = "style", f"{element.attrib.get('style', '')}; {name}: {value}".removeprefix("; ")
        element.attrib[name] = f"{key}-{value}" if name == "id" else _attribute(name, value, key)


def _attribute(name: str, value: str, key: str) -> str:
    value = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}", " ".join(value.split()))
    if name in ("href", "clip-path"):
        return value.replace("#", f"#{key}-")
    if name == "style":
        value = value.replace("url(#", f"url(#{key}-")
        for color, variable in COLOR_NAMES.items():
            value = value.replace(color, f"var({variable})")
    return value
