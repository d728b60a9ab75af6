"""Methods on the command line: a name, and options of its own in brackets, ``ScoreCAM[preset=grad_cam]``."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maskcorrect_plugin.errors import ArgumentError

_FORM = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<options>.*)\])?", re.DOTALL)


@dataclass(frozen=True)
class MethodSpec:
    """One method as it was asked for.

    Attributes:
        text: As it was written; what its records are called.
        name: The method's name.
        options: Its own options.
    """

    text: str
    name: str
    options: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> "MethodSpec":
        """Reads ``NAME`` or ``NAME[key=value,key=value]``; values are JSON where they can be, else strings.

        Example:
            >>> MethodSpec.parse("ScoreCAM[preset=grad_cam, show_progress=false]").options
            {'preset': 'grad_cam', 'show_progress': False}

        Raises:
            ValueError: of another form.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ArgumentError(f"method must be NAME or NAME[key=value,...], got {text!r}")
        options: dict[str, Any] = {}
        for part in filter(None, map(str.strip, (match["options"] or "").split(","))):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or not key.isidentifier():
                raise ArgumentError(f"method options must be key=value with commas between, got {part!r} in {text!r}")
            if key in options:
                raise ArgumentError(f"method options must differ, got {key!r} twice in {text!r}")
            options[key] = _value(value)
        return cls(text.strip(), match["name"].strip(), options)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def check_specs(texts: Sequence[str]) -> list[MethodSpec]:
    """All methods of a command, each once.

    Raises:
        ValueError: of another form, or one of them twice.
    """
    specs = [MethodSpec.parse(text) for text in texts]
    names = [spec.text for spec in specs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ArgumentError(f"method must name each method once, got {twice!r} twice")
    return specs
