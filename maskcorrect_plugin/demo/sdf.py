"""Signed distance fields: the outlines that scenes are painted from, negative inside and positive outside.

Only operations that IEEE 754 rounds exactly are used on arrays (+, -, *, /, square root, minimum, maximum), so that a
scene has the same bytes on every machine; sines and cosines are taken of scalars and rounded (see `rotation`).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Always float32 here; NumPy's own annotations lose the width when a Python number joins in."""


def rotation(angle: float) -> tuple[float, float]:
    """Cosine and sine of `angle` (radians), rounded to six decimals: maths libraries differ in the last bit."""
    return round(math.cos(angle), 6), round(math.sin(angle), 6)


def turn(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates as seen from a frame turned by `angle` radians."""
    cosine, sine = rotation(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def circle(x: Array, y: Array, radius: float) -> Array:
    """Distance to a circle around the origin."""
    distance: Array = np.sqrt(x * x + y * y) - radius
    return distance


def ellipse(x: Array, y: Array, a: float, b: float) -> Array:
    """Distance to an axis-parallel ellipse with half axes `a` and `b`, exact to first order near the outline."""
    p, q = x / a, y / b
    level = np.sqrt(p * p + q * q)
    p, q = p / a, q / b
    slope = np.sqrt(p * p + q * q) + 1e-6
    distance: Array = level * (level - 1.0) / slope
    # The quotient tends to 0 at the very centre, where a distance must be lowest.
    inner: Array = np.where(level < 0.25, (level - 1.0) * min(a, b), distance)
    return inner


def stroke(x: Array, y: Array, start: tuple[float, float], end: tuple[float, float], width: float) -> Array:
    """Distance to the segment from `start` to `end`, drawn with round ends and half width `width`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    px, py = x - start[0], y - start[1]
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    return circle(px - along * dx, py - along * dy, width)


def polygon(x: Array, y: Array, corners: tuple[tuple[float, float], ...]) -> Array:
    """Distance to a convex polygon, its corners listed in either direction; exact on the edges."""
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    area = sum(ax * by - bx * ay for (ax, ay), (bx, by) in edges)
    planes = []
    for (ax, ay), (bx, by) in edges:
        length = math.copysign(math.sqrt((bx - ax) ** 2 + (by - ay) ** 2), area)
        planes.append((x - ax) * ((by - ay) / length) - (y - ay) * ((bx - ax) / length))
    return intersection(*planes)


def union(*fields: Array) -> Array:
    """Distance to the union of shapes."""
    joined = fields[0]
    for field in fields[1:]:
        joined = np.minimum(joined, field)
    return joined


def intersection(*fields: Array) -> Array:
    """Distance to what all shapes share."""
    shared = fields[0]
    for field in fields[1:]:
        shared = np.maximum(shared, field)
    return shared


def blend(first: Array, second: Array, radius: float) -> Array:
    """The union of two shapes with a rounded joint (polynomial smooth minimum)."""
    near = np.maximum(radius - np.abs(first - second), 0.0) / radius
    joined: Array = np.minimum(first, second) - near * near * (radius * 0.25)
    return joined
