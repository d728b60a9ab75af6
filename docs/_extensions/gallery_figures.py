"""Figures of the gallery. They are made without pyplot, so that sphinx-gallery's own scraper would not find them."""

from pathlib import Path
from typing import Any
from weakref import WeakSet

from matplotlib.figure import Figure
from matplotlib.text import Text
from sphinx_gallery.scrapers import figure_rst

from maskcorrect_plugin.visualization import save_figure

DPI = 110
_shown: WeakSet[Figure] = WeakSet()


def last_figure(_block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The picture of the figure that a block ends with, as a notebook would show it; in two sizes for fine screens."""
    figure = block_vars["example_globals"].get("___")
    if not isinstance(figure, Figure) or figure in _shown:
        return ""
    _shown.add(figure)
    plain = Path(next(block_vars["image_path_iterator"]))
    fine = plain.with_name(f"{plain.stem}_2_00x.png")
    save_figure(figure, plain, dpi=DPI)
    save_figure(figure, fine, dpi=2 * DPI)
    return figure_rst([plain], gallery_conf["src_dir"], alternative_text(figure), [{0: plain, 2.0: fine}])


def alternative_text(figure: Figure) -> str:
    """What stands in the figure, for readers who do not see it."""
    words = dict.fromkeys(" ".join(item.get_text().split()) for item in figure.findobj(Text) if item.get_visible())
    return "Figure: " + "; ".join(word for word in words if len(word) > 1)
