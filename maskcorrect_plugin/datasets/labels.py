"""How the names of classes in data become indices into the model's outputs.

Of the rules of `match_labels` the first that fits is taken, and what is ambiguous is refused: a wrong label is worse
than none, since it makes a table that looks right.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maskcorrect_plugin.errors import ArgumentError

from .classes import SPELLINGS, ModelClasses, case_alike, some
from .synsets import is_wordnet_id, synset_indices

logger = logging.getLogger("maskcorrect_plugin")

DISAGREEMENT = 0.01
"""Share of names that may stand elsewhere in the model when labels go by position. Two lists of ImageNet's classes
disagree on the crane: in one it is the bird, in the other the machine."""


@dataclass(frozen=True)
class LabelMap:
    """Names of the data's classes -> indices.

    Attributes:
        indices: Name in the data -> index of the class.
        rule: How they were matched, in words.
        class_names: Name of each index; None where the names are indices themselves.
    """

    indices: dict[str, int]
    rule: str
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class Wording:
    """How messages speak of the names that are matched.

    Attributes:
        carrier: What carries a name, in the singular.
        order: What the names are ordered by.
        show: A name as it is shown, which may say where it was found.
    """

    carrier: str = "folder"
    order: str = "sorted"
    show: Callable[[str], str] = repr

    def some(self, names: Sequence[str]) -> str:
        """The first few names."""
        return some(names, self.show)


def match_labels(found: Sequence[str], classes: ModelClasses, wording: Wording) -> LabelMap:
    """Maps the classes of a data set to a model's outputs.

    1. Names equal to the model's class names, all of them: as they stand; else with spaces, hyphens and underscores
       alike; else also without regard to case. A name that two classes share is refused.
    2. Integers, zero-padded or not: indices. One outside the model's range is refused.
    3. WordNet ids: as many as the model has classes in sorted order, which is ImageNet's (torchvision's convention);
       fewer by ImageNet's list, which timm carries.
    4. As many names as the model has classes: in order. That is what a network that was trained on the same folders
       means by its outputs; it is logged as a warning, and refused where names of the model's stand elsewhere.

    Without a model, integers are indices, and other names are numbered in order.

    Args:
        found: The classes' names, each once, in the data's own order.
        classes: The model's.
        wording: How messages speak of them.

    Raises:
        ValueError: no rule fits, or a name is ambiguous.
        ImportError: timm is needed and not installed.

    Example:
        >>> match_labels(["great-owl", "Hen"], ModelClasses.of(["duck", "hen", "great owl"], None), Wording()).indices
        {'great-owl': 2, 'Hen': 1}
    """
    indices = _by_name(found, classes, wording)
    if indices is not None:
        return LabelMap(indices, "class names", classes.named(indices))
    if found and all(name.isascii() and name.isdecimal() for name in found):
        return LabelMap(_by_index(found, classes, wording), "class indices", None)
    if found and all(map(is_wordnet_id, found)):
        indices, rule = _by_synset(found, classes, wording)
    else:
        indices, rule = _by_position(found, classes, wording), f"{wording.order} {wording.carrier} names"
    return LabelMap(indices, rule, classes.named(indices))


def _by_name(found: Sequence[str], classes: ModelClasses, wording: Wording) -> dict[str, int] | None:
    for spelling in SPELLINGS if classes.names else ():
        outputs = classes.outputs(spelling)
        if not all(spelling(name) in outputs for name in found):
            continue
        for name in found:
            if len(which := outputs[spelling(name)]) > 1:
                raise ArgumentError(
                    f"source: the {wording.carrier} {wording.show(name)} may be any of the model's classes "
                    f"{' and '.join(map(str, which))}, which share the name; allowed are {_ways(classes)}"
                )
        return _distinct({name: outputs[spelling(name)][0] for name in found}, wording)
    return None


def _by_index(found: Sequence[str], classes: ModelClasses, wording: Wording) -> dict[str, int]:
    indices = {name: int(name) for name in found}
    outside = [name for name, index in indices.items() if classes.count is not None and index >= classes.count]
    if outside:
        raise ArgumentError(
            f"source: the {wording.carrier} names are integers, but not all of them are class indices: "
            f"{wording.some(outside)}; allowed are {classes}"
        )
    if len(found) == classes.count and sorted(found) != sorted(found, key=int):
        logger.warning(
            "labels: the %s names are taken as class indices; a network that was trained on such folders by "
            "torchvision's ImageFolder numbers them in the order of the text instead (0, 1, 10, 2, ...)",
            wording.carrier,
        )
    return _distinct(indices, wording)


def _by_synset(found: Sequence[str], classes: ModelClasses, wording: Wording) -> tuple[dict[str, int], str]:
    if classes.count in (None, len(found)):
        return {name: index for index, name in enumerate(sorted(found))}, "sorted WordNet ids"
    if len(found) > (classes.count or 0) or classes.count != 1000:
        raise ArgumentError(
            f"source: {len(found)} {wording.carrier} names are WordNet ids, and the model has {classes.count} classes; "
            "allowed are as many as the model has classes, or some of ImageNet's 1000 with a model of these"
        )
    known = synset_indices()
    unknown = [name for name in found if name not in known]
    if unknown:
        raise ArgumentError(f"source: not among ImageNet's 1000 WordNet ids: {wording.some(unknown)}")
    return {name: known[name] for name in found}, "WordNet ids"


def _by_position(found: Sequence[str], classes: ModelClasses, wording: Wording) -> dict[str, int]:
    indices = {name: index for index, name in enumerate(found)}
    if classes.count is None:
        return indices
    outputs = classes.outputs(case_alike)
    strange = [name for name in found if case_alike(name) not in outputs]
    moved = [name for name, index in indices.items() if index not in outputs.get(case_alike(name), [index])]
    if len(found) != classes.count or len(moved) > DISAGREEMENT * (len(found) - len(strange)):
        hint = f", but in that order {wording.some(moved)} would be another class than by name" if moved else ""
        raise ArgumentError(
            f"source: of {len(found)} {wording.carrier} names, {len(strange)} are not among the model's: "
            f"{wording.some(strange)}; allowed are {_ways(classes)}, or exactly {classes.count} names in the order of "
            f"the model's classes{hint if len(found) == classes.count else ''}"
        )
    logger.warning(
        "labels: %d of %d %s names are not among the model's class names, so all are taken as its classes 0 to %d in "
        "%s order: right only if the model was trained on the same classes in this order",
        len(strange),
        len(found),
        wording.carrier,
        len(found) - 1,
        wording.order,
    )
    return indices


def _ways(classes: ModelClasses) -> str:
    return f"{classes}, WordNet ids (n01440764)"


def _distinct(indices: dict[str, int], wording: Wording) -> dict[str, int]:
    first: dict[int, str] = {}
    for name, index in indices.items():
        if (other := first.setdefault(index, name)) != name:
            raise ArgumentError(
                f"source: the {wording.carrier} names {wording.show(other)} and {wording.show(name)} would both be "
                f"class {index}; allowed is one name for each class"
            )
    return indices
