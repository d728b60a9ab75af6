"""Class names: from a sequence, a text file with one name per line, or a JSON file."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError


def read_class_names(class_names: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """The names in the order of the model's outputs.

    Args:
        class_names: The names themselves, or a file: ``.json`` with a list of names, an object index -> name (0, 1,
            ... without gaps; a list such as ``["n01440764", "tench"]`` in place of a name counts by its last entry)
            or name -> index (what ``ImageFolder.class_to_idx`` gives); any other file holds one name per line.

    Raises:
        ValueError: a file that cannot be read, is empty, or has gaps.
        TypeError: names that are not strings.
    """
    if isinstance(class_names, str | os.PathLike):
        return _read_file(Path(class_names))
    if not isinstance(class_names, Sequence):
        raise ArgumentTypeError(
            f"class_names must be a file or a sequence of names, got {type(class_names).__name__}: {class_names!r}"
        )
    return _check(list(class_names), "class_names")


def default_class_names(count: int) -> tuple[str, ...]:
    """``"class 0"``, ``"class 1"``, ... where nobody knows better."""
    return tuple(f"class {index}" for index in range(count))


def _read_file(file: Path) -> tuple[str, ...]:
    if not file.is_file():
        raise ArgumentError(f"class_names: there is no file {file!s}")
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text) if file.suffix.lower() == ".json" else text.rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise ArgumentError(f"class_names: {file!s} cannot be read: {error}") from error
    if isinstance(content, dict):
        content = _in_order(content, file)
    if not isinstance(content, list):
        raise ArgumentError(f"class_names: {file!s} must hold a list or an object, got {type(content).__name__}")
    return _check([name.strip() if isinstance(name, str) else name for name in content], f"class_names: {file!s}")


def _in_order(content: dict[str, Any], file: Path) -> list[Any]:
    if all(isinstance(index, int) for index in content.values()):
        by_index: dict[int, Any] = {index: name for name, index in content.items()}
    else:
        by_index = {int(index) if index.isdecimal() else -1: _name(entry) for index, entry in content.items()}
    if sorted(by_index) != list(range(len(content))):
        raise ArgumentError(f"class_names: {file!s} must give every index from 0 to {len(content) - 1} exactly once")
    return [by_index[index] for index in range(len(by_index))]


def _name(entry: Any) -> Any:
    return entry[-1] if isinstance(entry, list) and entry else entry


def _check(names: list[Any], where: str) -> tuple[str, ...]:
    if not names:
        raise ArgumentError(f"{where}: there must be at least one name")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{where}: name {index} must be a string, got {name!r}")
        if not name:
            raise ArgumentError(f"{where}: name {index} is empty")
    return tuple(names)
