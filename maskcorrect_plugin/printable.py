"""Text that cannot steer what displays it: names of files and classes may hold anything."""

import re
import unicodedata
from typing import Any

from markupsafe import Markup, escape

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_BLANKS = re.compile("\r\n|[\n\r\t\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]")
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_DIRECTIONS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_NOT_XML = re.compile("[\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The text on one line, without what could steer a terminal or a page, as valid Unicode.

    Control characters, those that turn the direction of what follows, and stray bytes become a replacement character.

    Example:
        >>> printable("a\nb\x1b[2J\u202egpj")
        'a b�[2J�gpj'
    """
    text = _LONE.sub(REPLACEMENT, text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    text = _BLANKS.sub(" ", text)
    text = _NOT_XML.sub(REPLACEMENT, _DIRECTIONS.sub(REPLACEMENT, text))
    return "".join(REPLACEMENT if unicodedata.category(sign) == "Cc" else sign for sign in text)


def breakable(name: str) -> Markup:
    """The name of a method, class or file as HTML that may be broken where its parts meet.

    Example:
        >>> breakable("ScoreCAM[max_masks=64]")
        Markup('ScoreCAM<wbr>[max_<wbr>masks=64]')
    """
    text = str(escape(printable(name)))
    for sign, broken in ((":", ":<wbr>"), ("[", "<wbr>["), (",", ",<wbr>"), ("/", "/<wbr>"), ("_", "_<wbr>")):
        text = text.replace(sign, broken)
    return Markup(text)  # noqa: S704 - escaped above


def stable_text(value: Any) -> str:
    """What an object says of itself, without addresses in memory, which are others in every process.

    Example:
        >>> stable_text(len), stable_text(object())
        ('<built-in function len>', '<object object>')
    """
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(repr(value).split()))
