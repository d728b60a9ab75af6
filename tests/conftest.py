import os
from pathlib import Path

import pytest
import torch
from torch import nn

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="device for the device-dependent tests, e.g. cuda")


@pytest.fixture(scope="session")
def device(request):
    name = torch.device(request.config.getoption("--device"))
    if name.type == "cuda" and not torch.cuda.is_available():
        pytest.exit(f"--device {name} was asked for, but there is no such device", returncode=2)
    return name


@pytest.fixture(scope="session")
def real_folder():
    """Real weights and photographs, which are no part of the project: development data only."""
    folder = Path(os.environ.get("MASKCORRECT_REAL", ROOT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real weights and photos at {folder}; set MASKCORRECT_REAL to run this test")
    return folder


class TinyNet(nn.Module):
    """Two convolutions, global average pooling, one linear head; channel 1 of the last layer is dead."""

    def __init__(self, channels=6, num_classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(4, channels, 3, padding=1)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, inputs):
        maps = self.act(self.body(torch.relu(self.norm(self.stem(inputs)))))
        return self.head(self.drop(maps.mean(dim=(-2, -1))))


def make_tiny_net(seed=0, dead=True, **kwargs):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = TinyNet(**kwargs)
        for parameter in net.parameters():  # larger weights, so that classes differ plainly
            parameter.data.mul_(3 if parameter.ndim > 1 else 1)
        if dead:
            net.body.weight.data[1] = 0
            net.body.bias.data[1] = -1.0  # below the ReLU everywhere
    return net.eval()


def images(count=3, size=(16, 20), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, *size, generator=generator)


@pytest.fixture
def tiny_net(device):
    return make_tiny_net().to(device)


@pytest.fixture
def tiny_images(device):
    return images().to(device)


class Counter:
    """Counts the inputs that pass through a model."""

    def __init__(self, model):
        self.inputs = 0
        self.batches = []
        self._handle = model.register_forward_pre_hook(self._count)

    def _count(self, _, args):
        self.inputs += len(args[0])
        self.batches.append(len(args[0]))

    def reset(self):
        self.inputs, self.batches = 0, []
