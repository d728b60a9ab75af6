"""The lively network as a user's own factory, ``-m lively_factory:network``, and a folder of images for it."""

import os
import time

import torch
from lively import lively_inputs, lively_net
from torch import nn
from torchvision.transforms import v2

NAMES = ("crow", "jay", "kite", "owl", "robin", "wren")
TRANSFORM = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)])
DELAY = "LIVELY_MILLISECONDS"
"""Environment variable: how long the network takes for each input beside its own time, so that a kill can hit it."""


class Slow(nn.Module):
    def __init__(self, net, seconds):
        super().__init__()
        self.net = net
        self.seconds = seconds

    def forward(self, inputs):
        time.sleep(self.seconds * len(inputs))
        return self.net(inputs)


def network():
    return Slow(lively_net(), float(os.environ.get(DELAY, "0")) / 1000), TRANSFORM, NAMES


def write_images(folder, count=30, broken=(7,)):
    """Class folders with images, some of which cannot be read."""
    for index, image in enumerate(lively_inputs(count)):
        file = folder / NAMES[index % len(NAMES)] / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        v2.functional.to_pil_image((image * 0.25 + 0.5).clamp(0, 1)).save(file)
        if index in broken:
            file.write_bytes(file.read_bytes()[:60])
    return folder
