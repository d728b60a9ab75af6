"""Map sources that put something else in a map's place: what a view gains by its map, it must lose by these.

They stand behind the same door as attribution methods, so that any view can be shown by them: "the same zoom by another
image's map" is ``ProbabilityCorrector(model, "control:other_image[of=CAM]", recipe="zoom")``.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo, Observation
from maskcorrect_plugin.checks import check_choice, check_finite, check_int
from maskcorrect_plugin.errors import ArgumentError, ImageError
from maskcorrect_plugin.functional import scale_maps, spatial_size, upsample
from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.options import parse_spec
from maskcorrect_plugin.registry import create_attribution
from maskcorrect_plugin.views import generator_of

from .arguments import check_options, parameters_of
from .streaming import StreamingMethod

CELLS = 7
"""Of random maps along each side: what the last layer of an ImageNet network has for 224 pixels."""
BY_ID = MappingProxyType({"ids": "whose random choice goes by the image's name and not by its place in a batch"})
_INFOS = {
    "random_map": MethodInfo(
        "random_map",
        "smooth random maps, as fine as a last layer's, that explain nothing",
        class_aware=True,
        forwards="0",
    ),
    "other_image": MethodInfo(
        "other_image",
        "the same candidates' maps by the method of=... on another image of the data set",
        forwards="1 + A",
    ),
    "uniform": MethodInfo(
        "uniform",
        "maps of ones, which show the image unchanged: must equal no correction",
        class_aware=False,
        forwards="0",
    ),
    "oracle_class": MethodInfo(
        "oracle_class",
        "the true class's map by the method of=... (leaks the label: a bound, not a result)",
        forwards="A",
        leaks=True,
    ),
}


class MapSource(StreamingMethod):
    """What all of them share: maps that do not come from the candidates of this image.

    Args:
        model: The classifier.
    """

    name: ClassVar[str]

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.engine = PassEngine(model)

    def use_engine(self, engine: PassEngine) -> None:
        """Runs forwards on the corrector's engine."""
        self.engine = engine

    @property
    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"method": f"control:{self.name}"}

    def stream_candidates(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """Maps in blocks of candidates."""
        for coarse in self.stream_coarse(inputs, candidates, observation, block):
            yield self.render(coarse, spatial_size(inputs))

    def names(self, inputs: Tensor, observation: Observation | None) -> Sequence[Any]:
        """The ids of the images; their positions outside of a corrector, which sees to it that there are some."""
        return range(len(inputs)) if observation is None or observation.ids is None else observation.ids


class Uniform(MapSource):
    """Maps of ones: a view by them shows the image unchanged, so that corrected is ``Y``.

    It is a check of the whole path and no rival: whatever it changes is an error, or the arithmetic of half precision.
    """

    name = "uniform"

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """Ones, (N,k,1,1)."""
        for columns in torch.split(candidates, block, dim=1):
            yield inputs.new_ones(*columns.shape, 1, 1)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Ones, (N,k,H,W)."""
        return coarse.expand(-1, -1, *size)


class RandomMap(MapSource):
    """Random maps: ``S_k = minmax(upsample(noise_k))`` with noise uniform in [0, 1) on 7 x 7 cells.

    For each image one tensor (K,7,7) is drawn, by the image's id and the seed (`views.generator_of`).

    Args:
        model: The classifier.
        seed: Where random numbers start.
    """

    name = "random_map"
    required = BY_ID

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__(model)
        self.seed = check_int("seed", seed, 0)

    @property
    def settings(self) -> dict[str, Any]:
        """The seed as well."""
        return {**super().settings, "seed": self.seed}

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """Noise, (N,k,7,7)."""
        generators = [generator_of("control:random_map", self.seed, name) for name in self.names(inputs, observation)]
        noise = torch.stack([torch.rand(candidates.shape[1], CELLS, CELLS, generator=each) for each in generators])
        yield from torch.split(noise.to(inputs), block, dim=1)

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """Upsampled (bilinear, align_corners=False) and scaled, (N,k,H,W) in [0, 1]."""
        return scale_maps(upsample(coarse, size))


class InnerSource(MapSource):
    """A source that makes its maps by another method.

    Args:
        model: The classifier.
        target_layer: Of that method.
        of: The method, with options in brackets: ``"ScoreCAM[max_masks=64]"``.
    """

    def __init__(self, model: nn.Module, target_layer: str | nn.Module | None = None, of: str = "ScoreCAM") -> None:
        super().__init__(model)
        name, options = parse_spec(of, "of")
        if name.startswith("control:"):
            raise ArgumentError(f"of must be an attribution method and no control, got {of!r}")
        self.of = of
        self.inner: AttributionMethod = create_attribution(name, model, target_layer, **options)

    def use_engine(self, engine: PassEngine) -> None:
        """The inner method runs on it, too."""
        super().use_engine(engine)
        self.inner.use_engine(engine)

    @property
    def settings(self) -> dict[str, Any]:
        """The inner method and its layer."""
        return {**super().settings, "target_layer": self.inner.settings.get("target_layer"), "of": self.of}

    @property
    def context(self) -> Mapping[str, Any]:
        """How the inner method describes itself."""
        return {"inner_method": dict(self.inner.settings)}

    def render(self, coarse: Tensor, size: tuple[int, int]) -> Tensor:
        """As the inner method does it."""
        return self.inner.render(coarse, size)


class OtherImage(InnerSource):
    """The same candidates' maps on another image, its partner.

    Everything is as in the correction, also where maps of this method and class usually lie, but they do not belong to
    this image. The partner is the first in a random order of the data set (``torch.randperm`` by the image's id and the
    seed) that is not the image itself and can be read. It is resized to the image's size if its own is another one.

    Args:
        model: The classifier.
        target_layer: Of the inner method.
        of: The inner method.
        seed: Where the choice of partners starts.
    """

    name = "other_image"
    required = BY_ID

    def __init__(
        self,
        model: nn.Module,
        target_layer: str | nn.Module | None = None,
        of: str = "ScoreCAM",
        seed: int = 0,
    ) -> None:
        super().__init__(model, target_layer, of)
        self.seed = check_int("seed", seed, 0)
        self._dataset: Any = None
        self._transform: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """The seed as well."""
        return {**super().settings, "seed": self.seed}

    @property
    def context(self) -> Mapping[str, Any]:
        """How many images the partners are chosen from, as well."""
        return {**super().context, "partners": 0 if self._dataset is None else len(self._dataset)}

    def use_dataset(self, dataset: Any, transform: Any) -> None:
        """Where partners come from: the whole data set, also where a worker corrects a part of it."""
        if len(dataset) < 2:
            raise ArgumentError(f"dataset must hold at least two images for control:other_image, got {len(dataset)}")
        self._dataset, self._transform = dataset, transform

    def partner(self, image_id: Any) -> Tensor:
        """The input (C,H,W) of the image whose maps are used for the image of that name.

        Raises:
            ImageError: no other image can be read.
        """
        if self._dataset is None:
            raise ArgumentError("dataset must be given for control:other_image, which takes maps of its other images")
        failures: list[ImageError] = []
        order = torch.randperm(len(self._dataset), generator=generator_of("control:other_image", self.seed, image_id))
        for index in order.tolist():
            if str(self._dataset.record(index).id) == str(image_id):
                continue
            try:
                inputs: Tensor = self._dataset.load(index, self._transform)
            except ImageError as error:
                failures.append(error)
            else:
                return inputs
        raise ImageError(
            f"{image_id}: no other image of the data set can be read, so control:other_image has no partner for it "
            f"({len(failures)} tried; the first: {failures[0] if failures else 'none'})"
        )

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The candidates' maps on the partners, as the inner method makes them."""
        partners = torch.cat([self._placed(name, inputs) for name in self.names(inputs, observation)])
        with evaluation_mode(self.model):
            done = [
                result
                for _, _, result in self.engine.chunks(len(partners), partners, self._attempt(partners, candidates))
            ]
        if observation is not None:
            observation.forwards = torch.cat([forwards for _, forwards in done])
        yield from torch.split(torch.cat([coarse for coarse, _ in done]), block, dim=1)

    def _placed(self, image_id: Any, like: Tensor) -> Tensor:
        """A partner (1,C,H,W) on the device and of the size of the images."""
        partner = self.engine.place(self.partner(image_id).unsqueeze(0))
        check_finite("the partner's inputs", partner)
        return upsample(partner, spatial_size(like))

    def _attempt(self, partners: Tensor, candidates: Tensor) -> Any:
        """Coarse maps (n,K,h,w) of some partners, and the forwards (n,) spent on each.

        A partner is treated as a corrector treats its own images: one observed forward, then the method's own.
        """

        def attempt(start: int, stop: int) -> tuple[Tensor, Tensor]:
            before, some, classes = self.engine.passes, partners[start:stop], candidates[start:stop]
            with self.inner.observe(some) as seen:
                self.engine.scores(some)
            coarse = torch.cat(list(self.inner.stream_coarse(some, classes, seen, classes.shape[1])), dim=1)
            spent = -(-(self.engine.passes - before) // len(some))
            alike = torch.full_like(classes[:, 0], spent)
            return coarse, alike if seen.forwards is None else 1 + seen.forwards

        return attempt


class OracleClass(InnerSource):
    """The inner method's map of the true class, in the place of each candidate's. It leaks the label.

    It knows the answer, so it is no rival: it bounds what one could gain if the map were that of the right class.
    """

    name = "oracle_class"
    required = MappingProxyType({"labels": "which shows the image by the map of the true class"})

    @property
    def context(self) -> Mapping[str, Any]:
        """That it leaks."""
        return {**super().context, "leaks": True}

    def observe(self, inputs: Tensor) -> Any:
        """The inner method watches."""
        return self.inner.observe(inputs)

    def stream_coarse(
        self, inputs: Tensor, candidates: Tensor, observation: Observation | None = None, block: int = 8
    ) -> Iterator[Tensor]:
        """The map of the true class for each candidate; outside of a corrector that of the first candidate."""
        labels = None if observation is None else observation.labels
        truth = candidates[:, :1] if labels is None else labels.unsqueeze(1)
        (coarse,) = self.inner.stream_coarse(inputs, truth, observation, 1)
        yield from torch.split(coarse.expand(-1, candidates.shape[1], -1, -1), block, dim=1)


_CLASSES: dict[str, type[MapSource]] = {cls.name: cls for cls in (RandomMap, OtherImage, Uniform, OracleClass)}


class ControlBackend(AttributionBackend):
    """Map sources that replace the map."""

    name: ClassVar[str] = "control"
    catalogue: ClassVar[Mapping[str, MethodInfo]] = _INFOS

    def create(
        self, method: str, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
    ) -> AttributionMethod:
        """Makes one; ``of=`` names the method of those that need one."""
        cls = _CLASSES[check_choice("method", method, self.methods())]
        check_options(method, options, parameters_of(cls.__init__, ("model", "target_layer")))
        layer = {"target_layer": target_layer} if issubclass(cls, InnerSource) else {}
        return cls(model, **layer, **options)


__all__ = ["ControlBackend", "MapSource", "OracleClass", "OtherImage", "RandomMap", "Uniform"]
