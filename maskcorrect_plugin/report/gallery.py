"""The gallery's data: images that correction changed, with small pictures and maps for some of them.

A page of 50,000 images must open at once: so pictures are limited in number, maps are small, a picture that several
methods share is there once, and beyond a number of images only a count is left.
"""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from maskcorrect_plugin.evaluation.run_folder import THUMBNAILS
from maskcorrect_plugin.printable import printable
from maskcorrect_plugin.recipe_words import follows_candidates, read_view, weighted_views
from maskcorrect_plugin.views import MaskView

from .changed_images import ChangedImage, changed_images, fair_shares, most_telling
from .families import Family, Tried

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 10_000
"""Images that are listed at most, with or without a picture."""
MAP_SIDE = 64
"""Pixels of a map's sides. All maps of an image are one JPEG, one below the other, stretched to squares."""
QUALITY = 90


@dataclass(frozen=True)
class Gallery:
    """What the page's gallery displays.

    Attributes:
        data: For the script, as plain values.
        changed: Changed images, one for each method that changed it.
        listed: Of them, those that the page lists.
        pictured: Of them, those with a picture.
    """

    data: Mapping[str, Any]
    changed: int
    listed: int
    pictured: int


@dataclass(frozen=True)
class _Choice:
    """What of one method the gallery displays."""

    family: Family
    tried: Tried
    changed: Sequence[ChangedImage]
    thumbnails: "Mapping[int, pd.Series[Any]]"

    @property
    def with_picture(self) -> list[ChangedImage]:
        return [image for image in self.changed if image.index in self.thumbnails]


def make_gallery(families: Sequence[Family], pictures: int) -> Gallery:
    """Chooses and packs what the gallery displays.

    Args:
        families: All of the report.
        pictures: Pictures at most. The attribution methods' come first, then those of controls.
    """
    choices = [_choose(family, tried) for family in families for tried in family.methods]
    quotas = _quotas(choices, pictures)
    listed = fair_shares([len(choice.changed) for choice in choices], MOST_LISTED)
    packed: dict[str, str] = {}
    cases: list[dict[str, Any]] = []
    for number, (choice, quota, limit) in enumerate(zip(choices, quotas, listed, strict=True)):
        pictured = {image.index for image in most_telling(choice.with_picture, quota)}
        order = sorted(choice.changed, key=lambda image: image.index not in pictured)[: max(limit, quota)]
        cases += (_case(choice, number, image, image.index in pictured, packed) for image in order)
    return Gallery(
        data={
            "families": [_family(family, choices) for family in families],
            "methods": [_method(choice) for choice in choices],
            "pictures": packed,
            "cases": cases,
        },
        changed=sum(len(choice.changed) for choice in choices),
        listed=len(cases),
        pictured=sum("picture" in case for case in cases),
    )


def _choose(family: Family, tried: Tried) -> _Choice:
    kept = tried.folder.keeps(THUMBNAILS, tried.row.name_in_run)
    table = tried.folder.thumbnails(tried.row.name_in_run) if kept else None
    thumbnails = {} if table is None else {int(row["index"]): row for _, row in table.iterrows()}
    return _Choice(family, tried, changed_images(tried.records), thumbnails)


def _quotas(choices: Sequence[_Choice], pictures: int) -> list[int]:
    """Pictures of each method: explanations first."""
    counts = [len(choice.with_picture) for choice in choices]
    first = fair_shares(
        [count * choice.tried.explains for count, choice in zip(counts, choices, strict=True)], pictures
    )
    rest = fair_shares([count - given for count, given in zip(counts, first, strict=True)], pictures - sum(first))
    return [given + more for given, more in zip(first, rest, strict=True)]


def _family(family: Family, choices: Sequence[_Choice]) -> dict[str, Any]:
    """What the images of a family have in common: its name, and the names of the classes that occur."""
    names = family.manifest.class_names
    images = [image for choice in choices if choice.family is family for image in choice.changed]
    used = {entry.index for image in images for entry in image.classes}
    mean = family.manifest.about.get("mean")
    return {
        "name": printable(family.name),
        "classes": {str(index): printable(names[index]) for index in sorted(used)},
        "mean": [float(value) for value in mean] if mean and len(mean) == 3 else None,
    }


def _method(choice: _Choice) -> dict[str, Any]:
    mask = _mask(choice.tried)
    return {
        "name": printable(choice.tried.name),
        "family": choice.family.number,
        "threshold": mask.get("threshold"),
        "fill": str(mask["fill"]) if "fill" in mask else None,
    }


def _mask(tried: Tried) -> dict[str, Any]:
    """The options of the mask that each candidate's map was made into, which the page can redraw; else empty."""
    masks = [spec for spec, _ in weighted_views(tried.settings) if follows_candidates(spec)]
    name, options = read_view(masks[0]) if masks and tried.explains else ("", {})
    return options if name == MaskView.name else {}


def _case(choice: _Choice, number: int, image: ChangedImage, pictured: bool, packed: dict[str, str]) -> dict[str, Any]:
    """One image, and its picture into `packed`. Keys are short: there may be thousands."""
    case: dict[str, Any] = {
        "m": number,
        "k": image.kind,
        "n": printable(image.id),
        "l": image.label,
        "g": round(image.gap, 4),
        "d": round(image.moved, 4),
        "a": [image.old, image.new],
        "c": [[entry.index, round(entry.before, 4), round(entry.after, 4)] for entry in _listed(image, pictured)],
    }
    if pictured:
        row = choice.thumbnails[image.index]
        name = f"{choice.family.number}/{image.index}"
        packed.setdefault(name, base64.b64encode(row["image"]).decode("ascii"))
        case["picture"] = name
        if maps := pack_maps(row["maps"]):
            case["maps"] = base64.b64encode(maps).decode("ascii")
            case["mapCount"] = len(row["maps"])
    return case


def _listed(image: ChangedImage, pictured: bool) -> Iterator[Any]:
    """All classes beside a picture; without one the answers and the true class."""
    for entry in image.classes:
        if pictured or entry.index in (image.old, image.new, image.label):
            yield entry


def pack_maps(maps: Sequence[bytes]) -> bytes:
    """Grey pictures as one JPEG, one below the other, each `MAP_SIDE` pixels wide and high; empty without any."""
    if not len(maps):
        return b""
    strip = Image.new("L", (MAP_SIDE, MAP_SIDE * len(maps)))
    for position, content in enumerate(maps):
        with Image.open(io.BytesIO(content)) as values:
            small = values.convert("L").resize((MAP_SIDE, MAP_SIDE), Image.Resampling.BILINEAR)
        strip.paste(small, (0, MAP_SIDE * position))
    file = io.BytesIO()
    strip.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
