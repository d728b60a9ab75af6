"""From chapters to HTML: templates, style and scripts in one file that asks nobody for anything.

Nothing that comes from data is trusted. Templates escape every value, JSON inside the page has no ``<``, scripts set
texts and never markup, and a content security policy forbids every request and every script but the page's own, which
it knows by their hashes.
"""

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from maskcorrect_plugin import __version__
from maskcorrect_plugin.printable import breakable, printable
from maskcorrect_plugin.visualization.palette import COLORMAP
from maskcorrect_plugin.visualization.pictures import OPACITY

from . import formats
from .chapters import Chapters
from .gallery import MAP_SIDE, Gallery

GENERATOR = "maskcorrect_plugin.report/1"
"""Marks a page as ours."""
THEME = ("theme.js",)
"""Runs before anything is drawn."""
SCRIPTS = ("tables.js", "drawing.js", "cards.js", "gallery.js")
_STOPS = 32
"""Colours of the colour map that the page holds; it blends those between."""


def render(chapters: Sequence[Chapters], gallery: Gallery, title: str | None = None) -> str:
    """The whole page.

    Args:
        chapters: One for each family.
        gallery: The changed images.
        title: Of the page; None takes the names of the families.
    """
    names = [part.family.name for part in chapters]
    head, body = (Markup("\n".join(_static(name) for name in names_)) for names_ in (THEME, SCRIPTS))  # noqa: S704 - ours
    return (
        environment()
        .get_template("page.html")
        .render(
            title=title or "; ".join(names),
            generator=GENERATOR,
            version=__version__,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            chapters=chapters,
            gallery=gallery,
            cases={**gallery.data, "drawing": _drawing()},
            theme=head,
            script=body,
            policy=_policy(head, body),
        )
    )


def environment() -> Environment:
    """Templates of this package, which escape every value."""
    made = Environment(
        loader=PackageLoader("maskcorrect_plugin.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("count", "share", "points", "interval", "points_interval", "number", "p_value")
    made.filters.update({name: getattr(formats, name) for name in names}, breakable=breakable)
    return made


def _shown(value: Any) -> Any:
    """What a template writes: texts without signs that could steer a page; escaping follows."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _static(name: str) -> str:
    return (files("maskcorrect_plugin.report") / "static" / name).read_text(encoding="utf-8").strip()


def _policy(*scripts: str) -> str:
    """Nothing may be fetched, and these scripts alone may run."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _drawing() -> dict[str, Any]:
    """How maps are drawn: as in `visualization.pictures.overlay`."""
    colors = matplotlib.colormaps[COLORMAP]
    stops = [[round(255 * part) for part in colors(step / (_STOPS - 1))[:3]] for step in range(_STOPS)]
    return {"colors": stops, "opacity": list(OPACITY), "side": MAP_SIDE}
