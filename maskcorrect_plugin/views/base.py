"""What every view is: how an image is shown to the network again."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from maskcorrect_plugin.describing import describe, qualified_name
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.options import check_options, format_spec, option, options_of
from maskcorrect_plugin.pictures import Box, Picture
from maskcorrect_plugin.recipe_options import MAPS, VIEW

CANDIDATES, MERGED = MAPS


class Normalization(Protocol):
    """What a view needs to know of the model's preprocessing: see `models.Preprocessing`."""

    mean: Any
    std: Any
    interpolation: str

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels (b,3,H,W) uint8 as the model takes them."""


@dataclass(frozen=True)
class ImageBatch:
    """Some images as a correction sees them.

    Attributes:
        inputs: What the network takes, (n,C,H,W), on its device.
        pictures: The originals, one for each row; None where only tensors are known.
        preprocessing: How originals become inputs; None where it is not known.
        ids: Names of the images, if the caller gave them.
        labels: The truth, (n,) int64, if the caller gave it.
        rows: Positions of the images in the batch that they were chosen from.
    """

    inputs: Tensor
    pictures: tuple[Picture, ...] | None = None
    preprocessing: Normalization | None = None
    ids: tuple[Any, ...] | None = None
    labels: Tensor | None = None
    rows: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, rows: Tensor) -> "ImageBatch":
        """Some of the images only."""
        chosen = rows.tolist()
        return ImageBatch(
            self.inputs if chosen == list(range(len(self))) else self.inputs[rows],
            None if self.pictures is None else tuple(self.pictures[row] for row in chosen),
            self.preprocessing,
            None if self.ids is None else tuple(self.ids[row] for row in chosen),
            None if self.labels is None else self.labels[rows],
            tuple((self.rows or range(len(self)))[row] for row in chosen),
        )

    def picture(self, row: int) -> Picture:
        """The original of one image."""
        if self.pictures is None:
            raise ArgumentError("pictures are needed, but only tensors were given")
        return self.pictures[row]


class Region(NamedTuple):
    """A part of an image that is shown at the size of the network's input.

    Attributes:
        box: In pixels of the original, or of the network's input; None stands for the input itself.
        original: Whether the box lies in the original.
        mirrored: Left and right exchanged.
    """

    box: Box | None = None
    original: bool = False
    mirrored: bool = False


@dataclass(frozen=True)
class Shown:
    """What one view shows of each of n images: v pictures, as regions of the image or made by a function.

    Attributes:
        count: v.
        regions: n lists of v regions. Equal regions of an image are predicted on once.
        make: From rows (b,) and numbers of views (b,), both int64, to what the network gets, (b,C,H,W).
    """

    count: int
    regions: Sequence[Sequence[Region]] | None = None
    make: Callable[[Tensor, Tensor], Tensor] | None = None


_known: dict[type, str] = {}
"""Classes that a text form can name: see `known_as`."""


def known_as(name: str, cls: type["View"]) -> None:
    """Notes that a view of exactly this class is written by this name, and not by where its class is found."""
    _known.setdefault(cls, name)


class View(ABC):
    """How an image is shown to the network again. Subclass it for a view of your own.

    A guided view follows maps: it shows one picture for each map. An unguided one gives a fixed number of pictures.
    Options are attributes; those of this package's own views are fields made by `options.option`.

    Attributes:
        name: In the view's text form.
        guided: Whether it follows maps.
        needs_original: Whether it cuts from the original picture, so that tensors alone are not enough.
        needs_ids: Whether it draws at random, by the image's id.
        map: For guided views ``"candidates"`` (a picture for each candidate, weighted as the candidates are) or
            ``"merged"`` (one picture by the weighted mean of their maps, with the weight 1).
        summary: One line.
    """

    name: ClassVar[str]
    guided: ClassVar[bool] = True
    needs_original: ClassVar[bool] = False
    needs_ids: ClassVar[bool] = False
    summary: ClassVar[str] = ""
    map: str = CANDIDATES

    @property
    def spec(self) -> str:
        """The view's text form, with all its options; equal ones show the same."""
        return format_spec(self._spec_name, describe(self.settings))

    @property
    def _spec_name(self) -> str:
        return _known.get(type(self)) or qualified_name(type(self))

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that changes what it shows, by name. By default its attributes."""
        return dict(vars(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, View) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(self.spec)

    @property
    def label(self) -> str:
        """The view's text form as short as it can be: of its options what differs from the defaults."""
        return self.spec

    @property
    def views_per_image(self) -> int:
        """Pictures of each image: for guided views, of each map."""
        return 1

    def check(self, images: ImageBatch) -> None:
        """Refuses images that the view cannot show, before the long work.

        Raises:
            ValueError: only tensors where the original is needed; no ids where it draws at random.
        """
        if self.needs_original and (images.pictures is None or images.preprocessing is None):
            raise ArgumentError(
                f"view {self.name!r} is cut from the original pictures, but only tensors were given; pass PIL images "
                "or Pictures to correct(), with preprocessing= (load_model(...).preprocessing) to the corrector, or "
                "use a view of the network's input, such as 'crop', 'mask' or 'hflip'"
            )
        if self.needs_ids and images.ids is None:
            raise ArgumentError(f"ids must be given for view {self.name!r}, which draws at random by the image's id")

    def prepare(self, images: ImageBatch) -> Tensor | None:  # noqa: B027  (an optional hook, deliberately not abstract)
        """Whatever depends on the images alone, made once for all their maps.

        Returns:
            A tensor whose first axis is n, or 1 where it is the same for all; it comes back row by row in `render`.
        """

    def show(self, images: ImageBatch, maps: Tensor | None = None, prepared: Tensor | None = None) -> Shown:
        """What the network is shown of these images.

        Args:
            images: n images.
            maps: Tensor (n,v,H,W) in [0, 1] for guided views; flat maps are zero everywhere.
            prepared: What `prepare` gave.
        """
        shared = prepared is not None and len(prepared) == 1 != len(images)

        def make(rows: Tensor, numbers: Tensor) -> Tensor:
            extra = prepared if prepared is None or shared else prepared[rows]
            chosen = None if maps is None else maps[rows, numbers]
            return self.render(images.inputs[rows], chosen, extra)

        return Shown(self.views_per_image if maps is None else maps.shape[1], make=make)

    def render(self, inputs: Tensor, maps: Tensor | None = None, prepared: Tensor | None = None) -> Tensor:
        """The images as the network sees them again.

        Args:
            inputs: Tensor (B,C,H,W).
            maps: Tensor (B,H,W) in [0, 1] for guided views; flat ones must give the image back unchanged.
            prepared: The rows of what `prepare` returned.

        Returns:
            Tensor (B,C,H,W).
        """
        raise NotImplementedError(f"{type(self).__name__} must define render(inputs, maps, prepared) or show(...)")


class OptionView(View):
    """A view whose options are dataclass fields made by `options.option`."""

    def __post_init__(self) -> None:
        check_options(self)

    @property
    def settings(self) -> dict[str, Any]:
        """Its options."""
        return {name: getattr(self, name) for name in options_of(self)}

    @property
    def label(self) -> str:
        """Name, and those of the options that differ from the defaults of this view."""
        defaults = {name: known.default for name, known in options_of(self).items()}
        own = {name: value for name, value in self.settings.items() if describe(value) != describe(defaults[name])}
        return format_spec(self._spec_name, describe(own))


class RegionView(OptionView):
    """A view that shows parts of the image: it says which, and the second pass cuts them together."""

    @abstractmethod
    def regions(self, images: ImageBatch, maps: Tensor | None) -> list[list[Region]]:
        """The regions of each image, n lists of v.

        Args:
            images: n images.
            maps: Tensor (n,v,H,W) in [0, 1] for guided views.
        """

    def show(self, images: ImageBatch, maps: Tensor | None = None, prepared: Tensor | None = None) -> Shown:
        """The regions."""
        return Shown(self.views_per_image if maps is None else maps.shape[1], regions=self.regions(images, maps))


def map_option(default: str) -> Any:
    """The option ``map`` of a guided view."""
    return option(dataclasses.replace(VIEW["map"], default=default))


def as_boxes(values: Tensor) -> list[Box]:
    """Rows (left, top, right, bottom) of a tensor (b,4) as boxes."""
    return [Box(*row) for row in values.cpu().to(torch.float64).tolist()]
