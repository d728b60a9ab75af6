"""``run.json``: what a run is a run of. A command that asks for something else is refused, naming what differs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.printable import stable_text

from .atomic import check_writable, write_atomically

FORMAT = "maskcorrect_plugin.evaluation/2"
"""First entry of the document: whose it is, and in which version of its layout."""
NAME = "run.json"
SHOWN = 6
"""Differences that a refusal names; it counts the others."""


@dataclass(frozen=True)
class Manifest:
    """What a run is a run of.

    Attributes:
        identity: What must be the same when the run goes on: model, data, methods with their settings, records,
            versions. Plain JSON values.
        about: What may differ between workers and resumptions: when, where, on what.
        class_names: One per class, for tables and pages.
    """

    identity: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in the order in which they were asked for."""
        return tuple(self.identity["methods"])

    @property
    def num_images(self) -> int:
        """Images in the data set, as far as the run uses it."""
        return int(self.identity["data"]["count"])

    @property
    def images_per_part(self) -> int:
        """Images in one part; the last may have fewer."""
        return int(self.identity["records"]["images_per_part"])

    @property
    def num_parts(self) -> int:
        """Parts of each method."""
        return -(-self.num_images // self.images_per_part)

    def part(self, index: int) -> range:
        """Positions in the data set of the images of a part."""
        start = index * self.images_per_part
        return range(start, min(self.num_images, start + self.images_per_part))

    def create_or_match(self, folder: Path) -> "Manifest":
        """Puts ``run.json`` in its place; where there is one already, checks that it is the same run.

        Several workers may do this at once: one of them creates the file, the others find it.

        Returns:
            The manifest of the run: this one, or the one that was there.

        Raises:
            RunError: the folder holds another run, or something else.
        """
        check_output(folder)
        path = folder / NAME
        if not path.exists():
            document = {"format": FORMAT, "identity": self.identity, "about": self.about}
            text = json.dumps({**document, "class_names": self.class_names}, indent=1, allow_nan=False)
            write_atomically(path, lambda file: file.write(text.encode()), keep_existing=True)
        existing = Manifest.read(folder)
        different = list(differences(existing.identity, json.loads(json.dumps(self.identity))))
        if different:
            raise RunError(_refusal(folder, different))
        return existing

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a run's folder.

        Raises:
            RunError: there is none, or it is not ours.
        """
        path = folder / NAME
        if not path.is_file():
            raise RunError(f"{folder!s} is no run of an evaluation: it has no {NAME}")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            ours = document["format"] == FORMAT
            manifest = cls(document["identity"], document["about"], tuple(document["class_names"])) if ours else None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RunError(f"{path!s} cannot be read as the description of a run: {error!r}") from error
        if manifest is None:
            raise RunError(
                f"{path!s} has the format {document['format']!r}, this version reads {FORMAT!r}: runs of earlier "
                "versions, which did not hold recipes, must be run again"
            )
        return manifest


def check_output(folder: Path) -> None:
    """Raises RunError unless the folder is a run or can become one, missing or empty, and can be written to."""
    check_writable(folder)
    # Hidden files do not count: a run that was killed before its run.json was whole leaves a temporary one.
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    contents = sorted(name for name in names if not name.startswith("."))
    if contents and not (folder / NAME).exists():
        raise RunError(
            f"output folder {folder!s} is not empty (it holds {contents[0]!r}, for one) and is no run; choose another"
        )


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two nested documents differ: dotted name, old value, new value.

    Example:
        >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}))
        [('a.c', 2, 3), ('d', None, 4)]
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    elif old != new:
        yield name, old, new


def _refusal(folder: Path, different: list[tuple[str, Any, Any]]) -> str:
    shown = "; ".join(f"{name} was {_short(old)} and is {_short(new)} now" for name, old, new in different[:SHOWN])
    more = f"; and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    return f"{folder!s} holds another run: {shown}{more}. Ask for the same to go on with it, or choose another folder"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):  # a whole method, say, that was or is not asked for: its settings say no more
        return "given"
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def plain_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a method as JSON values; what JSON does not know is put down as its `stable_text`.

    Args:
        name: Of the method, for errors.
        settings: Its settings.

    Raises:
        ValueError: keys that are no names, or numbers that are not finite.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(settings), default=stable_text, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"settings of {name!r} must be plain values with names: {error}; got {settings!r}"
        ) from error
    return plain
