"""What ``maskcorrect sweep`` prints."""

from collections.abc import Collection, Iterator

from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.sweep.choice import SettingOutcome, SweepOutcome
from maskcorrect_plugin.evaluation.sweep.grid import VARIED
from maskcorrect_plugin.evaluation.text import verdict, wrapped
from maskcorrect_plugin.recipe import Recipe

SHOWN = 10
"""Settings that are printed, best on the selection split first."""


def sweep_text(outcome: SweepOutcome, method: str) -> str:
    """The best settings with both splits, what the chosen one does on the other images, and how true the maps are."""
    ranked = sorted(outcome.outcomes, key=lambda each: (-each.selection.right_after, each.recipe.top_k))
    shown = ranked[:SHOWN]
    shown += [outcome.own] if outcome.own not in shown else []
    varied = [name for name in VARIED if len({str(getattr(each.recipe, name)) for each in ranked}) > 1]
    names = [described(each.recipe, varied) for each in shown]
    width = 14 + max(map(len, names))
    selection, report = outcome.chosen.selection, outcome.chosen.report
    lines = [
        f"{method}: {len(ranked)} settings on kept maps, chosen on {selection.total:,} images, reported on the "
        f"{report.total:,} others",
        f"without correction: {selection.accuracy_before:.2%} and {report.accuracy_before:.2%} right",
        "",
        f"{'setting':{width}}{'selection':>12}{'report':>13}{'fixed':>7}{'broken':>8}",
        *(_line(each, name, outcome, width) for each, name in zip(shown, names, strict=True)),
    ]
    if len(ranked) > len(shown):
        lines.append(f"... and {len(ranked) - len(shown)} more")
    return "\n".join([*lines, "", *_conclusion(outcome)])


def _line(each: SettingOutcome, name: str, outcome: SweepOutcome, width: int) -> str:
    mark = "chosen" if each is outcome.chosen else "the run's" if each is outcome.own else ""
    name = f"{name}{f'  ({mark})' if mark else ''}"
    table = each.report
    return f"{name:{width}}{_percent(each.selection):>12}{_percent(table):>13}{table.fixed:7}{table.broken:8}"


def described(recipe: Recipe, varied: Collection[str]) -> str:
    """What a sweep varies, in words: views with what differs from their defaults."""
    words = {
        "views": " + ".join(view.label for view, _ in recipe.active_views) or "none",
        "pool": recipe.pool,
        "top_k": f"K = {recipe.top_k}",
        "vote": recipe.vote,
        "candidate_weights": recipe.candidate_weights,
    }
    return ", ".join(words[name] for name in varied) or words["views"]


def _percent(table: PairedOutcome) -> str:
    return f"{100 * table.accuracy_after:.2f} %"


def _conclusion(outcome: SweepOutcome) -> Iterator[str]:
    chosen, own = outcome.chosen, outcome.own
    yield from wrapped(f"Chosen setting, on the images that did not choose it: {verdict(chosen.report)}")
    if chosen is not own:
        yield from wrapped(f"The run's own setting, on the same images: {verdict(own.report)}")
    yield from wrapped(
        f"Only the report column is a result: the selection column shows the best of {len(outcome.outcomes)} tries. "
        f"At the run's own setting {outcome.differences} of {outcome.images:,} answers differ from those recorded "
        "(maps are kept in half precision)."
    )
