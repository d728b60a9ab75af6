"""The settings that a sweep tries."""

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from maskcorrect_plugin.checks import check_choice, check_int, check_number
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.functional import VOTES, WEIGHTS
from maskcorrect_plugin.views import VIEWS

MOST_VALUES = 1000
"""Values that one range may have."""


@dataclass(frozen=True)
class Setting:
    """What of a correction can be varied on kept maps: see `ProbabilityCorrector`."""

    view: str
    threshold: float
    top_k: int
    vote: str
    weights: str

    def __str__(self) -> str:
        return f"{self.view} at {self.threshold:g}, K = {self.top_k}, {self.vote}, {self.weights}"


@dataclass(frozen=True)
class Grid:
    """All combinations of the values of five options.

    Attributes:
        views: ``"mask"``, ``"crop"``.
        thresholds: In [0, 1).
        top_ks: From 1 to the K of the run.
        votes: ``"distribution"``, ``"diagonal"``.
        weights: ``"probs"``, ``"uniform"``.
    """

    views: tuple[str, ...]
    thresholds: tuple[float, ...]
    top_ks: tuple[int, ...]
    votes: tuple[str, ...]
    weights: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, values in asdict(self).items():
            if not values or len(set(values)) < len(values):
                raise ArgumentError(f"{name} must be one or more values that differ, got {values!r}")
        for threshold in self.thresholds:
            check_number("threshold", threshold, 0, 1)
        for top_k in self.top_ks:
            check_int("top_k", top_k, 1)
        for name, values, allowed in (("view", self.views, VIEWS), ("vote", self.votes, VOTES)):
            for value in values:
                check_choice(name, value, allowed)
        for value in self.weights:
            check_choice("weights", value, WEIGHTS)

    def looks(self) -> Iterator[tuple[str, float]]:
        """View and threshold: what has to be asked again."""
        return itertools.product(self.views, self.thresholds)

    def settings(self) -> list[Setting]:
        """All combinations, those that share their second answers together."""
        rest = list(itertools.product(self.top_ks, self.votes, self.weights))
        return [Setting(view, threshold, *others) for view, threshold in self.looks() for others in rest]

    def including(self, own: Setting) -> "Grid":
        """The same with the values of one more setting."""
        return Grid(
            _with(self.views, own.view),
            _with(self.thresholds, own.threshold),
            _with(self.top_ks, own.top_k),
            _with(self.votes, own.vote),
            _with(self.weights, own.weights),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: list(values) for name, values in asdict(self).items()}


def _with(values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    return values if value in values else (*values, value)


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """``"0:0.6:0.1"`` (start, stop, step; the stop belongs to it), ``"1:5"`` (step 1), or values with commas.

    Args:
        name: What the option is called in errors.
        text: What was given.

    Example:
        >>> parse_numbers("threshold", "0:0.3:0.1"), parse_numbers("threshold", "0.1,0.5")
        ((0.0, 0.1, 0.2, 0.3), (0.1, 0.5))

    Raises:
        ValueError: of another form.
    """
    form = f"{name} must be values with commas, or START:STOP[:STEP], such as 0:0.6:0.1; got {text!r}"
    try:
        if ":" not in text:
            return tuple(dict.fromkeys(float(part) for part in text.split(",")))
        start, stop, step = (*map(float, text.split(":")), 1.0)[:3]
    except ValueError:
        raise ArgumentError(form) from None
    if text.count(":") > 2 or not all(map(math.isfinite, (start, stop, step))) or step <= 0 or stop < start:
        raise ArgumentError(form)
    count = int((stop - start) / step + 1e-9) + 1
    if count > MOST_VALUES:
        raise ArgumentError(f"{name} must have at most {MOST_VALUES} values, got {count} in {text!r}")
    return tuple(round(start + index * step, 10) for index in range(count))


def parse_whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`parse_numbers` of whole numbers."""
    numbers = parse_numbers(name, text)
    if any(number != int(number) for number in numbers):
        raise ArgumentError(f"{name} must be whole numbers, got {text!r}")
    return tuple(int(number) for number in numbers)


def parse_names(name: str, text: str, allowed: Collection[str]) -> tuple[str, ...]:
    """Names with commas, each one of `allowed`."""
    return tuple(dict.fromkeys(check_choice(name, part.strip(), allowed) for part in text.split(",")))


def check_top_ks(top_ks: Sequence[int], run_top_k: int) -> None:
    """Raises ArgumentError unless the run has maps for so many candidates."""
    if max(top_ks) > run_top_k:
        raise ArgumentError(
            f"top_k must be from 1 to {run_top_k}, the candidates that the run kept maps of; got {max(top_ks)}"
        )
