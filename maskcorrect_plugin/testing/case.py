"""What the conformance checks run on: one method of one backend, a tiny seeded network, and seeded images."""

import contextlib
import functools
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo

NUM_CLASSES = 5
SIZE = (16, 20)
"""Height and width of the images: not square, so that swapped axes show."""
TOLERANCE = 1e-4
"""Largest difference between maps that should be equal: float32 sums depend on how inputs are packed."""


def tiny_network(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> nn.Module:
    """A CNN of modules only: two convolutions, global average pooling, dropout, one linear head. Seeded, eval mode.

    Its weights are large, so that classes differ plainly, and its BatchNorm has running statistics that differ from
    those of any batch, so that a forward in training mode shows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 4, 3, stride=2, padding=1),
                norm=nn.BatchNorm2d(4),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(4, 6, 3, padding=1),
                relu2=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                drop=nn.Dropout(0.5),
                head=nn.Linear(6, NUM_CLASSES),
            )
        )
        for parameter in network.parameters():
            parameter.data.mul_(3 if parameter.ndim > 1 else 1)
        norm = network.get_submodule("norm")
        if isinstance(norm.running_mean, Tensor) and isinstance(norm.running_var, Tensor):
            norm.running_mean.uniform_(-0.3, 0.3)
            norm.running_var.uniform_(0.5, 2.0)
    return network.eval().to(device, dtype)


def tiny_images(count: int = 3, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Seeded normal noise (count,3,16,20)."""
    generator = torch.Generator().manual_seed(11)
    return torch.randn(count, 3, *SIZE, generator=generator).to(device, dtype)


def seed_everything(seed: int) -> None:
    """Seeds torch (every device), NumPy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextlib.contextmanager
def unnoticed() -> Iterator[None]:
    """Gives random states and grad mode back to whoever runs the checks, whatever they and the method do."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


@dataclass(frozen=True)
class Case:
    """One method of one backend, to be checked.

    Attributes:
        backend: The backend.
        method: One of its methods.
        options: What `create` gets besides method and model; ``target_layer`` is allowed.
        device: Where network and images are.
    """

    backend: AttributionBackend
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device | str = "cpu"

    @property
    def label(self) -> str:
        """``backend:method``."""
        return f"{getattr(self.backend, 'name', type(self.backend).__name__)}:{self.method}"

    @property
    def info(self) -> MethodInfo:
        """What the backend declares of the method."""
        return self.backend.info(self.method)

    def network(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        """A fresh `tiny_network`."""
        return tiny_network(dtype, self.device)

    def images(self, count: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
        """`tiny_images`."""
        return tiny_images(count, dtype, self.device)

    def candidates(self) -> Tensor:
        """Three different classes for each of three images, (3,3) int64."""
        return torch.tensor([[0, 3, 1], [2, 4, 0], [1, 0, 4]], device=self.device)

    def create(self, model: nn.Module) -> AttributionMethod:
        """The method, bound to the model."""
        return self.backend.create(self.method, model, **self.options)

    def attribute(self, target: int | Tensor = 1, count: int = 3, model: nn.Module | None = None) -> Tensor:
        """Maps of a fresh method on the tiny images, from a fixed seed."""
        seed_everything(0)
        return self.create(model or self.network()).attribute(self.images(count), target)


Check = Callable[[Case], None]


def check(function: Check) -> Check:
    """Makes a check say which backend, method and check it is about; unexpected errors become failures, too."""

    @functools.wraps(function)
    def run(case: Case) -> None:
        try:
            with unnoticed():
                function(case)
        except Exception as error:
            found = str(error) if isinstance(error, AssertionError) else f"raised {type(error).__name__}: {error}"
            raise AssertionError(f"{case.label}: {function.__name__}: {found}") from error

    return run


def expect(condition: bool, message: str) -> None:
    """Raises AssertionError unless the condition holds; also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def expect_equal(found: Tensor, expected: Tensor, what: str) -> None:
    """Raises AssertionError unless two batches of maps agree within `TOLERANCE` (NaN equals NaN)."""
    expect(found.shape == expected.shape, f"{what}: shapes {tuple(found.shape)} and {tuple(expected.shape)}")
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    if not torch.allclose(found, expected, rtol=0, atol=TOLERANCE, equal_nan=True):
        raise AssertionError(f"{what}: largest difference {float((found - expected).abs().max()):.3g}")
