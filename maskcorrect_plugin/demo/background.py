"""The background of a scene: soft texture, clutter, and loose marks of all sub-classes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import difficulty
from .bodies import ANIMALS, Animal
from .marks import MARKS, paint_mark
from .painting import Colour, Draw, Window, coverage, lay, noise
from .sdf import Array, ellipse, rotation, stroke, turn

FEWEST_MARKS = 3
"""Of three loose marks, all of different kinds, at least two are not the animal's own."""


class Disc(NamedTuple):
    """A place that is taken, in pixels."""

    x: float
    y: float
    radius: float


def paint_background(draw: Draw, size: int) -> Array:
    """Two soft colours mingled by smooth noise, with blades and pebbles on top; an image (size,size,3)."""
    hue = draw.uniform(0.08, 0.62)  # sand, grass, water
    image = np.empty((size, size, 3), dtype=np.float32)
    image[:] = np.asarray(draw.colour(hue, (0.15, 0.45), (0.35, 0.60)), dtype=np.float32)
    second = draw.colour(hue + draw.uniform(-0.15, 0.15), (0.10, 0.40), (0.50, 0.80))
    mottle = 0.65 * noise(draw, size, draw.integer(2, 5)) + 0.35 * noise(draw, size, draw.integer(8, 16))
    lay(image, mottle, second)
    image += 0.07 * (noise(draw, size, 32)[..., None] - 0.5)
    for _ in range(draw.integer(*difficulty.BLADES)):
        paint_blade(draw, image, draw.colour(hue + draw.uniform(-0.2, 0.2), (0.2, 0.5), (0.3, 0.8)))
    for _ in range(draw.integer(*difficulty.PEBBLES)):
        place = Disc(draw.uniform(0, size), draw.uniform(0, size), draw.uniform(3.5, 8.5))
        paint_pebble(draw, image, place, draw.colour(draw.uniform(), (0.1, 0.5), (0.35, 0.85)))
    return image


def paint_blade(draw: Draw, image: Array, colour: Colour) -> None:
    """A blade of grass, weed or twig."""
    size = image.shape[0]
    x, y, reach = draw.uniform(0, size), draw.uniform(0, size), draw.uniform(8, 22)
    cosine, sine = rotation(draw.uniform(0.0, 6.2832))
    width = draw.uniform(0.6, 1.6)
    window = Window(image, x, y, reach + 3.0)
    field = stroke(window.x, window.y, (-cosine * reach, -sine * reach), (cosine * reach, sine * reach), width)
    lay(window.image, 0.85 * coverage(field, 1.0), colour)


def paint_pebble(draw: Draw, image: Array, place: Disc, colour: Colour) -> None:
    """A rounded stone that fits the disc, lit from above."""
    window = Window(image, place.x, place.y, place.radius + 2.0)
    short = place.radius * draw.uniform(0.75, 1.0)
    u, v = turn(window.x, window.y, draw.uniform(0.0, 3.1416))
    field = ellipse(u, v, place.radius, short)
    shade = 1.0 - 0.25 * np.clip(1.0 + field / (0.6 * short), 0.0, 1.0) - 0.10 * np.clip(window.y / short, -1.0, 1.0)
    lay(window.image, coverage(field, 1.0), shade[..., None] * np.asarray(colour, dtype=np.float32))


def paint_loose_marks(
    draw: Draw, image: Array, outline: Array, scale: float, cream: Colour
) -> tuple[tuple[int, ...], NDArray[np.bool_]]:
    """Marks of all kinds beside the animal, many of them on pebbles in some animal's colour.

    Kinds come in random order, each once before any comes again. Nothing here depends on the animal's own mark, so the
    sub-class cannot be learned from the background.

    Args:
        draw: The scene's random numbers.
        image: Painted on in place.
        outline: Signed distance (H,W) to the animal in pixels.
        scale: Pixels per body unit, which sets the size of the marks.
        cream: Colour of the marks.

    Returns:
        The kinds, and the discs of the marks as one mask (H,W).
    """
    mask = np.zeros(outline.shape, dtype=np.bool_)
    taken: list[Disc] = []
    kinds: list[int] = []
    order = draw.order(len(MARKS)) + draw.order(len(MARKS))
    animals = tuple(ANIMALS.values())
    for kind in order[: draw.integer(*difficulty.LOOSE_MARKS)]:
        radius = scale * draw.uniform(*difficulty.MARK_RADIUS)
        on_pebble = draw.uniform() < difficulty.PEBBLE_SHARE
        place, fits = free_place(draw, outline, taken, radius * draw.uniform(1.5, 2.1) if on_pebble else radius)
        if not fits and len(kinds) >= FEWEST_MARKS:
            continue
        if on_pebble:
            paint_pebble(draw, image, place, body_colour(draw, animals[draw.integer(0, len(animals) - 1)]))
        contrast = draw.uniform(*difficulty.LOOSE_CONTRAST)
        mask |= paint_mark(draw, image, (place.x, place.y), radius, kind, cream, contrast)
        taken.append(place)
        kinds.append(kind)
    return tuple(kinds), mask


def free_place(draw: Draw, outline: Array, taken: list[Disc], radius: float) -> tuple[Disc, bool]:
    """A disc in the image that touches neither the animal nor the discs that are taken, and whether that succeeded.

    Of 24 random places the first that fits is taken; if none does, the one that overlaps least.
    """
    size = outline.shape[0]
    best, most = Disc(0.0, 0.0, radius), -np.inf
    for _ in range(24):
        x, y = draw.uniform(radius, size - radius), draw.uniform(radius, size - radius)
        room = float(outline[int(y), int(x)])
        for disc in taken:
            room = min(room, float(np.sqrt((x - disc.x) ** 2 + (y - disc.y) ** 2)) - disc.radius)
        if room > most:
            best, most = Disc(x, y, radius), room
        if most > radius + 1.0:
            return best, True
    return best, False


def body_colour(draw: Draw, animal: Animal) -> Colour:
    """A colour around the animal's hue."""
    return draw.colour(animal.hue + draw.uniform(-0.06, 0.06), (0.55, 0.85), (0.45, 0.80))
