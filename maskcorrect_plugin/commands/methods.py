"""``maskcorrect methods``: every attribution method and control, what it costs, and how to get it."""

import dataclasses
import fnmatch
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from maskcorrect_plugin.commands.terminal import Style
from maskcorrect_plugin.errors import UnknownMethodError
from maskcorrect_plugin.recipe_options import RECIPE, RECIPES
from maskcorrect_plugin.registry import describe_methods, get_backend, is_installed, split_name
from maskcorrect_plugin.views import View, view_classes

TITLES = {"name": "name", "class_aware": "class-aware", "forwards": "forwards", "backwards": "backwards"}
LEGEND = (
    "Costs are per image, with default options: K candidates, C channels of the target layer (native Score-CAM skips "
    "constant ones), W windows. The forward that finds the candidates and the K that ask again come on top."
)
CONTROL = "control"
AWARE = {True: "yes", False: "no"}
POOLS_SAID = (
    "the weighted sum of the probabilities, a linear opinion pool (the paper)",
    "the weighted sum of their logarithms, a logarithmic opinion pool",
)
ROOM = 40
"""Columns that a method's description needs to stand beside it."""


def method_rows(pattern: str = "*") -> list[dict[str, Any]]:
    """What is known of the methods whose name matches, as plain values.

    Args:
        pattern: Shell-style, case-insensitive.

    Raises:
        UnknownMethodError: no name matches.
    """
    rows = []
    for name, info in describe_methods().items():
        if not fnmatch.fnmatch(name.lower(), pattern.lower()):
            continue
        backend = get_backend(split_name(name)[0])
        row = {"name": name, "backend": backend.name, "installed": is_installed(backend), "install": backend.install}
        costs = {"class_aware": info.class_aware, "forwards": info.forwards, "backwards": info.backwards}
        rows.append({**row, **costs, "summary": info.summary})
    if not rows:
        raise UnknownMethodError(f"no method matches {pattern!r}; 'maskcorrect methods' without a pattern lists all")
    return rows


def methods_text(rows: Sequence[Mapping[str, Any]], width: int, style: Style) -> str:
    """The table of ``maskcorrect methods``, one block per backend.

    Args:
        rows: What `method_rows` gives.
        width: Columns. What a method computes stands in a column of its own where there is room, else below it.
        style: Colours.
    """
    shown = [{**row, "class_aware": AWARE[row["class_aware"]]} for row in rows]
    widths = {key: max(len(title), *(len(row[key]) for row in shown)) for key, title in TITLES.items()}
    indent = sum(widths.values()) + 2 * len(widths) + 2
    column = indent if width - indent >= ROOM else None
    head = _line(TITLES, widths) + ("  computes" if column else "")
    lines = [style(head, "dim")]
    for index, row in enumerate(shown):
        if index == 0 or row["backend"] != shown[index - 1]["backend"]:
            lines += ["", _backend_line(row, style)]
        line, start = _line(row, widths), " " * (column or 6)
        summary = textwrap.wrap(row["summary"], width - len(start), break_long_words=False)
        if column and summary:
            line = f"{line}  {summary.pop(0)}"
        lines.append(line.rstrip() if row["installed"] else style(line.rstrip(), "dim"))
        lines += [style(f"{start}{part}", "dim") if not column else f"{start}{part}" for part in summary]
    lines += ["", *(style(line, "dim") for line in textwrap.wrap(LEGEND, width))]
    return "\n".join(lines)


def parts_text(width: int, style: Style) -> str:
    """Views, pools and named recipes, each with what it is."""
    views = [(cls.name, cls.summary + _options_of(cls)) for cls in view_classes().values()]
    pools = [(name, text) for name, text in zip(RECIPE["pool"].choices, POOLS_SAID, strict=True)]
    blocks = {"views": views, "pools": pools, "recipes": list(RECIPES.items())}
    lines = []
    for title, entries in blocks.items():
        column = 4 + max(len(name) for name, _ in entries)
        lines += ["", style(title, "bold")]
        for name, text in entries:
            first, *rest = textwrap.wrap(text, max(ROOM, width - column)) or [""]
            lines += [f"  {name:<{column - 4}}  {first}", *(" " * column + part for part in rest)]
    return "\n".join(lines)


def _options_of(cls: type[View]) -> str:
    """The options of a view with their defaults, in brackets."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    known: dict[str, Any] = {field.name: field.default for field in fields}
    return f" [{', '.join(f'{name}={default}' for name, default in known.items())}]" if known else ""


def _line(row: Mapping[str, Any], widths: Mapping[str, int]) -> str:
    return "  " + "  ".join(f"{row[key]:<{width}}" for key, width in widths.items())


def _backend_line(row: Mapping[str, Any], style: Style) -> str:
    if row["backend"] == CONTROL:
        return f"{style(CONTROL, 'bold')}: map sources in a method's place; A: forwards of the method of=..."
    if row["installed"]:
        return f"{style(row['backend'], 'bold')}: {style('installed', 'green')}"
    return f"{style(row['backend'], 'bold')}: {style('not installed', 'yellow')}; {row['install']}"
