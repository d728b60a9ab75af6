"""Links between Markdown files that work in the repository and on the site.

In the repository a page may link to a file that is no page: ``../README.md``, ``../examples/swap_method.py``,
``gallery/1_correct_one_image.py``. On the site that file stands on a page of its own, or in a section of one; the link
is led there while the page is read.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
PAGES = {
    "README.md": "set-up.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "adapters/README.md": "backends.md",
    "examples": "examples.md",
}
"""Where on the site a file or folder of the repository is shown; what lies in such a folder has a section there."""
GALLERY, GALLERY_PAGES = DOCS / "gallery", DOCS / "auto_gallery"
LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def site_link(path: str, folder: Path, page_folder: Path) -> str | None:
    """Where a link leads on the site.

    Args:
        path: What the link says, relative to `folder`.
        folder: Of the file that the link stands in.
        page_folder: Of the page that shows it.

    Returns:
        A path relative to `page_folder`, or None where no page shows that file.
    """
    target = Path(os.path.normpath(folder / path))
    if target.is_relative_to(GALLERY):
        page = "index" if target == GALLERY else target.stem
        return os.path.relpath(GALLERY_PAGES / f"{page}.rst", page_folder)
    if target.is_relative_to(DOCS):
        return os.path.relpath(target, page_folder)
    if not target.is_relative_to(ROOT):
        return None
    inside = target.relative_to(ROOT)
    for shown in (inside, *inside.parents):
        if (page := PAGES.get(shown.as_posix())) is not None:
            rest = inside.relative_to(shown).parts
            # A section is called like the file; its anchor leaves out the dot.
            anchor = f"#{rest[0].replace('.', '').lower()}" if rest else ""
            return os.path.relpath(DOCS / page, page_folder) + anchor
    return None


def lead_to_the_site(text: str, folder: Path, page_folder: Path) -> str:
    """The text of a Markdown file with its links to other files led to the site's pages."""

    def led(link: re.Match[str]) -> str:
        place = site_link(link["path"], folder, page_folder)
        return link[0] if place is None else f"]({place}{link['anchor'] or ''})"

    return LINK.sub(led, text)


def _page_read(app: Sphinx, docname: str, source: list[str]) -> None:
    file = Path(app.env.doc2path(docname))
    if file.suffix == ".md":
        source[0] = lead_to_the_site(source[0], file.parent, file.parent)


def _file_included(app: Sphinx, relative_path: Path, parent_docname: str, content: list[str]) -> None:
    content[0] = lead_to_the_site(content[0], Path(os.path.normpath(DOCS / relative_path)).parent, DOCS)


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers both readers."""
    app.connect("source-read", _page_read)
    app.connect("include-read", _file_included)
    return {"parallel_read_safe": True}
