"""Numbers as the page writes them."""

import math

from maskcorrect_plugin.evaluation.intervals import Interval
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.text import p_text, percent

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
"""Stands where there is no number."""
ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def count(number: float) -> str:
    """A whole number with commas.

    Example:
        >>> count(12491)
        '12,491'
    """
    return f"{number:,.0f}"


def share(value: float) -> str:
    """A share in per cent with two places, a dash where there is none."""
    return NOTHING if math.isnan(value) else percent(value)


def plain_minus(definition: object) -> str:
    """A difference of probabilities with proper minus signs; hyphens inside of words stay.

    Example:
        >>> plain_minus("p1 - p5 < 0.5")
        'p1 − p5 < 0.5'
    """
    return str(definition).replace(" - ", f" {MINUS} ")


def in_words(definition: Subset) -> str:
    """Which images are difficult, for those who do not know what p1 is.

    Example:
        >>> in_words(Subset())
        'Difficult: the network gave its answer a probability (p1) less than 0.5 above that of its fifth choice (p5).'
    """
    rank = definition.gap.rank
    choice = f"{ORDINALS[rank]} choice" if rank in ORDINALS else f"choice number {rank}"
    return (
        f"Difficult: the network gave its answer a probability (p1) less than {definition.bound:g} above that of its "
        f"{choice} (p{rank})."
    )


def points(difference: float) -> str:
    """A difference of shares in percentage points, with its sign.

    Example:
        >>> points(-0.0125)
        '−1.25'
    """
    if math.isnan(difference):
        return NOTHING
    text = f"{100 * difference:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", MINUS)


def interval(bounds: Interval) -> str:
    """Bounds of a share in per cent."""
    return NOTHING if math.isnan(bounds.low) else f"{100 * bounds.low:.2f} to {100 * bounds.high:.2f} %"


def points_interval(bounds: Interval) -> str:
    """Bounds of a difference of shares."""
    return NOTHING if math.isnan(bounds.low) else f"{points(bounds.low)} to {points(bounds.high)}"


def number(value: float, form: str = ",.1f") -> str:
    """Any number, a dash where there is none."""
    return NOTHING if math.isnan(value) else f"{value:{form}}".replace("-", MINUS)


def p_value(value: float) -> str:
    """A p-value to three places, a dash where there is none."""
    return NOTHING if math.isnan(value) else p_text(value)


def size(count_of_bytes: int) -> str:
    """The size of a file.

    Example:
        >>> size(2_340_000)
        '2.3 MB'
    """
    return f"{count_of_bytes / 1e6:.1f} MB" if count_of_bytes >= 1e5 else f"{count_of_bytes / 1e3:.0f} kB"
