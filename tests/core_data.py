"""What the tests of corrections share: fixed maps, photographs, a data set of partners, and the rule of seeds anew."""

import hashlib
from types import SimpleNamespace

import torch
from conftest import images
from PIL import Image

from maskcorrect_plugin.attribution import AttributionMethod
from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.models.preprocessing import ResizeCrop

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


class FixedMaps(AttributionMethod):
    """Gives maps made beforehand: (N,M,H,W), one for every class."""

    def __init__(self, model, maps):
        super().__init__(model)
        self.maps = maps

    def attribute(self, inputs, target):
        rows = torch.arange(len(inputs))
        return self.maps[rows, target].unsqueeze(1)


class PartnersInMemory:
    """A data set of inputs with names; those in `broken` cannot be read. Notes what is read."""

    def __init__(self, inputs, broken=()):
        self.tensors = inputs
        self.broken = set(broken)
        self.read = []

    def __len__(self):
        return len(self.tensors)

    def record(self, index):
        return SimpleNamespace(id=f"class/{index}.png", label=None)

    def load(self, index, transform):
        self.read.append(index)
        if index in self.broken:
            raise ImageError("truncated", f"class/{index}.png")
        return self.tensors[index] if transform is None else transform(self.tensors[index])


def partners(count=8, broken=(), size=(16, 20)):
    return PartnersInMemory(images(count, size, seed=7), broken)


def names(count=3):
    """Names of the first images of `partners`, as a run over that data set would give them."""
    return [f"class/{index}.png" for index in range(count)]


def seeded(source, seed, name):
    """The documented rule: eight bytes of BLAKE2b of source, seed and name."""
    digest = hashlib.blake2b(f"{source}|{seed}|{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def answers(net, shown):
    with torch.no_grad():
        return net(shown).softmax(-1)


def minmax(maps):
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low)


def photo(size=(60, 45), seed=0):
    """A smooth picture of random colours, of (width, height)."""
    coarse = torch.randint(0, 256, (7, 9, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(coarse.numpy()).resize(size, Image.Resampling.BICUBIC)


def photos():
    """Larger and smaller than the input of 16 x 16, upright and lying, square, and a single pixel."""
    sizes = [(60, 45), (33, 50), (40, 40), (11, 7), (1, 1), (90, 20)]
    return [photo(size, seed) for seed, size in enumerate(sizes)]


def preprocessing(interpolation="bilinear"):
    """Shorter side to 20, centre crop of 16 x 16."""
    return ResizeCrop(16, 20, MEAN, STD, interpolation).prepare()
