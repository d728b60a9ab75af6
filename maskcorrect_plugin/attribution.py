"""The contract between the corrector and attribution backends.

An `AttributionMethod` is one method bound to one model; an `AttributionBackend` is one library that makes them. What
every method guarantees:

- maps are (N,K,H,W) in [0, 1] at the inputs' resolution, detached, on the inputs' device, in at least float32;
- a map that carries no information is constant; it is never NaN;
- the maps of one image do not depend on the others in its batch;
- the model is left as it was found, also when a forward raises: training flags, ``requires_grad``, ``param.grad``,
  hooks and random state;
- wrong inputs and targets raise ValueError or TypeError (`checks.check_inputs` and `checks.check_target` do it).

`maskcorrect_plugin.testing.check_backend` checks all of it.
"""

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .checks import check_candidates, check_choice
from .describing import describe
from .inference import PassEngine


class Observation:
    """What a method keeps of a forward that somebody else runs. This one keeps nothing.

    Attributes:
        ids: Names of the images, (n,), where the corrector was given them: map sources that draw at random go by them.
        labels: True classes (n,) int64, where the corrector was given them: only a source that says so looks at them.
        forwards: Forwards that the method then spent on each image, (n,) int64, where it knows that they differ between
            images; None where all images cost the same.
    """

    forwards: Tensor | None = None
    ids: Sequence[Any] | None = None
    labels: Tensor | None = None

    def select(self, rows: Tensor) -> "Observation":
        """The same for some of the images only, without `ids` and `labels`, which the corrector gives anew.

        Args:
            rows: Indices (n,) int64 into the batch.
        """
        return copy.copy(self)


class AttributionMethod(ABC):
    """One attribution method bound to one model.

    Attributes:
        required: Which of ``ids`` and ``labels`` a correction by it must be given, and why.
    """

    required: ClassVar[Mapping[str, str]] = {}

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @property
    def settings(self) -> dict[str, Any]:
        """What describes the method in records: plain values only (names, numbers, strings).

        By default the name of the class and its public attributes, but for the model and engines, by their content.
        """
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "model"}
        told = describe({name: value for name, value in own.items() if not isinstance(value, PassEngine)})
        return {"method": type(self).__name__, **told}

    @property
    def context(self) -> Mapping[str, Any]:
        """What maps depend on besides model, images and the method's own options; plain values. Empty by default."""
        return {}

    @abstractmethod
    def attribute(self, inputs: Tensor, target: int | Tensor) -> Tensor:
        """The map of one class for each image.

        Args:
            inputs: Tensor (N,C,H,W), normalised as the model expects.
            target: One class for all images, or (N,) int64.

        Returns:
            Tensor (N,1,H,W) in [0, 1].
        """

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """Held open around one forward of the model that somebody else runs, to keep what the method needs of it.

        The default keeps nothing, so that `attribute_candidates` runs its own forwards.

        Args:
            inputs: What that forward will get, (N,C,H,W): a method that has to find its layer does so from their size.
        """
        return contextlib.nullcontext(Observation())

    def attribute_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None
    ) -> Tensor:
        """The maps of several classes of each image; K calls of `attribute` unless a method knows better.

        Args:
            inputs: Tensor (N,C,H,W).
            candidates: Tensor (N,K) int64.
            observation: What `observe` kept of a forward of these very inputs; None runs what is needed.

        Returns:
            Tensor (N,K,H,W) in [0, 1].
        """
        candidates = check_candidates(candidates, len(inputs))
        return torch.cat([self.attribute(inputs, column) for column in candidates.unbind(dim=1)], dim=1)

    def stream_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The maps of `attribute_candidates` in blocks of candidates, for callers that cannot hold all of them at once.

        Methods whose work serves all classes override it, so that the work is done once and not once a block.

        Args:
            inputs: Tensor (N,C,H,W).
            candidates: Tensor (N,K) int64.
            observation: As in `attribute_candidates`.
            block: Candidates per block.

        Yields:
            Tensors (N,k,H,W) with k <= `block`, in the order of the candidates.
        """
        for columns in torch.split(candidates, block, dim=1):
            yield self.attribute_candidates(inputs, columns, observation)

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The maps of `stream_candidates` in the form that is worth keeping: `render` makes the maps of it.

        For methods that combine feature maps this is the combination at the layer's resolution, before ReLU,
        upsampling and scaling, which is small. By default it is the maps themselves.

        Yields:
            Tensors (N,k,h,w).
        """
        return self.stream_candidates(inputs, candidates, observation, block)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (N,k,H,W) in [0, 1] of what `stream_coarse` gave.

        Args:
            coarse: Tensor (N,k,h,w).
            size: ``(H, W)`` of the inputs.
        """
        return coarse

    def use_engine(self, engine: PassEngine) -> None:  # noqa: B027  (an optional hook, deliberately not abstract)
        """Offers the corrector's pass engine (batch size, precision, output kind) to methods that run many forwards."""

    def use_dataset(self, dataset: Any, transform: Any) -> None:  # noqa: B027
        """Offers other images to map sources that look at them.

        Args:
            dataset: Has ``__len__``, ``record(index).id`` and ``load(index, transform)``, as `datasets.ImageDataset`.
            transform: From a Pillow image to what the model takes, (C,H,W).
        """


@dataclass(frozen=True)
class MethodInfo:
    """What is known of a method without making it.

    Attributes:
        name: The method's name within its backend.
        summary: One line: what it computes, with its source.
        class_aware: False where the map ignores the class, so that all candidates share it.
        forwards: Forwards per image for K candidates, as text (``"C"``: one per channel; the forward that finds the
            candidates is not counted).
        backwards: Backward passes per image for K candidates, as text.
        deterministic: False where the maps depend on the global random state; they are then equal from equal seeds.
        float64: False where a float64 model gets float32 maps, because the library computes in float32.
        leaks: It looks at the true labels, so that what is gained by it is a bound and no result.
    """

    name: str
    summary: str = ""
    class_aware: bool = True
    forwards: str = "?"
    backwards: str = "0"
    deterministic: bool = True
    float64: bool = True
    leaks: bool = False


class AttributionBackend(ABC):
    """One library of attribution methods. Loaded by name from an entry point of group ``maskcorrect_plugin.backends``.

    Importing the class must not import the library: the names are listed also where the library is missing.
    """

    name: ClassVar[str]
    library: ClassVar[str | None] = None
    """Import name of the library behind it; None when there is none to install."""
    install: ClassVar[str | None] = None
    """The command that installs the library."""
    catalogue: ClassVar[Mapping[str, MethodInfo]] = {}
    """What is known of each method, by its name."""

    def methods(self) -> tuple[str, ...]:
        """Names of the methods, under the library's own class names; those of the catalogue by default."""
        return tuple(self.catalogue)

    @abstractmethod
    def create(
        self, method: str, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
    ) -> AttributionMethod:
        """Binds a method to a model.

        Args:
            method: One of `methods`.
            model: A classifier.
            target_layer: A module or its name; None finds it at the first call.
            **options: The library's own options.
        """

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps the library's own object; None if it is not one of this library's."""
        return None

    def info(self, method: str) -> MethodInfo:
        """What is known of a method, with its default options, without making it."""
        check_choice("method", method, self.methods())
        return self.catalogue.get(method, MethodInfo(method))
