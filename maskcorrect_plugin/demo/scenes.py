"""A procedural fine-grained image set: four animals that differ plainly, each in four kinds that differ in one mark.

It is made of the situation that mask correction was invented for. The super-class is seen at a glance (outline and
colour); the sub-class is one small mark on the body (a ring, two bars, a cross or a crescent), and the background
carries loose marks of all four kinds, some of them on pebbles in an animal's colour. The background is drawn without
regard to the label, so nothing can be learned from it.

Scene ``i`` of a split depends on ``(seed, split, i)`` and nothing else; the three splits of one seed, and any two
seeds, use disjoint random streams (`numpy.random.SeedSequence` with the key ``(seed, split number, i)``).
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from maskcorrect_plugin.checks import check_choice, check_int

from .bodies import ANIMALS
from .composition import IMAGE_SIZE, compose
from .marks import MARKS
from .painting import Draw

SPLITS = {"train": 0, "validation": 1, "test": 2}
"""Split name -> the number that stands for it in the key of the random stream."""

SUPER_NAMES: tuple[str, ...] = tuple(ANIMALS)
SUB_NAMES: tuple[str, ...] = tuple(MARKS)
CLASS_NAMES: tuple[str, ...] = tuple(f"{sub} {name}" for name in SUPER_NAMES for sub in SUB_NAMES)
"""Class ``label`` is ``SUB_NAMES[label % 4]`` of ``SUPER_NAMES[label // 4]``, for example ``"ringed perch"``."""

MEAN: tuple[float, float, float] = (0.438, 0.490, 0.448)
STD: tuple[float, float, float] = (0.146, 0.151, 0.139)
"""Mean and standard deviation per channel, in [0,1], measured on the first 2,000 training scenes of seed 0."""

_LARGEST = 2**32 - 1


@dataclass(frozen=True)
class Scene:
    """One image with everything that is known about it.

    Attributes:
        image: (H,W,3) uint8 RGB.
        label: Class, index into `CLASS_NAMES`.
        super_label: Super-class, index into `SUPER_NAMES`.
        object_mask: (H,W) bool, the animal.
        detail_mask: (H,W) bool, the disc on the animal that holds its mark; nothing outside it tells the sub-class.
        distractor_mask: (H,W) bool, the discs of the loose marks in the background.
        distractors: Kinds of the loose marks, indices into `SUB_NAMES`; at least two kinds, whatever the label.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        index: Number within the split.
        seed: Seed of the image set.
    """

    image: NDArray[np.uint8]
    label: int
    super_label: int
    object_mask: NDArray[np.bool_]
    detail_mask: NDArray[np.bool_]
    distractor_mask: NDArray[np.bool_]
    distractors: tuple[int, ...]
    split: str
    index: int
    seed: int

    def with_subclass(self, sub: int) -> "Scene":
        """The same scene with another mark: equal to this one outside `detail_mask`, byte for byte.

        Args:
            sub: Index into `SUB_NAMES`.
        """
        check_int("sub", sub, 0, len(SUB_NAMES) - 1)
        return make_scene(self.split, self.index, self.seed, label=self.super_label * len(SUB_NAMES) + sub)


def make_scene(split: str, index: int, seed: int = 0, *, label: int | None = None) -> Scene:
    """Paints one scene.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        index: Number within the split, 0 or more.
        seed: Seed of the image set, 0 to 2**32 - 1.
        label: Class to paint instead of the scene's own, `scene_label`.

    Raises:
        ValueError: an unknown split, or a number out of range.
    """
    check_choice("split", split, SPLITS)
    check_int("index", index, 0, _LARGEST)
    check_int("seed", seed, 0, _LARGEST)
    chosen = scene_label(index) if label is None else check_int("label", label, 0, len(CLASS_NAMES) - 1)
    super_label, sub = divmod(chosen, len(SUB_NAMES))
    painting = compose(Draw(seed, SPLITS[split], index), ANIMALS[SUPER_NAMES[super_label]], sub)
    return Scene(
        image=painting.image,
        label=chosen,
        super_label=super_label,
        object_mask=painting.object_mask,
        detail_mask=painting.detail_mask,
        distractor_mask=painting.distractor_mask,
        distractors=painting.distractors,
        split=split,
        index=index,
        seed=seed,
    )


def scene_label(index: int) -> int:
    """The class of a scene by its number alone: they cycle.

    Args:
        index: Number within the split.
    """
    return index % len(CLASS_NAMES)


class SceneDataset(Dataset[tuple[Tensor, int]]):
    """Scenes 0 to `count` - 1 of a split; labels cycle through the classes, so every class is equally frequent.

    Args:
        split: ``"train"``, ``"validation"`` or ``"test"``.
        count: Number of scenes.
        seed: Seed of the image set.

    Example:
        >>> image, label = SceneDataset("test", count=10)[3]
        >>> tuple(image.shape), CLASS_NAMES[label]
        ((3, 96, 96), 'mooned perch')
    """

    def __init__(self, split: str = "test", count: int = 320, seed: int = 0) -> None:
        self.split = check_choice("split", split, SPLITS)
        self.count = check_int("count", count, 1, _LARGEST)
        self.seed = check_int("seed", seed, 0, _LARGEST)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """The image (3,H,W), float32 in [0,1] and not yet normalised, and its label."""
        scene = self.scene(index)
        return to_tensor(scene.image), scene.label

    def scene(self, index: int) -> Scene:
        """The whole scene, with its masks.

        Raises:
            IndexError: beyond the last scene, as iteration expects it.
        """
        if not 0 <= index < self.count:
            raise IndexError(f"index must be from 0 to {self.count - 1}, got {index}")
        return make_scene(self.split, index, self.seed)


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """An image (H,W,3) uint8 as a tensor (3,H,W), float32 in [0,1]."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous().to(torch.float32) / 255.0


__all__ = [
    "CLASS_NAMES",
    "IMAGE_SIZE",
    "MEAN",
    "SPLITS",
    "STD",
    "SUB_NAMES",
    "SUPER_NAMES",
    "Scene",
    "SceneDataset",
    "make_scene",
    "scene_label",
    "to_tensor",
]
