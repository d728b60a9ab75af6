"""`write_report`: from folders of finished runs to one HTML file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.comparison import compare
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.evaluation.atomic import check_writable, write_atomically
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET, Subset

from .chapters import chapters_of
from .families import families_of
from .gallery import make_gallery
from .rendering import GENERATOR, render

PICTURES = 200
"""Pictures of a page, unless told otherwise."""
_HEAD = 2000
"""Bytes of a page that hold its generator."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        path: The page.
        size: Its bytes.
        methods: Methods of all runs.
        changed: Changed images, one for each method that changed it.
        listed: Of them, those that the page lists.
        pictured: Of them, those with a picture.
    """

    path: Path
    size: int
    methods: int
    changed: int
    listed: int
    pictured: int


def write_report(
    runs: Iterable[str | Path | RunFolder],
    output: str | Path,
    *,
    subset: Subset = PAPER_SUBSET,
    pictures: int = PICTURES,
    title: str | None = None,
    overwrite: bool = False,
) -> Report:
    """Makes one self-contained HTML page of finished runs: nothing in it is asked of the network.

    Args:
        runs: Folders of finished runs; several models and data sets may stand in one page.
        output: The page. An earlier report is replaced.
        subset: The difficult images.
        pictures: Small pictures of changed images in the page at most, of those that the runs keep. The other changed
            images are listed in numbers.
        title: Of the page; None takes the model's and the data's names.
        overwrite: Replace a file that is no report, too.

    Returns:
        Where it is and what it holds.

    Raises:
        ValueError: no finished run, or a file that would be overwritten.
        RunError: (a ValueError) a run is damaged, or the page cannot be written; what was there stays then.
    """
    check_int("pictures", pictures, 0)
    path = check_destination(output, overwrite=overwrite)
    families = families_of(compare(runs, subset))
    gallery = make_gallery(families, pictures)
    content = render(chapters_of(families), gallery, title).encode()
    write_atomically(path, lambda file: file.write(content))
    methods = sum(len(family.methods) for family in families)
    return Report(path, len(content), methods, gallery.changed, gallery.listed, gallery.pictured)


def check_destination(output: str | Path, *, overwrite: bool = False) -> Path:
    """The path of a page that may be written.

    Raises:
        ValueError: it is a folder, or a file that is no report and is not to be overwritten, or its folder cannot be
            written to.
    """
    path = Path(output)
    if path.is_dir():
        raise ArgumentError(f"output must be a file such as report.html, but {str(output)!r} is a folder")
    if path.exists() and not overwrite and not _is_report(path):
        raise ArgumentError(
            f"output {str(output)!r} exists and is no report of this program; choose another name, or pass --overwrite"
        )
    check_writable(path.parent)
    return path


def _is_report(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD)
