"""Which files of a folder are images."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from maskcorrect_plugin.errors import ImageError

_USUAL = ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .webp .bmp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .avif"
SUFFIXES = frozenset(_USUAL.split())
"""What `find_images` takes for an image inside a folder."""


def find_images(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files and folders as a list of files, each once.

    A folder stands for all images in it and below it (by `SUFFIXES`, hidden files and folders left out), sorted by
    path. A file stands for itself whatever it is, also when it is missing: reading it reports that by name, and the
    others go on.

    Args:
        paths: One path, or several in the order wanted.

    Raises:
        ImageError: a folder holds no image.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, None] = {}
    for path in map(Path, given):
        files = [file for name in images_below(path) if (file := path / name).is_file()] if path.is_dir() else [path]
        if not files:
            raise ImageError("there is no image in this folder or below it", str(path))
        found.update(dict.fromkeys(files))
    return list(found)


def images_below(
    folder: str | os.PathLike[str],
    *,
    follow_links: bool = False,
    onerror: Callable[[OSError], object] | None = None,
) -> list[str]:
    """Names of the images in a folder and below it, relative to it, with ``/`` between folders, sorted by path.

    Whatever has one of `SUFFIXES` and is no folder counts, links that lead nowhere among them. Hidden files and
    folders are left out. No file is opened or asked for more than its name: 50,000 take a fraction of a second.

    Args:
        folder: Where to look.
        follow_links: Whether links to folders are followed; those that lead back to where they hang are not.
        onerror: Called with the error of a folder that cannot be listed; it is passed over when None.
    """
    top = os.fspath(folder)
    found: list[tuple[str, ...]] = []
    for parent, folders, files in os.walk(top, onerror=onerror, followlinks=follow_links):
        above = Path(parent).relative_to(top).parts
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not (follow_links and _leads_back(top, above, name))
        ]
        found += [
            (*above, name)
            for name in files
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")  # noqa: PTH122 - much faster
        ]
    return ["/".join(parts) for parts in sorted(found)]


def _leads_back(top: str, above: tuple[str, ...], name: str) -> bool:
    """Whether a link inside ``top/above`` leads to a folder that it lies in: following it would never end."""
    link = Path(top, *above, name)
    return link.is_symlink() and any(link.samefile(Path(top, *above[:depth])) for depth in range(len(above) + 1))
