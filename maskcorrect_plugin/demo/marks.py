"""The four small details that tell sub-classes apart, and how one is painted."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .painting import Colour, Draw, Window, coverage, lay
from .sdf import Array, circle, intersection, stroke, turn, union


def ring(x: Array, y: Array) -> Array:
    """The mark of the *ringed* sub-classes: an annulus. Like every mark it fits the unit disc."""
    return np.abs(circle(x, y, 0.68)) - 0.25


def bars(x: Array, y: Array) -> Array:
    """The mark of the *barred* sub-classes: two parallel bars."""
    side = np.abs(x)
    return stroke(side, y, (0.5, -0.55), (0.5, 0.55), 0.25)


def cross(x: Array, y: Array) -> Array:
    """The mark of the *crossed* sub-classes: two strokes at right angles."""
    return union(stroke(x, y, (-0.72, 0.0), (0.72, 0.0), 0.23), stroke(x, y, (0.0, -0.72), (0.0, 0.72), 0.23))


def crescent(x: Array, y: Array) -> Array:
    """The mark of the *mooned* sub-classes: a disc from which another one was cut."""
    return intersection(circle(x, y, 0.95), -circle(x - 0.52, y, 0.72))


Mark = Callable[[Array, Array], Array]
MARKS: dict[str, Mark] = {"ringed": ring, "barred": bars, "crossed": cross, "mooned": crescent}
"""Sub-class adjective -> its small detail, as a distance field over the unit disc."""


def paint_mark(
    draw: Draw, image: Array, centre: tuple[float, float], radius: float, kind: int, colour: Colour, contrast: float
) -> NDArray[np.bool_]:
    """Paints one mark at a random angle, strictly inside its disc.

    Args:
        draw: The scene's random numbers; as many are drawn for every kind.
        image: (H,W,3), painted on in place.
        centre: Of the disc, (x, y) in pixels.
        radius: Of the disc, in pixels.
        kind: Index into `MARKS`.
        colour: Of the mark.
        contrast: Share of `colour` in what is painted; the rest is what was there.

    Returns:
        The disc as a mask (H,W).
    """
    angle = draw.uniform(0.0, 6.2832)
    window = Window(image, *centre, radius + 2.0)
    u, v = turn(window.x / radius, window.y / radius, angle)
    # Cut hard, so that no trace of a mark lies outside the mask that is returned.
    inside = coverage(circle(u, v, 1.0), radius) > 0.5
    field = tuple(MARKS.values())[kind](u, v)
    lay(window.image, coverage(field, radius) * inside * contrast, colour)
    mask = np.zeros(image.shape[:2], dtype=np.bool_)
    mask[window.where] = inside
    return mask
