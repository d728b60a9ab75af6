"""Bring your own model: the CIFAR ResNet-20, which no zoo offers, as a factory for ``load_model``.

The network is that of He et al. 2015, section 4.2: widths 16/32/64, three stages of three basic blocks, shortcuts of
option A (stride-2 subsampling, missing channels are zero).

Use it from the folder of this file, with the weights (a state_dict) named by an environment variable::

    MASKCORRECT_CIFAR_WEIGHTS=cifar10_resnet20.pt maskcorrect correct *.jpg --model cifar_resnet20:resnet20

or in Python, ``load_model("cifar_resnet20:resnet20")``.
"""

import os

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu
from torchvision.transforms import v2

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRANSFORM = v2.Compose(
    [
        v2.RGB(),
        v2.Resize((32, 32), antialias=True),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.extra = outputs - inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N,inputs,h,w) to (N,outputs,h/stride,w/stride)."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        # Half of the new channels before and half behind: pad counts from the last axis.
        shortcut = pad(shortcut, (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return relu(self.bn2(self.conv2(relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet20(nn.Module):
    """Images (N,3,32,32) to logits (N,10)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Global average pooling and one linear head, so closed-form CAM is exact at ``layer3``."""
        x = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def resnet20(weights: str | None = None):
    """The factory: called without arguments, it gives model, transform and class names.

    Args:
        weights: The state_dict's file; by default the environment variable MASKCORRECT_CIFAR_WEIGHTS names it. Without
            either, the weights are random, for ``load_model("cifar_resnet20:resnet20", weights=FILE)`` to fill.
    """
    model = ResNet20()
    file = weights or os.environ.get("MASKCORRECT_CIFAR_WEIGHTS")
    if file:
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model, TRANSFORM, CLASS_NAMES
