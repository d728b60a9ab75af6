"""What every source of models offers, and the one way in which its weights are chosen."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskcorrect_plugin.errors import MaskCorrectError, WeightsError, reason
from maskcorrect_plugin.models.preprocessing import Preprocessing
from maskcorrect_plugin.models.weights import infer_num_classes, load_into, match_prefixes, read_state_dict


class ModelSource(ABC):
    """One architecture of one library, not built yet.

    Args:
        name: What stands behind the prefix of the spec.

    Raises:
        ValueError: the library has no model of that name; the nearest names are in the message.
    """

    prefix: ClassVar[str]
    auxiliary: ClassVar[tuple[str, ...]] = ("AuxLogits.", "aux1.", "aux2.")
    """Heads that only training uses (Inception, GoogLeNet); a file may hold them, the models that are built do not."""
    offline: ClassVar[str] = (
        "Without a network, weights=PATH (--weights PATH) loads a file of your own (.safetensors, .pt), weights=None "
        "(--weights none) gives random weights"
    )

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def spec(self) -> str:
        """The spec as its user wrote it."""
        return f"{self.prefix}:{self.name}"

    @abstractmethod
    def pretrained(self, weights: str) -> nn.Module:
        """The model with weights of the library's own; may need the network and raise anything when there is none.

        Args:
            weights: ``"DEFAULT"`` or one of `named_weights`.
        """

    @abstractmethod
    def build(self, num_classes: int | None) -> nn.Module:
        """The model with random weights.

        Args:
            num_classes: Outputs of its head; the architecture's own number when None.
        """

    @abstractmethod
    def num_classes(self, model: nn.Module) -> int | None:
        """Outputs of the head of a model built here: 0 without a head, None where only a forward can tell."""

    @abstractmethod
    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """The transform that the model was trained with, changed by what is given."""

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """The names that the library knows for a model with that many classes, None where it knows none."""
        return None

    def named_weights(self) -> tuple[str, ...]:
        """Names of the library's own weights besides ``"DEFAULT"``, best first."""
        return ()

    def rename(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """Names of old files of this architecture brought up to date."""
        return state_dict

    def skeleton(self) -> nn.Module:
        """The model with shapes only: on the meta device, where it costs nothing, if it can be built there."""
        try:
            with torch.device("meta"):
                return self.build(None)
        except (NotImplementedError, RuntimeError):
            return self.build(None)

    def load(self, weights: str | Path | None, num_classes: int | None) -> nn.Module:
        """The model with the weights asked for, in eval mode on the CPU.

        The random state is left as it was, unless the random weights are what is wanted.

        Args:
            weights: ``"DEFAULT"`` or another of `named_weights`, a file, or None for random weights.
            num_classes: Classes of the head; of a file they are read from its shapes when None.

        Raises:
            WeightsError: weights that could not be downloaded, read, or do not fit.
        """
        if weights is None:
            return self.build(num_classes).eval()
        with torch.random.fork_rng(devices=[]):
            model = self._from_file(weights, num_classes) if isinstance(weights, Path) else self._from_library(weights)
        return model.eval()

    def _from_library(self, weights: str) -> nn.Module:
        try:
            return self.pretrained(weights)
        except MaskCorrectError:
            raise
        except Exception as error:
            # Each library and each of its transports has its own errors for a host that does not answer.
            raise WeightsError(
                f"the {weights} weights of {self.spec!r} are not on this computer and could not be downloaded, or "
                f"could not be loaded: {reason(error)}. {self.offline}"
            ) from error

    def _from_file(self, file: Path, num_classes: int | None) -> nn.Module:
        state_dict = read_state_dict(file)
        skeleton = self.skeleton()
        state_dict = self._fitted(state_dict, skeleton.state_dict())
        own = self.num_classes(skeleton)
        found = None if not own else infer_num_classes(state_dict, skeleton, own)
        if num_classes is not None and found is not None and found != num_classes:
            raise WeightsError(f"num_classes={num_classes} was given, but the head in {file!s} has {found} classes")
        model = self.build(num_classes or found)
        load_into(model, state_dict, file)
        return model

    def _fitted(self, state_dict: dict[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
        tensors = self.rename(match_prefixes(state_dict, own))
        return {name: tensor for name, tensor in tensors.items() if name in own or not name.startswith(self.auxiliary)}
