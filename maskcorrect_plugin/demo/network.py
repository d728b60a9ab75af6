"""The small network of the demo, and its trained weights that come with the package."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from .scenes import CLASS_NAMES, MEAN, STD

WEIGHTS_DIR = Path(__file__).parent / "weights"
WEIGHTS_FILE = WEIGHTS_DIR / "demo_net.safetensors"
RECORD_FILE = WEIGHTS_DIR / "demo_net.json"
"""How the weights were trained and what they reach: recipe, seeds, versions, validation and test accuracy."""


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


class Residual(nn.Module):
    """``relu(x + bn(conv(relu(bn(conv(x))))))`` (He et al. 2015, figure 2) at constant width.

    Args:
        width: Channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        """Features (N,width,h,w) from features of the same shape."""
        output: Tensor = self.relu(inputs + self.second(self.first(inputs)))
        return output


class DemoNet(nn.Module):
    """Four stages, global average pooling and one linear head, so closed-form CAM is exact at `stages`.

    Args:
        num_classes: Outputs of the head.
        widths: Channels of the four stages. A 96 x 96 input leaves stages of 48, 24, 12 and 12 pixels a side.
    """

    def __init__(
        self, num_classes: int = len(CLASS_NAMES), widths: tuple[int, int, int, int] = (16, 32, 48, 64)
    ) -> None:
        super().__init__()
        a, b, c, d = widths
        self.stages = nn.Sequential(
            convolution(3, a, stride=2),
            nn.Sequential(convolution(a, b, stride=2), Residual(b)),
            nn.Sequential(convolution(b, c, stride=2), Residual(c)),
            convolution(c, d),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(d, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N,num_classes) of images (N,3,H,W) that `normalize` has prepared."""
        logits: Tensor = self.head(self.pool(self.stages(inputs)).flatten(1))
        return logits


def normalize(images: Tensor) -> Tensor:
    """``(images - MEAN) / STD`` per channel: what the network takes, from images (N,3,H,W) or (3,H,W) in [0,1]."""
    mean = torch.tensor(MEAN, dtype=images.dtype, device=images.device).view(3, 1, 1)
    std = torch.tensor(STD, dtype=images.dtype, device=images.device).view(3, 1, 1)
    return (images - mean) / std


def load_demo_model(weights: str | Path = WEIGHTS_FILE) -> DemoNet:
    """The trained network on the CPU, in eval mode.

    It takes images (N,3,96,96) in [0,1] after `normalize` (mean `MEAN`, standard deviation `STD`) and returns logits
    (N,16) over `CLASS_NAMES`.

    Args:
        weights: A safetensors file that `maskcorrect_plugin.demo.train` wrote.
    """
    model = DemoNet()
    model.load_state_dict(load_file(weights))
    return model.eval()
