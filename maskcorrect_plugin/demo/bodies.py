"""The four animals, one per super-class: outlines and coloured parts in body units (1 = half a body length).

An animal faces +x (to the right); y points down. Every animal carries exactly one mark, at its *anchor*.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .sdf import Array, blend, circle, ellipse, intersection, polygon, stroke, turn, union


@dataclass(frozen=True)
class Part:
    """One painted part of an animal.

    Attributes:
        field: Signed distance (H,W) in body units.
        role: Which colour of the animal's palette it takes: ``"body"``, ``"limb"``, ``"dark"`` or ``"light"``.
        shaded: Whether its rim is darkened, which makes it look round.
    """

    field: Array
    role: str
    shaded: bool = False


@dataclass(frozen=True)
class Animal:
    """A super-class.

    Attributes:
        parts: Function of body coordinates (u, v) that returns the parts, painted first to last.
        anchor: Centre of the mark in body units.
        hue: Middle of the body's hue, in [0,1).
        roll: Largest rotation to either side, in radians.
    """

    parts: Callable[[Array, Array], tuple[Part, ...]]
    anchor: tuple[float, float]
    hue: float
    roll: float


def perch(u: Array, v: Array) -> tuple[Part, ...]:
    """A fish seen from the side: lens-shaped body, forked tail, a fin above and one below."""
    body = blend(ellipse(u - 0.16, v, 0.80, 0.43), ellipse(u + 0.58, v, 0.36, 0.14), 0.25)
    upper = polygon(u, v, ((-0.66, -0.06), (-1.02, -0.46), (-0.86, 0.06)))
    lower = polygon(u, -v, ((-0.66, -0.06), (-1.02, -0.46), (-0.86, 0.06)))
    fins = union(
        polygon(u, v, ((-0.34, -0.34), (-0.22, -0.66), (0.34, -0.40), (0.30, -0.30))),
        polygon(u, v, ((0.16, 0.36), (-0.02, 0.66), (-0.16, 0.36))),
    )
    tail = union(upper, lower) - 0.03
    gill = abs(circle(u - 0.36, v, 0.34)) - 0.022
    return (
        Part(union(tail, fins), "limb"),
        Part(body, "body", shaded=True),
        Part(intersection(gill, 0.60 - u), "limb"),
        Part(circle(u - 0.74, v + 0.08, 0.085), "light"),
        Part(circle(u - 0.76, v + 0.08, 0.048), "dark"),
    )


def finch(u: Array, v: Array) -> tuple[Part, ...]:
    """A bird seen from the side: egg-shaped body, round head, short beak, long tail, two legs."""
    tu, tv = turn(u + 0.02, v - 0.10, 0.35)
    trunk = ellipse(tu, tv, 0.60, 0.42)
    head = circle(u - 0.44, v + 0.38, 0.27)
    tail = polygon(u, v, ((-0.38, -0.08), (-1.00, -0.30), (-1.06, -0.08), (-0.42, 0.20))) - 0.02
    beak = polygon(u, v, ((0.66, -0.48), (0.94, -0.34), (0.66, -0.27)))
    legs = union(
        stroke(u, v, (-0.02, 0.46), (0.04, 0.80), 0.035),
        stroke(u, v, (0.18, 0.46), (0.24, 0.80), 0.035),
    )
    return (
        Part(legs, "dark"),
        Part(tail, "limb"),
        Part(beak, "light"),
        Part(blend(trunk, head, 0.20), "body", shaded=True),
        Part(circle(u - 0.52, v + 0.42, 0.065), "dark"),
    )


def beetle(u: Array, v: Array) -> tuple[Part, ...]:
    """A beetle seen from above: round wing covers with a seam, a dark head, six legs and two feelers."""
    side = abs(v)
    legs = union(
        stroke(u, side, (0.30, 0.40), (0.52, 0.76), 0.045),
        stroke(u, side, (-0.08, 0.48), (-0.08, 0.84), 0.045),
        stroke(u, side, (-0.42, 0.40), (-0.68, 0.74), 0.045),
    )
    feelers = stroke(u, side, (0.80, 0.14), (1.02, 0.36), 0.035)
    return (
        Part(union(legs, feelers), "dark"),
        Part(ellipse(u - 0.62, v, 0.30, 0.30), "dark"),
        Part(ellipse(u + 0.12, v, 0.72, 0.58), "body", shaded=True),
        Part(stroke(u, v, (-0.80, 0.0), (0.52, 0.0), 0.02), "dark"),
        Part(circle(u - 0.78, side - 0.14, 0.055), "light"),
    )


def moth(u: Array, v: Array) -> tuple[Part, ...]:
    """A moth seen from above: two pairs of wings around a thin body, two feelers."""
    side = abs(v)
    fu, fv = turn(u - 0.26, side - 0.52, 0.95)
    fore = ellipse(fu, fv, 0.56, 0.36)
    hu, hv = turn(u + 0.40, side - 0.38, -0.75)
    hind = ellipse(hu, hv, 0.42, 0.28)
    feelers = stroke(u, side, (0.52, 0.05), (0.88, 0.30), 0.03)
    return (
        Part(feelers, "dark"),
        Part(hind, "limb", shaded=True),
        Part(fore, "body", shaded=True),
        Part(stroke(u, v, (-0.52, 0.0), (0.46, 0.0), 0.10), "dark"),
    )


ANIMALS: dict[str, Animal] = {
    "perch": Animal(perch, anchor=(0.06, 0.0), hue=0.04, roll=0.6),
    "finch": Animal(finch, anchor=(-0.04, 0.10), hue=0.58, roll=0.45),
    "beetle": Animal(beetle, anchor=(-0.12, 0.30), hue=0.36, roll=3.14),
    "moth": Animal(moth, anchor=(0.28, 0.52), hue=0.80, roll=3.14),
}
"""Super-class name -> its animal."""
