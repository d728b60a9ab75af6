"""Options, each written down once: name, default, what is allowed, and one line of help.

A class of options is a frozen dataclass whose fields are made by `option`. The class checks them when it is made, the
command line, the live page and the documents read them from it, and ``NAME[key=value,...]`` is its text form.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .checks import check_choice, check_int, check_number, nearest
from .errors import ArgumentError, ArgumentTypeError
from .recipe_options import Option

Check = Callable[[str, Any], Any]
"""From an option's name and a value to the value as it is kept; raises ValueError or TypeError."""
_KEY = "option"


def option(known: Option, check: Check | None = None) -> Any:
    """A dataclass field that is an option.

    Args:
        known: What is known of it; its name must be the field's.
        check: Checks its values; not needed where it has choices.
    """
    chosen = check or (lambda name, value: check_choice(name, value, known.choices))
    return dataclasses.field(default=known.default, metadata={_KEY: (known, chosen)})


def number(known: Option, low: float, high: float, *, include_high: bool = False) -> Any:
    """An option that is a number in ``[low, high)``, or in ``[low, high]``."""
    return option(known, lambda name, value: check_number(name, value, low, high, include_high=include_high))


def whole(known: Option, low: int) -> Any:
    """An option that is a whole number of at least `low`."""
    return option(known, lambda name, value: check_int(name, value, low))


def options_of(owner: Any) -> dict[str, Option]:
    """The options of a class of options (or of an object of it), by name, in their order."""
    return {field.name: field.metadata[_KEY][0] for field in dataclasses.fields(owner) if _KEY in field.metadata}


def default_of(owner: Any, name: str) -> Any:
    """The default of one option."""
    return options_of(owner)[name].default


def check_options(values: Any) -> None:
    """Checks each option of an object and keeps what the checks give; to be called from ``__post_init__``."""
    for field in dataclasses.fields(values):
        if _KEY in field.metadata:
            check: Check = field.metadata[_KEY][1]
            object.__setattr__(values, field.name, check(field.name, getattr(values, field.name)))


def check_names(owner: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuses names of options that do not exist.

    Raises:
        TypeError: naming the first unknown one, and what there is.
    """
    for name in given:
        if name not in known:
            raise ArgumentTypeError(
                f"{owner} has no option {name!r}{nearest(name, known)}; it takes {', '.join(known) or 'none'}"
            )


_FORM = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<options>.*)\])?", re.DOTALL)


def parse_spec(text: str, what: str = "method") -> tuple[str, dict[str, Any]]:
    """Reads ``NAME`` or ``NAME[key=value,key=value]``; values are JSON where they can be, else text.

    Commas inside brackets belong to the value, so that a value may be such a text itself.

    Args:
        text: What was written.
        what: What it describes, for errors.

    Raises:
        ValueError: of another form.

    Example:
        >>> parse_spec("ScoreCAM[preset=grad_cam, max_masks=64]")
        ('ScoreCAM', {'preset': 'grad_cam', 'max_masks': 64})
        >>> parse_spec("other_image[of=ScoreCAM[max_masks=64,preset=official],seed=1]")
        ('other_image', {'of': 'ScoreCAM[max_masks=64,preset=official]', 'seed': 1})
    """
    match = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ArgumentError(f"{what} must be NAME or NAME[key=value,...], got {text!r}")
    options: dict[str, Any] = {}
    for part in split_top_level(match["options"] or "", ","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key.isidentifier():
            raise ArgumentError(f"{what} options must be key=value with commas between, got {part!r} in {text!r}")
        if key in options:
            raise ArgumentError(f"{what} options must differ, got {key!r} twice in {text!r}")
        options[key] = _value(value)
    return match["name"].strip(), options


def format_spec(name: str, options: Mapping[str, Any]) -> str:
    """The text that `parse_spec` reads.

    Example:
        >>> format_spec("mask", {"threshold": 0.1, "fill": "zero"})
        'mask[threshold=0.1,fill=zero]'
    """
    if not options:
        return name
    return f"{name}[{','.join(f'{key}={_text(value)}' for key, value in options.items())}]"


def split_top_level(text: str, separator: str) -> list[str]:
    """Parts of a text, cut at separators that are in no bracket and no quotes; empty parts are left out.

    Example:
        >>> split_top_level("a,b[c,d],e", ",")
        ['a', 'b[c,d]', 'e']
    """
    parts, depth, quoted, escaped = [""], 0, False, False
    for sign in text:
        if quoted:
            quoted, escaped = sign != '"' or escaped, sign == "\\" and not escaped
        else:
            quoted = sign == '"'
            depth += _opened(sign)
        if sign == separator and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts if part.strip()]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    """JSON, without quotes where the text cannot be taken for another value."""
    return value if isinstance(value, str) and _value(value) == value and _is_bare(value) else json.dumps(value)


def _is_bare(text: str) -> bool:
    """Whether a text is read as it stands: no quotes, and commas in brackets only, which are all closed again."""
    depth = 0
    for sign in text:
        depth += _opened(sign)
        if depth < 0 or sign == '"' or (depth == 0 and sign in ",="):
            return False
    return depth == 0 and text == text.strip()


def _opened(sign: str) -> int:
    return (sign in "[{") - (sign in "]}")
