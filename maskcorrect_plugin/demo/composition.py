"""How one scene is composed: background and loose marks, then the animal with its own mark, light and grain.

The kind of the animal's own mark consumes no random number, so two paintings of one random stream that differ in it
alone are equal outside the disc that holds the mark.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import difficulty
from .background import body_colour, paint_background, paint_loose_marks
from .bodies import Animal, Part
from .marks import paint_mark
from .painting import Colour, Draw, Window, coverage, lay, mix, noise, pixel_centres
from .sdf import Array, rotation, turn, union

IMAGE_SIZE = 96
"""Height and width of a scene in pixels."""


@dataclass(frozen=True)
class Painting:
    """A composed scene; the attributes are those of `scenes.Scene`."""

    image: NDArray[np.uint8]
    object_mask: NDArray[np.bool_]
    detail_mask: NDArray[np.bool_]
    distractor_mask: NDArray[np.bool_]
    distractors: tuple[int, ...]


@dataclass(frozen=True)
class Pose:
    """Where the animal is: body units become pixels by mirroring, scaling, turning and moving."""

    x: float
    y: float
    scale: float
    angle: float
    mirror: float

    @classmethod
    def draw(cls, draw: Draw, animal: Animal) -> "Pose":
        """A random pose that leaves nearly all of the animal inside the image."""
        scale = draw.uniform(*difficulty.SCALE)
        margin = 0.95 * scale
        x, y = draw.uniform(margin, IMAGE_SIZE - margin), draw.uniform(margin, IMAGE_SIZE - margin)
        angle = draw.uniform(-animal.roll, animal.roll)
        return cls(x, y, scale, angle, -1.0 if draw.uniform() < 0.5 else 1.0)

    def to_body(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Pixel coordinates as body units."""
        u, v = turn((x - self.x) / self.scale, (y - self.y) / self.scale, self.angle)
        return u * self.mirror, v

    def to_pixel(self, u: float, v: float) -> tuple[float, float]:
        """One point in body units as pixel coordinates."""
        cosine, sine = rotation(self.angle)
        u *= self.mirror
        return self.x + self.scale * (u * cosine - v * sine), self.y + self.scale * (u * sine + v * cosine)


def compose(draw: Draw, animal: Animal, kind: int) -> Painting:
    """Paints a scene.

    Args:
        draw: The scene's random numbers, unused so far.
        animal: The super-class.
        kind: The sub-class, index into `marks.MARKS`.
    """
    pose = Pose.draw(draw, animal)
    u, v = pose.to_body(*pixel_centres(IMAGE_SIZE))
    parts = animal.parts(u, v)
    outline = union(*(part.field for part in parts))
    cream = draw.colour(draw.uniform(0.09, 0.16), (0.05, 0.25), (0.88, 1.0))

    image = paint_background(draw, IMAGE_SIZE)
    distractors, loose = paint_loose_marks(draw, image, outline * pose.scale, pose.scale, cream)
    paint_animal(draw, image, animal, pose, parts, v)
    detail_mask = paint_detail(draw, image, animal, pose, kind, cream)
    add_light_and_grain(draw, image)

    pixels = np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    object_mask = coverage(outline, pose.scale) > 0.5
    return Painting(pixels, object_mask, detail_mask, loose & ~object_mask, distractors)


def draw_palette(draw: Draw, animal: Animal) -> dict[str, Colour]:
    """The colours of one animal: role of a part -> colour."""
    body = body_colour(draw, animal)
    return {
        "body": body,
        "limb": mix(body, draw.colour(animal.hue + draw.uniform(-0.1, 0.1), (0.5, 0.9), (0.25, 0.5)), 0.7),
        "dark": draw.colour(animal.hue, (0.3, 0.6), (0.08, 0.20)),
        "light": draw.colour(draw.uniform(0.08, 0.14), (0.2, 0.6), (0.85, 0.95)),
    }


def paint_animal(draw: Draw, image: Array, animal: Animal, pose: Pose, parts: tuple[Part, ...], v: Array) -> None:
    """The animal without its mark: its parts in the colours of one palette, rounded shading, a mottled skin."""
    palette = draw_palette(draw, animal)
    window = Window(image, pose.x, pose.y, 1.2 * pose.scale)
    skin = 1.0 + 0.16 * (noise(draw, IMAGE_SIZE, 24)[window.where] - 0.5)
    belly = 0.12 * np.clip(v[window.where], -1.0, 1.0)
    for part in parts:
        field = part.field[window.where]
        shade = skin - 0.38 * np.clip(1.0 + field / 0.16, 0.0, 1.0) - belly if part.shaded else skin
        paint = shade[..., None] * np.asarray(palette[part.role], dtype=np.float32)
        lay(window.image, coverage(field, pose.scale), paint)


def paint_detail(draw: Draw, image: Array, animal: Animal, pose: Pose, kind: int, cream: Colour) -> NDArray[np.bool_]:
    """The mark that makes the sub-class, near the animal's anchor; returns its disc as a mask (H,W)."""
    u, v = (anchor + draw.uniform(-0.05, 0.05) for anchor in animal.anchor)
    radius = pose.scale * draw.uniform(*difficulty.MARK_RADIUS)
    contrast = draw.uniform(*difficulty.CONTRAST)
    return paint_mark(draw, image, pose.to_pixel(u, v), radius, kind, cream, contrast)


def add_light_and_grain(draw: Draw, image: Array) -> None:
    """Slanting light and noise, pixel by pixel: nothing spreads to a neighbour."""
    cosine, sine = rotation(draw.uniform(0.0, 6.2832))
    across, down = pixel_centres(IMAGE_SIZE)
    light = (across * cosine + down * sine) * (1.0 / IMAGE_SIZE) - 0.5 * (cosine + sine)
    image *= 1.0 + draw.uniform(0.0, 0.25) * light[..., None]
    grain = draw.uniform(*difficulty.GRAIN)
    image += grain * (draw.array(*image.shape) + draw.array(*image.shape) - 1.0)
