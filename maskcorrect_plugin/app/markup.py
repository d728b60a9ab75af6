"""What the page says, as HTML. Every text that comes from outside is escaped."""

import base64
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template

from maskcorrect_plugin.commands.terminal import counted, printable
from maskcorrect_plugin.functional import top_candidates
from maskcorrect_plugin.printable import breakable
from maskcorrect_plugin.recipe_words import views_in_short
from maskcorrect_plugin.visualization.correction_case import display_names, number
from maskcorrect_plugin.visualization.pictures import MAX_SHOWN

from .corrections import Correction, PhotoOutcome
from .watch import Watch

WELCOME = (
    '<div class="mc-welcome"><p>Drop a photo into the field and press <em>Correct</em>, or click one of the scenes.</p>'
    "<ol><li>The network says what it sees: its top K answers are the candidates.</li>"
    "<li>Maps show what it used; the rest is hidden, or it is shown that part larger.</li>"
    "<li>It is asked again, and what it says is added to what it said.</li></ol></div>"
)
"""Before anything has been asked for."""
DEMO_LIMITS = "It knows nothing but the creatures of the scenes, whatever a photo shows."
"""Of the demo's network: whoever drops a photo of a cat should not wonder at its answer."""


def progress(watch: Watch) -> str:
    """How far the work is."""
    seen = f", {counted(watch.forwards, 'forward')}" if watch.forwards else ""
    text = escape(printable(f"{watch.stage}{seen}, {watch.seconds:.0f} s"))
    turned = f"animation-delay: -{watch.seconds:.2f}s"  # it turns on although it is a new one each time
    return f'<div class="mc-progress" role="status"><span class="mc-spinner" style="{turned}"></span>{text}</div>'


def notice(text: str, title: str = "That did not work") -> str:
    """A message in place of a result.

    Example:
        >>> notice("a < b")
        '<div class="mc-notice" role="alert"><strong>That did not work</strong><p>a &lt; b</p></div>'
    """
    return f'<div class="mc-notice" role="alert"><strong>{escape(title)}</strong><p>{escape(printable(text))}</p></div>'


def result(outcome: PhotoOutcome, notes: Sequence[str] = ()) -> str:
    """Everything about one photo: what happened to the answer, the figures, and the table of probabilities.

    Args:
        outcome: What became of it.
        notes: Warnings.
    """
    corrections = outcome.corrections
    names = [printable(name) for name in display_names(outcome.class_names, len(outcome.class_names))]
    return _template().render(
        about=f"{printable(outcome.model)}, {len(names):,} classes, on {outcome.device}",
        limits=DEMO_LIMITS if outcome.model == "demo" else "",
        notes=notes,
        methods=[_method(correction, names) for correction in corrections],
        titles=["Before", *(f"After {correction.name}" for correction in corrections)],
        rows=_rows(outcome, names),
    )


@cache
def _template() -> Template:
    text = (Path(__file__).parent / "result.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["breakable"] = breakable
    return environment.from_string(text)


def _method(correction: Correction, names: Sequence[str]) -> dict[str, str]:
    """One recipe: what happened to the answer, what it cost, and the figure."""
    made = correction.result
    old, new = int(made.prediction[0]), int(made.corrected_prediction[0])
    answer = f"answer kept, {names[old]}" if old == new else f"answer changed, {names[old]} → {names[new]}"
    candidates = ", ".join(names[index] for index in made.candidates[0, :MAX_SHOWN].tolist())
    return {
        "name": correction.name,
        "answer": answer,
        "cost": f"{counted(int(made.forwards[0]), 'forward')}, {correction.seconds:.2f} s",
        "alternative": f"{correction.name}: {answer}. The photo, the probabilities before and after, and what the "
        f"network was shown again: {views_in_short(made.settings)}; the candidates are {candidates}.",
        "image": base64.b64encode(correction.figure).decode("ascii"),
    }


def _rows(outcome: PhotoOutcome, names: Sequence[str]) -> list[dict[str, Any]]:
    """The classes that are among the first K (at most ten) before or after, by their probability after the first."""
    results = [correction.result for correction in outcome.corrections]
    columns = [results[0].probs[0], *(made.corrected_probs[0] for made in results)]
    shown = min(results[0].candidates.shape[1], MAX_SHOWN)
    classes = {index for column in columns for index in top_candidates(column, shown).tolist()}
    classes |= {outcome.label} - {None}
    answers = [int(column.argmax()) for column in columns]

    def cells(index: int) -> list[dict[str, Any]]:
        pairs = zip(columns, answers, strict=True)
        return [{"text": number(float(column[index])), "answer": answer == index} for column, answer in pairs]

    order = sorted(classes, key=lambda index: (-float(columns[1][index]), index))
    return [{"name": names[index], "true": index == outcome.label, "cells": cells(index)} for index in order]
