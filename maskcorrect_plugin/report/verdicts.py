"""What came out, in words, whichever way it fell: whether correction helped, and how sure that is."""

from dataclasses import dataclass

from maskcorrect_plugin.comparison import MethodRow
from maskcorrect_plugin.evaluation.paired_methods import PAIRED_COLUMNS, compare_corrected
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.text import LEVEL, p_text, verdict

from .families import Family, Tried
from .formats import count, number, points

TITLES = {
    "helped": "Correction helped",
    "hurt": "Correction hurt",
    "unclear": "No clear difference",
    "unchanged": "Nothing was fixed or broken",
    "unlabelled": "No labels, so no verdict",
    "empty": "No such image",
    "failed": "No image could be done",
}


@dataclass(frozen=True)
class Verdict:
    """What one method did to some images.

    Attributes:
        kind: A key of `TITLES`.
        sentence: Fixed against broken, and what chance could do.
        certainty: What the p-value means, and what it was adjusted for; empty where there is none.
    """

    kind: str
    sentence: str
    certainty: str = ""

    @property
    def title(self) -> str:
        """In three words."""
        return TITLES[self.kind]


def finding(table: PairedOutcome, p_value: float) -> str:
    """``"helped"``, ``"hurt"``, ``"unclear"`` or ``"unchanged"``, by a p-value that belongs to the table."""
    if table.fixed == table.broken == 0:
        return "unchanged"
    if p_value >= LEVEL or table.gain == 0:
        return "unclear"
    return "helped" if table.gain > 0 else "hurt"


def judging_p(row: MethodRow, group: str) -> float:
    """The p-value that a method is judged by: adjusted for the others, its own if it looks at the labels."""
    return row.group(group).outcome.mcnemar_p if row.leaks else row.holm(group)


def verdict_on(family: Family, tried: Tried, group: str) -> Verdict:
    """What a method did to all images, or to the difficult ones.

    Args:
        family: Whose other methods the p-value is adjusted for.
        tried: The method.
        group: ``"overall"`` or ``"subset"``.
    """
    summary = tried.row.group(group)
    table, what = summary.outcome, f"Correction by {tried.name}"
    if not summary.images:
        if group == "subset" and tried.row.summary.overall.images:
            return Verdict("empty", "No image is difficult in this sense.")
        return Verdict("failed", f"All {count(tried.row.summary.images)} images failed; the reasons are listed below.")
    if not table.total:
        sentence = (
            f"{what} changed {count(summary.changed)} of {count(summary.images)} answers. "
            "Without labels nobody can say whether for better or for worse."
        )
        return Verdict("unlabelled", sentence)
    several = len(family.fair) > 1 and not tried.row.leaks
    p_value = judging_p(tried.row, group)
    sentence = verdict(table, p_value=p_value, p_name="Holm p" if several else "p", what=what)
    return Verdict(finding(table, p_value), sentence, _certainty(table, len(family.fair) if several else 1, p_value))


def _certainty(table: PairedOutcome, tried: int, adjusted: float) -> str:
    if table.fixed == table.broken:
        return ""
    split = f"a split at least as uneven as {count(table.fixed)} fixed against {count(table.broken)} broken"
    text = (
        f"How sure is that? If correction fixed and broke with equal chances, {split} would come up "
        f"{often(table.mcnemar_p)} (exact McNemar test, p {p_text(table.mcnemar_p, equals=True)})."
    )
    if tried > 1:
        text += (
            f" {tried} methods were tried on these images, each a chance to find something; "
            f"adjusted for that (Holm), p {p_text(adjusted, equals=True)}."
        )
    return text


def often(p_value: float) -> str:
    """A p-value as a frequency.

    Example:
        >>> often(0.332), often(0.0211), often(0.00001)
        ('33 times in 100', '21 times in 1,000', 'less than once in 1,000 times')
    """
    if p_value < 0.001:
        return "less than once in 1,000 times"
    if p_value > 0.99:
        return "practically always"
    times, of = (100 * p_value, 100) if p_value >= 0.1 else (1000 * p_value, 1000)
    return f"{times:.0f} times in {of:,}" if round(times) != 1 else f"once in {of:,} times"


def _plain(value: float) -> str:
    return number(value).removesuffix(".0")


def beside_controls(family: Family) -> str:
    """What the best control does beside the headline, image by image: is the gain owed to the maps?"""
    headline = family.headline
    controls = [tried for tried in family.fair if not tried.explains and tried is not headline]
    if not headline.row.summary.overall.outcome.total:
        return ""
    if not controls:
        if not headline.explains:
            return ""
        return (
            "No control was run. A second look that explains nothing, such as one that follows no map (unguided) or "
            "another image's map (control:other_image), would tell whether a gain is owed to the maps."
        )
    best = max(controls, key=lambda tried: tried.row.summary.overall.outcome.difference)
    summary = best.row.summary.overall
    columns = [*PAIRED_COLUMNS, "failure"]
    pair = compare_corrected(headline.row.records(columns), best.row.records(columns)).outcome
    strongest = f"The strongest of {len(controls)} controls" if len(controls) > 1 else "The control"
    return (
        f"{strongest}, {best.name} ({best.control}; no explanation), comes to {points(summary.outcome.difference)} "
        f"points for {_plain(summary.forwards_per_image)} forwards an image, where {headline.name} comes to "
        f"{points(headline.row.summary.overall.outcome.difference)} for "
        f"{_plain(headline.row.summary.overall.forwards_per_image)}. On the same images it alone is right "
        f"{count(pair.fixed)} times, {headline.name} alone {count(pair.broken)} times "
        f"(exact McNemar p {p_text(pair.mcnemar_p, equals=True)})."
    )
