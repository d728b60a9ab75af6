"""``"demo"`` and ``"demo:500"``: the generated scenes that come with the package."""

import importlib
from typing import Any

from PIL import Image

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.errors import ArgumentError

from .base import ImageDataset, ImageRecord
from .classes import ModelClasses
from .labels import Wording, match_labels

DEFAULT_COUNT = 500
DEFAULT_SPLIT = "test"


class DemoDataset(ImageDataset):
    """The first scenes of a split, painted when they are asked for; the labels cycle through the classes.

    The demo stands above the data sets (it uses everything), so it is known here by its name only.

    Args:
        source: ``"demo"`` (500 scenes) or ``"demo:N"``.
        classes: The model's.
        split: ``"test"``, which the demo network was not trained on; ``"validation"`` or ``"train"``.
    """

    kind = "demo"

    def __init__(self, source: str, classes: ModelClasses, split: str | None = None) -> None:
        self.source = source
        _, _, count = source.partition(":")
        if not (count or str(DEFAULT_COUNT)).isdecimal():
            raise ArgumentError(f"source: 'demo:N' takes a number of scenes, got {source!r}")
        scenes: Any = importlib.import_module("maskcorrect_plugin.demo.scenes")
        self.split = split or DEFAULT_SPLIT
        self._scenes = scenes.SceneDataset(self.split, check_int("source", int(count or DEFAULT_COUNT), 1))
        names: tuple[str, ...] = scenes.CLASS_NAMES
        matched = match_labels(names, classes, Wording("class", order="the demo's"))
        self.class_names, self.labels_by = matched.class_names, matched.rule
        self._labels = [matched.indices[names[scenes.scene_label(index)]] for index in range(len(self._scenes))]

    def __len__(self) -> int:
        return len(self._scenes)

    def record(self, index: int) -> ImageRecord:
        """The id is the split and the scene's number in it."""
        return ImageRecord(f"{self.split}/{index}", self._labels[index])

    def image(self, index: int) -> Image.Image:
        """The scene."""
        return Image.fromarray(self._scenes.scene(index).image)

    def describe(self) -> dict[str, Any]:
        """Adds ``split``."""
        return {**super().describe(), "split": self.split}
