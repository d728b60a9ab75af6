"""What all controls share: a name, what is known of them, and settings that say what their result depends on."""

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import Observation
from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.corrector import Corrector, Group
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.results import CorrectionResult

FRAME_SETTINGS = ("top_k", "max_gap", "output", "precision")
"""Every control depends on these: which candidates a result lists, which images are corrected, and the arithmetic."""
VIEW_SETTINGS = ("view", "threshold", "fill")


@dataclass(frozen=True)
class ControlInfo:
    """What is known of a control without making it.

    Attributes:
        name: ``"control:..."``.
        summary: One line: what it asks again about.
        forwards: Forwards per image as text, with ``K`` candidates and ``A`` forwards of the inner method's own
            (`MethodInfo.forwards`) for the classes and the image that it is asked about.
        leaks: It looks at the true labels, so that its accuracy is a bound and no result.
        needs_method: It makes maps with the inner attribution method.
        needs_dataset: It looks at other images of the data set.
    """

    name: str
    summary: str
    forwards: str
    leaks: bool = False
    needs_method: bool = False
    needs_dataset: bool = False


class Control(Corrector):
    """A corrector in which one thing is replaced by something that explains nothing, or that knows too much."""

    info: ClassVar[ControlInfo]
    depends_on: ClassVar[tuple[str, ...]] = FRAME_SETTINGS
    """Those of the corrector's settings that make a difference."""
    required: ClassVar[Mapping[str, str]] = {}
    """Which of ``labels`` and ``ids`` must be given to `correct`, and why."""

    def correct(
        self,
        inputs: Tensor,
        labels: Tensor | Sequence[int] | None = None,
        ids: Sequence[Any] | None = None,
        *,
        keep: Collection[str] = (),
    ) -> CorrectionResult:
        """As `Corrector.correct`.

        Raises:
            ValueError: likewise, and where the control needs labels or ids and they are not given.
        """
        given = {"labels": labels, "ids": ids}
        for name, reason in self.required.items():
            if given[name] is None:
                raise ArgumentError(f"{name} must be given to {self.info.name}, {reason}; got None")
        return super().correct(inputs, labels, ids, keep=keep)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images: ``method`` is the control's name."""
        inherited = super().settings
        leaks = {"leaks": True} if self.info.leaks else {}
        return {"method": self.info.name, **leaks, **{name: inherited[name] for name in self.depends_on}}


class MapControl(Control, ProbabilityCorrector):
    """A control that shows the image by maps, through the corrector's own view."""

    depends_on: ClassVar[tuple[str, ...]] = (*FRAME_SETTINGS, "weights", *VIEW_SETTINGS)

    @property
    def settings(self) -> dict[str, Any]:
        """Those of the inner method, too, where the control makes maps with it; ``inner_method`` is its name."""
        own = super().settings
        if not self.info.needs_method:
            return own
        inner = self.method.settings
        return {**inner, "inner_method": inner["method"], **own}

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """The method watches the first forward where the control makes maps with it."""
        return super().observe(inputs) if self.info.needs_method else contextlib.nullcontext(Observation())


class SeededControl(Control):
    """A control with a random choice, which each image makes by its name: the same in any batch and on any worker.

    Args:
        model: The classifier.
        control_seed: Where random numbers start. (``seed`` belongs to attribution methods that draw some.)
        **options: Those of the corrector.
    """

    required = MappingProxyType({"ids": "whose random choice goes by the image's name and not by its place in a batch"})

    def __init__(self, model: nn.Module, *, control_seed: int = 0, **options: Any) -> None:
        super().__init__(model, **options)
        self.control_seed = check_int("control_seed", control_seed, 0)

    @property
    def settings(self) -> dict[str, Any]:
        """The seed as well."""
        return {**super().settings, "control_seed": self.control_seed}

    def generator(self, image_id: Any) -> torch.Generator:
        """Random numbers of one image, on the CPU, so that they are the same whatever the device.

        The seed is the first eight bytes, big-endian, of BLAKE2b over ``"{name}|{control_seed}|{image_id}"``.
        """
        key = f"{self.info.name}|{self.control_seed}|{image_id}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))

    def generators(self, group: Group) -> Iterator[torch.Generator]:
        """`generator` of each image of a group."""
        return map(self.generator, cast(tuple[Any, ...], group.ids))  # `required` saw to it that there are some
