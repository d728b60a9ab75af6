"""Image processors of transformers as a `Preprocessing`. transformers itself is not needed."""

from typing import Any

from PIL import Image
from torch import Tensor

from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.rgb import to_rgb

from .geometry import CenterCrop, Chain, Resize, Step, interpolation_name
from .preprocessing import TRIED, Preprocessing
from .probing import Probed


class ProcessorTransform:
    """An image processor of transformers as a transform of one Pillow image.

    Args:
        processor: What ``AutoImageProcessor.from_pretrained`` gave.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def __call__(self, image: Image.Image) -> Tensor:
        """Pixel values (3,H,W), as the processor was configured."""
        pixels: Tensor = self.processor(images=to_rgb(image), return_tensors="pt")["pixel_values"]
        return pixels[0]

    def __repr__(self) -> str:
        return f"ProcessorTransform({self.processor!r})"


def prepare_processor(processor: Any) -> Preprocessing:
    """An image processor with its normalisation, interpolation and geometry.

    Resize and centred crop are read off its settings where running it agrees with them; each kind of processor may do
    something of its own with the same settings. Elsewhere the geometry is found for each size of picture.
    """
    transform = ProcessorTransform(processor)
    probed = Probed(transform)
    known = _configured(processor)
    geometry = known if known is not None and _agree(known, probed) else probed
    resample = interpolation_name(getattr(processor, "resample", None))
    return Preprocessing.of(transform, interpolation=resample, geometry=geometry)


def _configured(processor: Any) -> Chain | None:
    """Resize and crop as the settings say; None where they say something else than these two."""
    steps: list[Step] = []
    size, crop = _sizes(processor, "size"), _sizes(processor, "crop_size")
    if getattr(processor, "do_resize", False):
        if set(size) == {"shortest_edge"}:
            steps.append(Resize((size["shortest_edge"],)))
        elif set(size) == {"height", "width"}:
            steps.append(Resize((size["height"], size["width"])))
        else:
            return None
    if getattr(processor, "do_center_crop", False):
        if set(crop) != {"height", "width"}:
            return None
        steps.append(CenterCrop(crop["height"], crop["width"], rounded=False))
    return Chain(tuple(steps))


def _sizes(processor: Any, name: str) -> dict[str, int]:
    """A size of a processor, which is a dictionary or an object like one; what is None is left out."""
    try:
        given = dict(getattr(processor, name, None) or {})
        return {key: int(value) for key, value in given.items() if value is not None}
    except (TypeError, ValueError):
        return {}


def _agree(known: Chain, probed: Probed) -> bool:
    """Whether two ways to tell the place agree within a hundredth of the picture."""
    try:
        for size in TRIED:
            apart = [abs(a - b) for a, b in zip(known.locate(size), probed.locate(size), strict=True)]
            if max(apart) > 0.01 * min(size):
                return False
    except ArgumentError:
        return False
    return True
