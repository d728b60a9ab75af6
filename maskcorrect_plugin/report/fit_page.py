"""A fit as one page that asks nobody for anything."""

from datetime import UTC, datetime
from pathlib import Path

from maskcorrect_plugin import __version__
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.fitting.fit import Fit
from maskcorrect_plugin.fitting.words import headline, notes, tables
from maskcorrect_plugin.visualization.frontier_figure import draw_frontier

from .rendering import environment
from .svg import glyphs_of_the_browser, inline_svg


def write_fit_page(fit: Fit, path: Path, title: str) -> None:
    """Writes the page.

    Args:
        fit: What was found.
        path: Where.
        title: What was fitted on what.

    Raises:
        RunError: it cannot be written.
    """
    with glyphs_of_the_browser():
        figure = inline_svg(
            draw_frontier(fit.steps, fit.gaps), "frontier", "Gain of log-likelihood against forwards an image"
        )
    page = (
        environment()
        .get_template("fit.html")
        .render(
            title=title,
            headline=headline(fit),
            tables=tables(fit),
            notes=notes(fit),
            figure=figure,
            version=__version__,
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    write_atomically(path, lambda file: file.write(page.encode()))
