"""Paint for the scenes: repeatable random draws, colours, gentle noise, and shapes laid over an image.

Everything works in place on float32 images (H,W,3) in [0,1] and, like `sdf`, with exactly rounded operations only.
"""

from functools import lru_cache

import numpy as np

from .sdf import Array

Colour = tuple[float, float, float]


class Draw:
    """Random numbers of one scene.

    Every kind of draw is made from ``Generator.random`` alone: its stream is the one that NumPy keeps stable for
    PCG64, while the algorithms behind ``normal``, ``integers`` or ``choice`` may change.
    """

    def __init__(self, *key: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number from [low, high)."""
        return low + (high - low) * float(self._random.random())

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def order(self, count: int) -> list[int]:
        """The numbers 0 to `count` - 1 in random order."""
        keys = [self.uniform() for _ in range(count)]
        return sorted(range(count), key=keys.__getitem__)

    def array(self, *shape: int) -> Array:
        """Uniform float32 numbers from [0,1)."""
        return self._random.random(shape, dtype=np.float32)

    def colour(self, hue: float, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
        """A colour of the given hue with saturation and value drawn from their ranges."""
        return from_hsv(hue, self.uniform(*saturation), self.uniform(*value))


def from_hsv(hue: float, saturation: float, value: float) -> Colour:
    """Red, green and blue in [0,1] of a hue (any number; whole turns do not matter), saturation and value in [0,1]."""

    def channel(offset: float) -> float:
        distance = abs((hue + offset) % 1.0 * 6.0 - 3.0) - 1.0
        return value * (1.0 - saturation * (1.0 - min(max(distance, 0.0), 1.0)))

    return channel(0.0), channel(2.0 / 3.0), channel(1.0 / 3.0)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` of it replaced by `second`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def coverage(field: Array, scale: float, softness: float = 1.0) -> Array:
    """How much of each pixel a shape covers, in [0,1]: a one-pixel ramp across the outline is the anti-aliasing.

    Args:
        field: Signed distance (H,W) in units of which one is `scale` pixels.
        scale: Pixels per unit.
        softness: Width of the ramp in pixels.
    """
    covered: Array = np.clip(0.5 - field * (scale / softness), 0.0, 1.0)
    return covered


def lay(image: Array, amount: Array, colour: Colour | Array) -> None:
    """Lays a colour over the image, in place.

    Args:
        image: (H,W,3), or a window of it.
        amount: (H,W) in [0,1].
        colour: One colour, or an image (H,W,3).
    """
    paint = np.asarray(colour, dtype=np.float32)
    image += (paint - image) * amount[..., None]


class Window:
    """The part of an image around a point: a small shape is painted there at little cost.

    Args:
        image: (H,W,3).
        x: Column of the point in pixels; pixel centres lie at halves.
        y: Its row.
        reach: How far the window extends to each side, in pixels.

    Attributes:
        where: Slices of rows and columns.
        image: The window of the image, a view.
        x: Distances (h,w) of its pixel centres to the right of the point.
        y: The same downwards.
    """

    def __init__(self, image: Array, x: float, y: float, reach: float) -> None:
        rows, columns = (slice(max(int(c - reach), 0), max(int(c + reach) + 2, 0)) for c in (y, x))
        self.where = (rows, columns)
        self.image = image[self.where]
        across, down = pixel_centres(image.shape[0])
        self.x = across[self.where] - x
        self.y = down[self.where] - y


@lru_cache(maxsize=4)
def pixel_centres(size: int) -> tuple[Array, Array]:
    """Columns and rows (size,size) of the pixel centres of a square image: 0.5, 1.5, ..."""
    line = np.arange(size, dtype=np.float32) + np.float32(0.5)
    down, across = np.meshgrid(line, line, indexing="ij")
    return across, down


@lru_cache(maxsize=16)
def _lattice(size: int, cells: int) -> tuple[np.ndarray, Array]:
    position = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / size)
    lower = position.astype(np.int64)
    part = position - lower.astype(np.float32)
    return lower, part * part * (3.0 - 2.0 * part)


def noise(draw: Draw, size: int, cells: int) -> Array:
    """Smooth value noise (size,size) in [0,1]: a random lattice of `cells` squares a side, interpolated."""
    lattice = draw.array(cells + 1, cells + 1)
    lower, weight = _lattice(size, cells)
    rows = lattice[lower] + (lattice[lower + 1] - lattice[lower]) * weight[:, None]
    smooth: Array = rows[:, lower] + (rows[:, lower + 1] - rows[:, lower]) * weight[None, :]
    return smooth
