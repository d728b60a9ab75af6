"""Tables as HTML, for notebooks: what ``_repr_html_`` of results and comparisons is made of."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", note: str = "") -> str:
    """A table in the style that notebooks give to data frames. Every text is escaped.

    Args:
        head: Names of the columns; the first one's cells are the names of the rows.
        rows: As many texts each.
        title: Above it.
        note: Below it.

    Example:
        >>> html_table(["method"], [["<CAM>"]])[-52:]
        '<tbody><tr><th>&lt;CAM&gt;</th></tr></tbody></table>'
    """
    body = "".join(_row(["th", *["td"] * (len(row) - 1)], row) for row in rows)
    table = f'<table class="dataframe"><thead>{_row(["th"] * len(head), head)}</thead><tbody>{body}</tbody></table>'
    return "".join([_paragraph(title, "strong"), table, _paragraph(note, "small")])


def _row(tags: Sequence[str], texts: Sequence[str]) -> str:
    cells = "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in zip(tags, texts, strict=True))
    return f"<tr>{cells}</tr>"


def _paragraph(text: str, tag: str) -> str:
    return f"<p><{tag}>{escape(text)}</{tag}></p>" if text else ""
