"""Trains the demo's network: ``python -m maskcorrect_plugin.demo.train --output DIR``.

The recipe is ordinary: AdamW, one cycle of the learning rate, scenes mirrored and shifted at random. It runs twice:
first on easier scenes, because small faint marks alone leave the network at its first plateau (which animal it is, and
no more), then on the scenes of the demo. Every choice (the difficulty of the scenes, the widths of the network, the
number of scenes and epochs) was made on the validation split, to leave the network with real confusions: between 80
and 92 % right. The weights are those of the last epoch; the test split is looked at once, after training, for the
number in the record.
"""

import argparse
import hashlib
import json
import logging
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from maskcorrect_plugin.checks import check_int

from .difficulty import easier
from .network import RECORD_FILE, WEIGHTS_FILE, DemoNet, normalize
from .scenes import CLASS_NAMES, SUB_NAMES, make_scene

FINGERPRINT_SCENES = 32

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Everything that the weights depend on, besides the scenes and the versions of the libraries.

    Attributes:
        data_seed: Seed of the scenes of all three splits.
        seed: Seed of initial weights, order and augmentation.
        train_scenes: Number of training scenes.
        validation_scenes: Number of validation scenes.
        test_scenes: Number of test scenes.
        easy_epochs: Passes over the training scenes in their easier form.
        epochs: Passes over the training scenes as they are, afterwards.
        batch_size: Scenes per step.
        easy_learning_rate: Peak of the one-cycle schedule (cosine up, cosine down) on the easier scenes.
        learning_rate: The same afterwards.
        weight_decay: Of AdamW.
        shift: Largest random shift in pixels, to each side.
    """

    data_seed: int = 0
    seed: int = 0
    train_scenes: int = 8000
    validation_scenes: int = 2000
    test_scenes: int = 4000
    easy_epochs: int = 32
    epochs: int = 8
    batch_size: int = 64
    easy_learning_rate: float = 3e-3
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    shift: int = 4


@dataclass(frozen=True)
class Score:
    """Accuracy on one split.

    Attributes:
        scenes: Number of scenes.
        accuracy: Share of scenes whose most probable class is right.
        super_accuracy: Share of scenes whose most probable class is of the right super-class.
        first_scenes_sha256: `fingerprint` of the split: tells whether these are the same scenes.
    """

    scenes: int
    accuracy: float
    super_accuracy: float
    first_scenes_sha256: str


def paint_split(split: str, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scenes as one tensor (count,3,96,96) uint8, and labels (count,) int64."""
    scenes = [make_scene(split, index, seed) for index in range(count)]
    images = np.stack([scene.image for scene in scenes])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor([scene.label for scene in scenes])


def fingerprint(images: Tensor) -> str:
    """SHA-256 of the bytes of the first `FINGERPRINT_SCENES` images of a split."""
    return hashlib.sha256(images[:FINGERPRINT_SCENES].numpy().tobytes()).hexdigest()


def augment(images: Tensor, shift: int) -> Tensor:
    """Each image mirrored with probability 1/2 and shifted by up to `shift` pixels, its border repeated."""
    count, _, height, width = images.shape
    mirrored = torch.where((torch.rand(count) < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
    padded = torch.nn.functional.pad(mirrored, (shift,) * 4, mode="replicate")
    top, left = torch.randint(0, 2 * shift + 1, (2, count))
    rows = (top[:, None] + torch.arange(height))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width))[:, None, None, :]
    numbers, channels = torch.arange(count).view(-1, 1, 1, 1), torch.arange(3).view(1, 3, 1, 1)
    return padded[numbers, channels, rows, columns]


def train(recipe: Recipe) -> DemoNet:
    """A network trained from scratch, in eval mode."""
    with easier():
        images, labels = paint_split("train", recipe.train_scenes, recipe.data_seed)
    torch.manual_seed(recipe.seed)
    model = DemoNet().to(memory_format=torch.channels_last)
    fit(model, images, labels, recipe, recipe.easy_epochs, recipe.easy_learning_rate)
    return train_further(model, recipe)


def train_further(model: DemoNet, recipe: Recipe) -> DemoNet:
    """The second half of `train`: a network that knows the easier scenes learns those of the demo."""
    images, labels = paint_split("train", recipe.train_scenes, recipe.data_seed)
    torch.manual_seed(recipe.seed + 1)
    return fit(model, images, labels, recipe, recipe.epochs, recipe.learning_rate)


def fit(model: DemoNet, images: Tensor, labels: Tensor, recipe: Recipe, epochs: int, learning_rate: float) -> DemoNet:
    """One cycle of the learning rate over some epochs; the network is in eval mode afterwards."""
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=recipe.weight_decay)
    steps = len(images) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(images))[: steps * recipe.batch_size].view(steps, -1):
            inputs = augment(normalize(images[rows].float() / 255.0), recipe.shift)
            loss = cross_entropy(model(inputs.contiguous(memory_format=torch.channels_last)), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        log.info("epoch %d of %d: mean loss %.3f", epoch + 1, epochs, total / steps)
    return model.eval()


@torch.inference_mode()
def predict(model: DemoNet, images: Tensor) -> Tensor:
    """Most probable classes (N,) of uint8 images (N,3,H,W)."""
    return torch.cat([model(normalize(part.float() / 255.0)).argmax(dim=1) for part in torch.split(images, 256)])


def evaluate(model: DemoNet, split: str, count: int, seed: int) -> Score:
    """Accuracy on the first `count` scenes of a split."""
    images, labels = paint_split(split, count, seed)
    answers = predict(model, images)
    per_super = len(SUB_NAMES)
    return Score(
        scenes=count,
        accuracy=round((answers == labels).float().mean().item(), 4),
        super_accuracy=round((answers // per_super == labels // per_super).float().mean().item(), 4),
        first_scenes_sha256=fingerprint(images),
    )


def write(model: DemoNet, recipe: Recipe, output: Path) -> dict[str, object]:
    """Evaluates, and writes the weights and their record into a folder; returns the record."""
    record = {
        "recipe": asdict(recipe),
        "classes": list(CLASS_NAMES),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "validation": asdict(evaluate(model, "validation", recipe.validation_scenes, recipe.data_seed)),
        "test": asdict(evaluate(model, "test", recipe.test_scenes, recipe.data_seed)),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    output.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, output / WEIGHTS_FILE.name)
    (output / RECORD_FILE.name).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m maskcorrect_plugin.demo.train", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the weights and their record")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(check_int("threads", options.threads, 1))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    recipe = Recipe()
    record = write(train(recipe), recipe, options.output)
    log.info("%s", json.dumps({split: record[split] for split in ("validation", "test")}, indent=2))


if __name__ == "__main__":
    main()
