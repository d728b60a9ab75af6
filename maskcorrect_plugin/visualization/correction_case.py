"""What the figure of one corrected image shows: the arguments checked, the numbers taken out of the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.models.class_names import default_class_names
from maskcorrect_plugin.options import default_of
from maskcorrect_plugin.pictures import Box
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.recipe_words import follows_candidates, is_guided, read_view, view_label
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.views import MERGED, view_classes

from .pictures import MAX_SHOWN, Pixels, as_picture, kept_maps
from .rendered_views import RenderedViews, guiding_maps

TOP_CLASSES = 5
"""Of the classes before and of those after, so many are drawn as bars."""
NEGLIGIBLE = 0.0005
"""Probabilities below it are displayed as ``<0.001``."""


@dataclass(frozen=True)
class Shown:
    """One picture that the network was shown again, and what it said to it.

    Attributes:
        label: Which view, in a few characters.
        picture: What was shown; None if that was not given.
        answer: The most probable class.
        prob: Its probability.
        flat: The map behind it carried no information, so that the picture is the input.
        box: Where it was cut out of the original; None where it was not.
    """

    label: str
    picture: Pixels | None
    answer: int
    prob: float
    flat: bool
    box: Box | None


@dataclass(frozen=True)
class Candidate:
    """One of the classes whose maps are followed one by one.

    Attributes:
        index: The class.
        prob: Its probability before, ``Y[c_k]``.
        values: Its map, (H,W).
        flat: The map carried no information.
        shown: What was shown by each view that follows its map.
        said: What the network then said of the class, likewise: ``P_k[c_k]``.
    """

    index: int
    prob: float
    values: Pixels
    flat: bool
    shown: tuple[Shown, ...]
    said: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """One image of a result. Where `max_gap` passed it unchanged, nothing was shown again.

    Attributes:
        picture: (H,W,3).
        names: Of all M classes, as they are displayed.
        before: ``Y``, (M,).
        after: The corrected distribution, (M,).
        candidates: Those that are shown; none where no view follows the maps one by one.
        merged: The merged map (H,W), where a view follows it.
        others: What was shown by views that follow the merged map or none.
        original: The original picture (h,w,3), where something was cut out of it.
        place: Where the input lies in the original.
        hidden: Number of candidates and pictures that are not shown.
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
    merged: Pixels | None
    others: list[Shown]
    original: Pixels | None
    place: Box | None
    hidden: int
    corrected: bool
    gap: float
    label: int | None
    settings: dict[str, Any]

    @property
    def pictured(self) -> list[Shown]:
        """Those of `others` of which there is a picture."""
        return [shown for shown in self.others if shown.picture is not None]

    def boxes(self) -> list[Box]:
        """Where pictures were cut out of the original, each box once."""
        shown = [*self.others, *(each for candidate in self.candidates for each in candidate.shown)]
        return list(dict.fromkeys(each.box for each in shown if each.box is not None))

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
    view_images: RenderedViews | None,
    label: int | None,
) -> Case:
    """Checks the arguments of `draw_correction`, which says what they are."""
    check_int("index", index, 0, len(result) - 1)
    if result.view_probs is None:
        raise ArgumentError(
            "result must hold its view_probs, got None; keep them with correct(inputs, keep=('attributions', "
            "'view_probs'))"
        )
    picture = as_picture(image)
    _check_size(picture, result, index)
    num_classes = result.probs.shape[1]
    corrected = bool(result.corrected[index])
    taking = _Taking(result, index, view_images if corrected else None)
    original = None if taking.rendered is None else taking.rendered.original
    return Case(
        picture=picture,
        names=display_names(class_names, num_classes),
        before=result.probs[index].float().cpu().numpy(),
        after=result.corrected_probs[index].float().cpu().numpy(),
        candidates=taking.candidates() if corrected else [],
        merged=taking.merged() if corrected else None,
        others=taking.others() if corrected else [],
        original=None if original is None else as_picture(original.permute(1, 2, 0).cpu().numpy()),
        place=None if taking.rendered is None else taking.rendered.place,
        hidden=taking.hidden() if corrected else 0,
        corrected=corrected,
        gap=float(result.gap[index]),
        label=None if label is None else check_int("label", label, 0, num_classes - 1),
        settings=dict(result.settings),
    )


def _check_size(picture: Pixels, result: CorrectionResult, index: int) -> None:
    if any(is_guided(spec) for spec, _ in result.columns) or result.attributions is not None:
        size = tuple(kept_maps(result, index).shape[-2:])
        if picture.shape[:2] != size:
            raise ArgumentError(
                f"image must be as large as the result's maps, {size} (H,W), got {picture.shape[:2]}; "
                "denormalize(inputs, mean, std) gives the picture that belongs to them"
            )


class _Taking:
    """Takes what was shown of one image out of a result.

    Args:
        result: With ``view_probs``, and ``attributions`` if a view follows maps.
        index: Which image.
        rendered: The pictures, if they were given.
    """

    def __init__(self, result: CorrectionResult, index: int, rendered: RenderedViews | None) -> None:
        if rendered is not None and not isinstance(rendered, RenderedViews):
            raise ArgumentTypeError(f"view_images must be what render_views gives, got {type(rendered).__name__}")
        if rendered is not None and len(rendered.views) != len(result.columns):
            raise ArgumentError(
                f"view_images must be of the result's {len(result.columns)} views, got those of {len(rendered.views)}"
            )
        self.result, self.index, self.rendered = result, index, rendered
        specs = [spec for spec, _ in result.columns]
        self.by_candidate = [view for view, spec in enumerate(specs) if self._follows_candidates(view, spec)]
        self.by_merged = [view for view, spec in enumerate(specs) if is_guided(spec) and view not in self.by_candidate]
        self.weights = str(result.settings.get("candidate_weights", default_of(Recipe, "candidate_weights")))

    def _follows_candidates(self, view: int, spec: str) -> bool:
        """Of a class that is not known the number of its pictures has to tell."""
        as_many = self.result.columns[view][1] == self.result.candidates.shape[1]
        guessed = read_view(spec)[0] not in view_classes() and self.result.settings.get("method") is not None
        return follows_candidates(spec) or (guessed and as_many and not is_guided(spec))

    def candidates(self) -> list[Candidate]:
        """Those that are shown."""
        if not self.by_candidate:
            return []
        maps = kept_maps(self.result, self.index)
        classes = self.result.candidates[self.index].tolist()
        made = []
        for k, one in enumerate(classes[:MAX_SHOWN]):
            shown = tuple(self._shown(view, k) for view in self.by_candidate)
            said = tuple(float(self._probs(view, k)[one]) for view in self.by_candidate)
            prob = float(self.result.probs[self.index, one])
            values = maps[k].float().cpu().numpy()
            made.append(Candidate(one, prob, values, any(each.flat for each in shown), shown, said))
        return made

    def merged(self) -> Pixels | None:
        """The merged map."""
        if not self.by_merged:
            return None
        values: Pixels = guiding_maps(self.result, self.index, MERGED, self.weights)[0, 0].float().cpu().numpy()
        return values

    def others(self) -> list[Shown]:
        """What was shown by views that do not follow the candidates' maps one by one."""
        views = [view for view in range(len(self.result.columns)) if view not in self.by_candidate]
        views.sort(key=lambda view: view not in self.by_merged)
        return [self._shown(view, k) for view in views for k in range(min(self.result.columns[view][1], MAX_SHOWN))]

    def hidden(self) -> int:
        """How many are left out."""
        counts = [count for view, (_, count) in enumerate(self.result.columns) if view not in self.by_candidate]
        if self.by_candidate:
            counts.append(self.result.candidates.shape[1])
        return sum(max(0, count - MAX_SHOWN) for count in counts)

    def _probs(self, view: int, k: int) -> Tensor:
        if self.result.view_probs is None:
            raise ArgumentError("result must hold its view_probs, got None")
        return self.result.view_probs[self.index, self.result.columns_of(view)][k]

    def _shown(self, view: int, k: int) -> Shown:
        spec, count = self.result.columns[view]
        probs = self._probs(view, k)
        answer = int(probs.argmax())
        several = count > 1 and view not in self.by_candidate
        rendered = None if self.rendered is None else self.rendered.views[view]
        return Shown(
            label=view_label(spec) + (f" ({k + 1})" if several else ""),
            picture=None if rendered is None else as_picture(rendered.images[k], "view_images"),
            answer=answer,
            prob=float(probs[answer]),
            flat=bool(self.result.flat[self.index, self.result.columns_of(view)][k]),
            box=None if rendered is None else rendered.boxes[k],
        )


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
