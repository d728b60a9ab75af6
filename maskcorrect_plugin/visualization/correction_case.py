"""What the figure of one corrected image shows: the arguments checked, the numbers taken out of the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.models.class_names import default_class_names
from maskcorrect_plugin.results import CorrectionResult

from .pictures import MAX_SHOWN, Pixels, as_picture, kept_maps

TOP_CLASSES = 5
"""Of the classes before and of those after, so many are drawn as bars."""
NEGLIGIBLE = 0.0005
"""Probabilities below it are displayed as ``<0.001``."""


@dataclass(frozen=True)
class Candidate:
    """One of the classes that the network was asked about again.

    Attributes:
        index: The class.
        prob: Its probability before, ``Y[c_k]``.
        values: Its map, (H,W).
        view: What the network was shown for it, a picture; None if that was not given.
        said: What the network then said of the class: ``P_k[c_k]``.
        flat: The map carried no information.
    """

    index: int
    prob: float
    values: Pixels
    view: Pixels | None
    said: float
    flat: bool


@dataclass(frozen=True)
class Case:
    """One image of a result.

    Attributes:
        picture: (H,W,3).
        names: Of all M classes, as they are displayed.
        before: ``Y``, (M,).
        after: The corrected distribution, (M,).
        candidates: Those that are shown; none where `max_gap` passed the image unchanged.
        hidden: Number of candidates that are not shown.
        corrected: False where `max_gap` passed the image unchanged.
        gap: ``Y[c_1] - Y[c_min(5,M)]``.
        label: The true class, if known.
        settings: Of the result.
    """

    picture: Pixels
    names: list[str]
    before: Pixels
    after: Pixels
    candidates: list[Candidate]
    hidden: int
    corrected: bool
    gap: float
    label: int | None
    settings: dict[str, Any]

    @property
    def answer(self) -> int:
        """The most probable class before."""
        return int(self.before.argmax())

    @property
    def new_answer(self) -> int:
        """The most probable class after."""
        return int(self.after.argmax())

    @property
    def outcome(self) -> str | None:
        """``fixed``, ``broken``, ``both_right`` or ``both_wrong``; None where the true class is not known."""
        return None if self.label is None else outcome_of(self.answer, self.new_answer, self.label)

    def bar_classes(self) -> list[int]:
        """The top classes before and after and the true class, each once, the most probable before first.

        Beyond the first two, those that are next to nothing both times are left out.
        """
        tops = [np.argsort(-values, kind="stable")[:TOP_CLASSES].tolist() for values in (self.before, self.after)]
        plain = {top for top in tops[0] + tops[1] if max(self.before[top], self.after[top]) >= NEGLIGIBLE}
        plain |= {*tops[0][:2], *tops[1][:2]} | ({self.label} if self.label is not None else set())
        return sorted(plain, key=lambda top: (-self.before[top], -self.after[top], top))


def outcome_of(answer: int, new_answer: int, label: int) -> str:
    """What correction did to one answer: ``fixed``, ``broken``, ``both_right`` or ``both_wrong``."""
    if answer == label:
        return "both_right" if new_answer == label else "broken"
    return "fixed" if new_answer == label else "both_wrong"


def make_case(
    image: Any,
    result: CorrectionResult,
    index: int,
    class_names: Sequence[str] | None,
    view_images: Tensor | None,
    label: int | None,
) -> Case:
    """Checks the arguments of `draw_correction`, which says what they are."""
    maps = kept_maps(result, index)
    if result.masked_probs is None:
        raise ArgumentError(
            "result must hold its masked_probs, got None; "
            "keep them with correct(inputs, keep=('attributions', 'masked_probs'))"
        )
    picture = as_picture(image)
    if picture.shape[:2] != tuple(maps.shape[-2:]):
        raise ArgumentError(
            f"image must be as large as the result's maps, {tuple(maps.shape[-2:])} (H,W), got {picture.shape[:2]}; "
            "denormalize(inputs, mean, std) gives the picture that belongs to them"
        )
    num_classes = result.probs.shape[1]
    corrected = bool(result.corrected[index])
    candidates = _candidates(result, index, maps, view_images)
    return Case(
        picture=picture,
        names=display_names(class_names, num_classes),
        before=result.probs[index].float().cpu().numpy(),
        after=result.corrected_probs[index].float().cpu().numpy(),
        candidates=candidates if corrected else [],
        hidden=len(maps) - len(candidates) if corrected else 0,
        corrected=corrected,
        gap=float(result.gap[index]),
        label=None if label is None else check_int("label", label, 0, num_classes - 1),
        settings=dict(result.settings),
    )


def _candidates(result: CorrectionResult, index: int, maps: Tensor, view_images: Tensor | None) -> list[Candidate]:
    shown = min(len(maps), MAX_SHOWN)
    views: list[Pixels | None] = [None] * shown
    if view_images is not None:
        if not isinstance(view_images, Tensor) or view_images.ndim != 4 or len(view_images) not in (shown, len(maps)):
            given = tuple(view_images.shape) if isinstance(view_images, Tensor) else type(view_images).__name__
            raise ArgumentError(f"view_images must be a tensor ({shown},3,H,W), one for each candidate, got {given}")
        views = [as_picture(view, "view_images") for view in view_images[:shown]]
    classes = result.candidates[index].tolist()
    return [
        Candidate(
            index=classes[k],
            prob=float(result.probs[index, classes[k]]),
            values=maps[k].float().cpu().numpy(),
            view=views[k],
            said=float(result.masked_probs[index, k, classes[k]]) if result.masked_probs is not None else 0.0,
            flat=bool(result.flat[index, k]),
        )
        for k in range(shown)
    ]


def display_names(class_names: Sequence[str] | None, num_classes: int) -> list[str]:
    """Class names without their synonyms ("tench, Tinca tinca"), wherever that leaves the name unmistakable."""
    names = list(default_class_names(num_classes) if class_names is None else class_names)
    if len(names) != num_classes:
        raise ArgumentError(f"class_names must hold one name for each of the {num_classes} classes, got {len(names)}")
    short = [name.partition(",")[0].strip() or name for name in names]
    counts = {brief: short.count(brief) for brief in short}
    return [brief if counts[brief] == 1 else name for brief, name in zip(short, names, strict=True)]


def number(prob: float) -> str:
    """A probability with three decimals; a small one does not look like zero."""
    return "<0.001" if 0 < prob < NEGLIGIBLE else f"{prob:.3f}"
