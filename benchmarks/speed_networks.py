"""The networks of the speed benchmark, and a layer of each of which only the first channels may count."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from maskcorrect_plugin import LoadedModel, load_model
from maskcorrect_plugin.images import read_image

LAYERS = {
    "squeezenet1_1": "features",
    "mobilenet_v2": "features",
    "resnet18": "layer4",
    "resnet50": "layer4",
    "vgg16": "features.29",
}
"""The layer that `find_target_layer` finds in torchvision's networks."""
TINY = "tiny"
"""A network for the smoke test, which is no row of the table."""
SUFFIXES = (".safetensors", ".pt", ".pth")


class Probe(nn.Module):
    """The first channels of what it is given: a layer whose output nobody but a CAM method reads."""

    channels: int | None = None

    def forward(self, maps: Tensor) -> Tensor:
        """(N,C,h,w) to (N,channels,h,w)."""
        return maps[:, : self.channels]


class Probed(nn.Module):
    """A layer with a `Probe` of its output beside it.

    Every library that reads the probe runs Score-CAM over that many channels, by forwards of the whole network: passes
    cost what they cost, there are only fewer of them.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.probe = Probe()

    def forward(self, inputs: Tensor) -> Tensor:
        """What the layer gives."""
        maps: Tensor = self.layer(inputs)
        self.probe(maps)
        return maps


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        name: Of the network.
        weights: Where they are from, in words.
        model: The network, in eval mode, on its device.
        probe: The target layer; its ``channels`` say how many of them count.
        inputs: Photos (N,C,H,W), or noise where none are given.
        shown: What the inputs are, in words.
    """

    name: str
    weights: str
    model: nn.Module
    probe: Probe
    inputs: Tensor
    shown: str

    def photos(self, count: int) -> Tensor:
        """So many inputs, the same ones again where there are too few."""
        return self.inputs[torch.arange(count, device=self.inputs.device) % len(self.inputs)]


def load_subject(name: str, weights: Path | None, photos: list[Path], device: torch.device) -> Subject:
    """Loads a network and its inputs.

    Args:
        name: A key of `LAYERS`, or ``"tiny"``.
        weights: A folder with a file of weights for each network, by its name; without one they are random, and the
            statistics of BatchNorm are those of noise.
        photos: Image files; noise without.
        device: Where all of it goes.
    """
    torch.manual_seed(0)
    if name == TINY:
        model, inputs, words, path = _tiny().to(device), torch.randn(2, 3, 32, 32), "noise", None
    else:
        path = next((file for end in SUFFIXES if weights and (file := weights / (name + end)).is_file()), None)
        loaded = load_model(f"torchvision:{name}", weights=path, device=device)
        model, (inputs, words) = loaded.model, _inputs(loaded, photos)
        if path is None:
            _settle(model, device)
    parent, _, child = LAYERS.get(name, "features").rpartition(".")
    owner = model.get_submodule(parent)
    probed = Probed(getattr(owner, child))
    setattr(owner, child, probed)
    return Subject(name, path.name if path else "random", model, probed.probe, inputs.to(device), words)


def _inputs(loaded: LoadedModel, photos: list[Path]) -> tuple[Tensor, str]:
    if not photos:
        return torch.randn(4, 3, 224, 224), "noise"
    transform: Callable[..., Tensor] = loaded.transform
    return torch.stack([transform(read_image(path)) for path in photos]), f"{len(photos)} photos"


@torch.no_grad()
def _settle(model: nn.Module, device: torch.device) -> None:
    """One batch of noise for the statistics of BatchNorm, without which deep networks of random weights overflow."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None
    model(torch.randn(8, 3, 224, 224, device=device))
    model.eval()


def _tiny() -> nn.Module:
    channels = (3, 32, 64, 64)
    layers: list[nn.Module] = []
    for first, second in pairwise(channels):
        layers += [nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU()]
    net = nn.Sequential()
    net.features = nn.Sequential(*layers, nn.MaxPool2d(4))
    net.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], 20))
    return net.eval()
