"""The model's classes, as far as they are known, and the spellings under which a name is found among them."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError

Spelling = Callable[[str], str]


def separators_alike(name: str) -> str:
    """Spaces, hyphens and underscores as one space; composed Unicode, which file systems take apart.

    Example:
        >>> separators_alike("Great_grey--owl")
        'Great grey owl'
    """
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name)).strip()


def case_alike(name: str) -> str:
    """Likewise, and without regard to case.

    Example:
        >>> case_alike("Great_Grey owl")
        'great grey owl'
    """
    return separators_alike(name).casefold()


SPELLINGS: tuple[Spelling, ...] = (str, separators_alike, case_alike)
"""From strict to lax. The strict ones come first because ImageNet has a Cardigan (a dog) and a cardigan (to wear)."""


@dataclass(frozen=True)
class ModelClasses:
    """The classes that labels are mapped to.

    Attributes:
        names: Name of each output, in order; None if they are not known.
        count: Number of outputs; None if it is not known.
    """

    names: tuple[str, ...] | None = None
    count: int | None = None

    @classmethod
    def of(cls, class_names: Sequence[str] | None, num_classes: int | None) -> "ModelClasses":
        """Checks what a caller knows about the model.

        Raises:
            TypeError: names that are not a sequence of strings.
            ValueError: the two do not agree.
        """
        if num_classes is not None:
            check_int("num_classes", num_classes, 1)
        if class_names is None:
            return cls(None, num_classes)
        if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
            raise ArgumentTypeError(f"class_names must be a sequence of strings, got {class_names!r}")
        names = tuple(class_names)
        if not names or num_classes not in (None, len(names)):
            wanted = "at least one name" if num_classes is None else f"num_classes={num_classes} names"
            raise ArgumentError(f"class_names must hold {wanted}, got {len(names)}")
        return cls(names, len(names))

    def outputs(self, spelling: Spelling) -> dict[str, list[int]]:
        """Spelt name -> the outputs of that name; empty if no names are known."""
        outputs: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(self.names or ()):
            outputs[spelling(name)].append(index)
        return dict(outputs)

    def named(self, matched: dict[str, int]) -> tuple[str, ...]:
        """Name of each index: the data's own where it has one, else the model's, else ``"class 7"``.

        Args:
            matched: Name in the data -> index.
        """
        count = self.count or 1 + max(matched.values(), default=-1)
        names = list(self.names or (f"class {index}" for index in range(count)))
        for name, index in matched.items():
            names[index] = name
        return tuple(names)

    def __str__(self) -> str:
        """What a label may be, for messages."""
        indices = "class indices" if self.count is None else f"class indices from 0 to {self.count - 1}"
        return indices if self.names is None else f"the model's class names ({some(self.names)}) or {indices}"


def some(names: Sequence[str], show: Callable[[str], str] = repr, count: int = 3) -> str:
    """The first few names, for messages.

    Example:
        >>> some(["a", "b", "c", "d"])
        "'a', 'b', 'c', ..."
    """
    return ", ".join(map(show, names[:count])) + (", ..." if len(names) > count else "")
