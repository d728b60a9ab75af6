"""``"hf:org/name"`` and ``"hf:./folder"``: image classifiers of transformers."""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification

from maskcorrect_plugin.errors import ArgumentError, WeightsError, reason
from maskcorrect_plugin.models.preprocessing import Preprocessing, ResizeCrop, check_channels
from maskcorrect_plugin.models.processors import prepare_processor
from maskcorrect_plugin.models.sources.base import ModelSource


class HuggingFaceSource(ModelSource):
    """One checkpoint of the hub, or a folder that ``save_pretrained`` wrote (then the network is never asked).

    The model's forward gives an output object with ``.logits``. Code that comes with a checkpoint is never run.
    """

    prefix = "hf"
    offline = (
        "Without a network, 'hf:./FOLDER' loads what save_pretrained wrote, configuration, weights and image processor"
    )

    def __init__(self, name: str) -> None:
        super().__init__(name)
        folder = Path(name).expanduser()
        self._local = folder.is_dir()
        self._where = str(folder) if self._local else name
        if not self._local and (name.startswith((".", "/", "~")) or name.count("/") > 1):
            raise ArgumentError(f"'hf:FOLDER' needs an existing folder, got {name!r}")

    @cached_property
    def _config(self) -> Any:
        try:
            return AutoConfig.from_pretrained(self._where, **self._access())
        except Exception as error:
            raise WeightsError(
                f"the configuration of {self.spec!r} is not on this computer and could not be downloaded, or could not "
                f"be read: {reason(error)}. {self.offline}"
            ) from error

    def pretrained(self, weights: str) -> nn.Module:
        """The checkpoint, refused where it brings no class head (transformers would put a random one)."""
        model, info = AutoModelForImageClassification.from_pretrained(
            self._where, config=self._config, output_loading_info=True, **self._access()
        )
        lost = sorted([*info["missing_keys"], *(str(entry) for entry in info["mismatched_keys"])])
        if lost:
            raise WeightsError(f"{self.spec!r} is no complete classifier: its weights lack {', '.join(lost[:5])}")
        network: nn.Module = model.float()
        return network

    def build(self, num_classes: int | None) -> nn.Module:
        """The architecture of the configuration with random weights."""
        config = copy.deepcopy(self._config)
        if num_classes is not None and num_classes != config.num_labels:
            config.num_labels = num_classes
        model: nn.Module = AutoModelForImageClassification.from_config(config, trust_remote_code=False)
        return model.float()

    def num_classes(self, model: nn.Module) -> int | None:
        """What the configuration records."""
        return int(model.config.num_labels)  # type: ignore[union-attr,arg-type]

    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """The image processor; with `size` our own transform, which keeps the processor's normalisation."""
        if size is None:
            return prepare_processor(self._processor(mean, std))
        if mean is None or std is None:
            known = prepare_processor(self._processor(mean, std))
            if known.mean is None or known.std is None:
                raise ArgumentError(f"size needs mean and std as well: those of {self.spec!r} cannot be told")
            mean, std = known.mean, known.std
        return ResizeCrop().changed(size, mean, std).prepare()

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """``config.id2label``, unless it only holds the placeholders ``LABEL_0``, ``LABEL_1``, ..."""
        labels = {int(index): str(label) for index, label in (self._config.id2label or {}).items()}
        if sorted(labels) != list(range(num_classes)) or all(label == f"LABEL_{i}" for i, label in labels.items()):
            return None
        return tuple(labels[index] for index in range(num_classes))

    def _processor(self, mean: Sequence[float] | None, std: Sequence[float] | None) -> Any:
        try:
            processor = AutoImageProcessor.from_pretrained(self._where, **self._access())
        except Exception as error:
            raise ArgumentError(
                f"{self.spec!r} has no image processor that can be read ({reason(error)}); pass size, "
                "mean and std, all three"
            ) from error
        if mean is not None:
            processor.image_mean = list(check_channels("mean", mean))
        if std is not None:
            processor.image_std = list(check_channels("std", std))
        return processor

    def _access(self) -> dict[str, Any]:
        return {"local_files_only": self._local, "trust_remote_code": False}
