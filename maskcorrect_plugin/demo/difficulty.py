"""What makes the scenes easy or hard: ranges (low, high) that the generator draws from.

They were settled on the validation split, together with the recipe of `train`, so that the network is left with real
confusions. Changing any of them changes the scenes, and the trained network no longer belongs to them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

SCALE = (22.0, 34.0)
"""Half the length of an animal in pixels."""
MARK_RADIUS = (0.13, 0.19)
"""Radius of a mark's disc, in half lengths of the animal; loose marks are as large."""
CONTRAST = (0.08, 0.50)
"""Share of the marks' colour in the animal's own mark; the rest is the body's colour."""
LOOSE_CONTRAST = (0.30, 1.0)
"""The same of the loose marks in the background."""
LOOSE_MARKS = (4, 7)
"""How many loose marks are scattered, where there is room for them."""
PEBBLE_SHARE = 0.6
"""Share of the loose marks that lie on a pebble in some animal's colour."""
PEBBLES = (5, 10)
"""Plain pebbles."""
BLADES = (3, 8)
"""Blades of grass, weed or twig."""
GRAIN = (0.04, 0.10)
"""Half width of the pixel noise, in units of full brightness."""

EASIER = {"MARK_RADIUS": (0.17, 0.23), "CONTRAST": (0.15, 0.65), "GRAIN": (0.02, 0.07)}
"""What training begins with: larger and clearer marks, less noise."""


@contextmanager
def easier() -> Iterator[None]:
    """Inside, scenes are painted with `EASIER`."""
    usual = {name: globals()[name] for name in EASIER}
    globals().update(EASIER)
    try:
        yield
    finally:
        globals().update(usual)
