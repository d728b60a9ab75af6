"""What the tests of controls share: a data set of partners, and the documented rule of seeds written a second time."""

import hashlib

import torch
from conftest import images

from maskcorrect_plugin.errors import ImageError


class PartnersInMemory:
    """Images with names; those in `broken` cannot be read. Counts what is read."""

    def __init__(self, inputs, broken=()):
        self.tensors = inputs
        self.broken = set(broken)
        self.read = []

    def __len__(self):
        return len(self.tensors)

    def name(self, index):
        return f"class/{index}.png"

    def inputs(self, index):
        self.read.append(index)
        if index in self.broken:
            raise ImageError(f"{self.name(index)}: truncated")
        return self.tensors[index]


def partners(count=8, broken=(), size=(16, 20)):
    return PartnersInMemory(images(count, size, seed=7), broken)


def names(count=3):
    """Names of the first images of `partners`, as a run over that data set would give them."""
    return [f"class/{index}.png" for index in range(count)]


def seeded(control, seed, name):
    """The documented rule: eight bytes of BLAKE2b of control, seed and name."""
    digest = hashlib.blake2b(f"{control}|{seed}|{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
