"""The contenders of the speed benchmark: Score-CAM of one library each, and the bare network."""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from speed_networks import Subject
from torch import Tensor, nn

from maskcorrect_plugin import create_attribution
from maskcorrect_plugin.inference import PRECISIONS, PassEngine, evaluation_mode

GRAD_CAM, TORCHCAM = "pytorch-grad-cam", "torchcam"


@dataclass(frozen=True)
class Session:
    """A contender bound to a network.

    Attributes:
        ask: From classes to their maps (n,h,w), one by one as they come.
        forwards: Inputs that went through the network so far.
    """

    ask: Callable[[Sequence[int]], Iterator[Tensor]]
    forwards: Callable[[], int]


@dataclass(frozen=True)
class Contender:
    """One way to get the maps of some classes of some images.

    Attributes:
        name: What it is called in the table.
        options: Of `PassEngine`, and ``preset``; for ours.
        batch_size: Inputs per forward.
        images: How many images are done together; peers do one.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 16
    images: int = 1

    @property
    def is_peer(self) -> bool:
        """Whether it is another library."""
        return self.name in (GRAD_CAM, TORCHCAM)

    @property
    def precision(self) -> str:
        """In which the network runs."""
        return str(self.options.get("precision", "float32"))

    def open(self, subject: Subject) -> contextlib.AbstractContextManager[Session]:
        """Binds it to a network. Peers keep hooks on it for as long as it is open."""
        return {GRAD_CAM: _grad_cam, TORCHCAM: _torchcam}.get(self.name, _ours)(self, subject)


@contextlib.contextmanager
def _grad_cam(contender: Contender, subject: Subject) -> Iterator[Session]:
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    inputs = subject.inputs[:1]
    with ScoreCAM(subject.model, [subject.probe]) as cam, contextlib.redirect_stderr(io.StringIO()):  # progress bars
        cam.batch_size = contender.batch_size
        with counted(subject.model) as forwards:
            yield Session(
                lambda classes: (torch.from_numpy(cam(inputs, [ClassifierOutputTarget(c)])) for c in classes), forwards
            )


@contextlib.contextmanager
def _torchcam(contender: Contender, subject: Subject) -> Iterator[Session]:
    from torchcam.methods import ScoreCAM

    inputs = subject.inputs[:1]
    shape = tuple(inputs.shape[1:])
    with ScoreCAM(subject.model, subject.probe, batch_size=contender.batch_size, input_shape=shape) as cam:

        def ask(classes: Sequence[int]) -> Iterator[Tensor]:
            with torch.no_grad():
                scores = subject.model(inputs)
            return (cam(c, scores)[0] for c in classes)

        with counted(subject.model) as forwards:
            yield Session(ask, forwards)


@contextlib.contextmanager
def _ours(contender: Contender, subject: Subject) -> Iterator[Session]:
    inputs = subject.photos(contender.images)
    options = dict(contender.options)
    method = create_attribution("ScoreCAM", subject.model, subject.probe, preset=options.pop("preset", "official"))
    engine = PassEngine(subject.model, batch_size=contender.batch_size, **options)
    method.use_engine(engine)

    def ask(classes: Sequence[int]) -> Iterator[Tensor]:
        candidates = torch.tensor([classes] * len(inputs), device=inputs.device)
        return iter(method.attribute_candidates(inputs, candidates).unbind(dim=1))

    yield Session(ask, lambda: engine.passes)


@contextlib.contextmanager
def counted(model: nn.Module) -> Iterator[Callable[[], int]]:
    """Counts the inputs that go through a network inside."""
    batches: list[int] = []
    handle = model.register_forward_pre_hook(lambda _module, arguments: batches.append(len(arguments[0])))
    try:
        yield lambda: sum(batches)
    finally:
        handle.remove()


def at_input_size(maps: Tensor, inputs: Tensor) -> Tensor:
    """Maps (n,h,w) at the size of the inputs: torchcam leaves them at the layer's."""
    return F.interpolate(maps[:, None].float(), inputs.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def bare_forward(subject: Subject, batch_size: int, precision: str) -> Callable[[], Tensor]:
    """The network alone, on inputs that are there already, in the engine's memory format: the limit."""
    inputs = subject.photos(batch_size).contiguous(memory_format=torch.channels_last)
    dtype = PRECISIONS[precision]

    def forward() -> Tensor:
        context = torch.autocast(inputs.device.type, dtype) if dtype else contextlib.nullcontext()
        with evaluation_mode(subject.model), context:
            scores: Tensor = subject.model(inputs)
        return scores

    return forward
