"""Text for the terminal: what is said of an image and of a run, at any width, with or without colour.

Everything is made from plain values (the records of ``result.json``), so nothing heavy is imported here.
"""

import logging
import os
import shutil
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import typer

from maskcorrect_plugin.errors import MaskCorrectError
from maskcorrect_plugin.printable import printable as printable

NARROWEST, WIDEST = 40, 120
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
GONE = "-"
"""Stands for the rank of a class that left the first K."""


class Style:
    """Colours text, or leaves it as it is.

    Args:
        color: Whether to use ANSI colours.
    """

    def __init__(self, color: bool = False) -> None:
        self.color = color

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> "Style":
        """Colour only on a terminal, and not where NO_COLOR (https://no-color.org) or TERM=dumb forbid it."""
        allowed = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return cls(allowed and stream.isatty())

    def __call__(self, text: str, *names: str) -> str:
        """The text in these styles: ``bold``, ``dim``, ``red``, ``green``, ``yellow``."""
        if not self.color or not names or not text:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def terminal_width() -> int:
    """Columns to use: those of the terminal (or COLUMNS), within `NARROWEST` and `WIDEST`; 100 where there is none."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size(fallback=(100, 24)).columns))


def tolerant(stream: TextIO) -> None:
    """Makes a stream print a replacement for characters that its encoding lacks, instead of failing."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def columns(text: str) -> int:
    """Columns that a text takes: East Asian wide signs take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def shorten(text: str, width: int) -> str:
    """The text within `width` columns: as it is, or cut with an ellipsis."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 3:
        text = text[:-1]
    return f"{text.rstrip()}..."


def percent(probability: float) -> str:
    """A probability in seven columns: ``" 41.0 %"``."""
    return f"{100 * probability:5.1f} %"


def image_text(record: Mapping[str, Any], width: int, style: Style) -> str:
    """What became of one image: its answer, and its classes before and after.

    The classes are in their order after the correction; those that left the first K follow, without a rank.

    Args:
        record: An image of ``result.json``.
        width: Columns.
        style: Colours.
    """
    path = style(printable(record["path"]), "bold")
    if record["failure"] is not None:
        return f"{path}\n  {style('FAILED', 'red', 'bold')}   {printable(record['failure'])}"
    old_ranks = {entry["class_index"]: rank for rank, entry in enumerate(record["before"], 1)}
    new_ranks = {entry["class_index"]: rank for rank, entry in enumerate(record["after"], 1)}
    lines = [path, _answer(record, style), style("  rank  was   before    after   class", "dim")]
    for entry in record["after"]:
        index = entry["class_index"]
        probabilities = entry["probability_before"], entry["probability"]
        lines.append(_class_line(entry, old_ranks.get(index), new_ranks[index], probabilities, width, style))
    for entry in record["before"]:
        index = entry["class_index"]
        if index not in new_ranks:
            probabilities = entry["probability"], entry["probability_after"]
            lines.append(_class_line(entry, old_ranks[index], None, probabilities, width, style))
    lines += [f"  note     {printable(note)}" for note in _flat_notes(record)]
    return "\n".join(lines)


def view_label(spec: str) -> str:
    """A view's text form without the options that have their defaults."""
    from maskcorrect_plugin.views import create_view  # imports torch, which has been at work by now

    try:
        return create_view(spec).label
    except MaskCorrectError:  # somebody's own class
        return spec


def _flat_notes(record: Mapping[str, Any]) -> Iterator[str]:
    """Views that showed the image unchanged, because a map carried no information."""
    names = [entry["class_name"] for entry in record["before"]]
    for view in record["views"]:
        if len(view["flat"]) == 1 and view["flat"][0]:
            yield f"the map says nothing, so {view_label(view['view'])} shows the image unchanged"
        elif any(view["flat"]):
            flat = ", ".join(name for name, is_flat in zip(names, view["flat"], strict=True) if is_flat)
            yield f"no map, so {view_label(view['view'])} shows the image unchanged, for: {flat}"


def _answer(record: Mapping[str, Any], style: Style) -> str:
    old, new = (printable(record[side][0]["class_name"]) for side in ("before", "after"))
    gap = f"(gap {record['gap']:.2f})"
    if record["changed"]:
        return f"  {style('CHANGED', 'yellow', 'bold')}  {old} -> {style(new, 'green', 'bold')}  {gap}"
    if not record["corrected"]:
        return f"  passed   {new}  (gap {record['gap']:.2f}, not below max-gap: not corrected)"
    return f"  kept     {new}  {gap}"


def _class_line(
    entry: Mapping[str, Any],
    old_rank: int | None,
    new_rank: int | None,
    probabilities: tuple[float, float],
    width: int,
    style: Style,
) -> str:
    """One class; a rank is None where the class is not among the first K."""
    was = "new" if old_rank is None else "" if old_rank == new_rank else str(old_rank)
    start = f"{new_rank or GONE:>6}  "
    numbers = f"  {percent(probabilities[0])}  {percent(probabilities[1])}   "
    was = f"{was:>3}"
    name = shorten(printable(entry["class_name"]), max(8, width - len(start + was + numbers)))
    if new_rank == 1:
        return f"{start}{style(was, 'yellow')}{numbers}{style(name, 'bold')}"
    return f"{start}{was}{numbers}{name}"


def header_text(header: Mapping[str, Any], style: Style) -> str:
    """The first lines of a run: the model and the settings.

    Args:
        header: What `result_json.run_header` gives.
        style: Colours.
    """
    model, settings = header["model"], header["settings"]
    layer = settings.get("target_layer")
    first = f"{model['spec']} ({model['num_classes']} classes, {settings['device']})"
    candidates = min(settings["top_k"], model["num_classes"])
    maps = f"{settings['method']}{f' at {layer}' if layer else ''}, {counted(candidates, 'candidate')}, "
    views = f"{' + '.join(map(view_label, settings['views']))}, {settings['pool']} pool"
    return style(printable(f"{first}: {maps if settings['method'] else ''}{views}"), "dim") + "\n"


def counted(count: int, noun: str, form: str = "") -> str:
    """``"1 figure"``, ``"2 figures"``; with ``","`` as the number's format ``"1,563 figures"``."""
    return f"{count:{form}} {noun}{'' if count == 1 else 's'}"


def summary_text(summary: Mapping[str, Any], style: Style) -> str:
    """The last line of a run.

    Args:
        summary: The ``"summary"`` of ``result.json``.
        style: Colours.
    """
    done = summary["done"]
    parts = [f"{done} of {summary['images']} images done", f"{counted(summary['changed'], 'answer')} changed"]
    if summary["corrected"] < done:
        parts.append(f"{done - summary['corrected']} not corrected")
    if summary["failed"]:
        parts.append(style(f"{summary['failed']} failed", "red", "bold"))
    return f"{', '.join(parts)}; {summary['seconds']:.1f} s"


def error_text(message: str, style: Style) -> str:
    """``error: ...`` in red."""
    return style(f"error: {message}", "red")


def echo(text: str, *, newline: bool = True, stderr: bool = False) -> None:
    """Prints without tearing a progress bar apart."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr if stderr else sys.stdout):
        typer.echo(text, nl=newline, err=stderr)


@contextmanager
def warnings_to(show: Callable[[str], object]) -> Iterator[None]:
    """Inside, warnings and this package's log go to `show`, as one line of text each.

    The settings belong to the whole process: `show` is called from whichever thread warns.
    """

    def show_warning(message: Warning | str, *_: Any) -> None:
        show(printable(str(message)))

    handler = _handler(logging.WARNING, show_warning)
    logger = logging.getLogger("maskcorrect_plugin")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # type: ignore[assignment]  # takes whatever the arguments become
            yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _handler(level: int, show: Callable[[str], object]) -> logging.Handler:
    """One that hands the text of each record to `show`."""
    handler = logging.Handler(level)
    handler.emit = lambda record: show(record.getMessage())  # type: ignore[assignment, method-assign]
    return handler


@contextmanager
def plain_warnings(style: Style) -> Iterator[None]:
    """Inside, warnings and this package's log are one line each on standard error."""
    with warnings_to(lambda text: echo(style(f"warning: {text}", "yellow"), stderr=True)):
        yield


@contextmanager
def speed_notes(style: Style, *, shown: bool) -> Iterator[None]:
    """Inside, what the pass engine decides about speed is one line each on standard error, if `shown`."""
    handler = _handler(logging.INFO, lambda text: echo(style(f"note: {text}", "dim"), stderr=True))
    handler.addFilter(lambda record: record.levelno == logging.INFO)
    logger = logging.getLogger("maskcorrect_plugin.inference")
    level = logger.level
    if shown:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
