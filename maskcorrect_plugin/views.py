"""Views: how an image is shown to the network again, given the map of one candidate.

`MaskView` is the paper's: hide what the candidate did not use. `CropView` is the rival it is measured against: zoom in
on what the candidate used (WS-DAN, arXiv 1901.09891; Guided Zoom, BMVC 2019).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from . import functional
from .checks import check_choice, check_finite, check_number
from .errors import ArgumentError, ArgumentTypeError

FILLS = ("zero", "black", "mean", "blur")
VIEWS = ("mask", "crop")

BLUR_KERNEL_FRACTION = 0.25
"""Width of the blur kernel against the longer side of the image; its sigma is a sixth of the width."""


class View(ABC):
    """Makes what the network sees of an image for one candidate. Subclass it for a view of your own."""

    name: ClassVar[str]

    def prepare(self, inputs: Tensor) -> Tensor | None:  # noqa: B027  (an optional hook, deliberately not abstract)
        """Whatever depends on the images alone, made once for all their candidates.

        Args:
            inputs: Tensor (N,C,H,W).

        Returns:
            A tensor whose first axis is N, or one that broadcasts; it comes back row by row in `render`.
        """

    @abstractmethod
    def render(self, inputs: Tensor, maps: Tensor, prepared: Tensor | None = None) -> Tensor:
        """The images as the network sees them again.

        Args:
            inputs: Tensor (B,C,H,W).
            maps: Tensor (B,H,W) in [0, 1]; flat ones must give the image back unchanged.
            prepared: The rows of what `prepare` returned.

        Returns:
            Tensor (B,C,H,W).
        """


class MaskView(View):
    """The paper's masked input ``M_k = T_k * X + (1 - T_k) * B``, with ``B = 0`` unless a fill is chosen.

    Args:
        threshold: Map values at or below it are hidden altogether. In [0, 1).
        fill: What is shown instead: ``"zero"`` (in normalised space the data set's mean colour), ``"black"`` (needs
            `mean` and `std`), ``"mean"`` (this image's mean colour), ``"blur"`` (this image blurred), or a tensor that
            broadcasts with one image (C,H,W).
        mean: Mean of the normalisation, one value per colour channel.
        std: Standard deviation of the normalisation, one value per colour channel.
    """

    name = "mask"

    def __init__(
        self,
        threshold: float = 0.1,
        fill: str | Tensor = "zero",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.threshold = check_number("threshold", threshold, 0, 1)
        if isinstance(fill, Tensor):
            if not fill.is_floating_point():
                raise ArgumentTypeError(f"fill must be a floating-point tensor, got {fill.dtype}")
            check_finite("fill", fill.reshape(1, -1))
        elif fill == "black":
            fill = black(mean, std)
        else:
            check_choice("fill", fill, FILLS)
        self.fill = fill

    def prepare(self, inputs: Tensor) -> Tensor | None:
        """The background ``B`` of each image; None for zero."""
        if isinstance(self.fill, Tensor):
            return self._fitted(self.fill, inputs)
        if self.fill == "mean":
            return inputs.mean(dim=(-2, -1), keepdim=True)
        if self.fill == "blur":
            return blur(inputs)
        return None

    def render(self, inputs: Tensor, maps: Tensor, prepared: Tensor | None = None) -> Tensor:
        """Masked inputs ``M_k``."""
        masks = functional.threshold_masks(maps, self.threshold)
        return functional.masked_inputs(inputs, masks, 0.0 if prepared is None else prepared)

    @staticmethod
    def _fitted(fill: Tensor, inputs: Tensor) -> Tensor:
        """The fill as (1,C,H,W). One for all images: which ones are corrected together is the corrector's business."""
        image = (1, *inputs.shape[1:])
        try:
            return fill.to(inputs.device, inputs.dtype).expand(image)
        except RuntimeError:
            raise ArgumentError(
                f"fill must broadcast to one image {image}, the same for all; got {tuple(fill.shape)}"
            ) from None


class CropView(View):
    """Crop to the box of the map above the threshold, with a margin, and resize to the input's size.

    Args:
        threshold: Map values above it span the box. In [0, 1).
        margin: Added on each side, as a fraction of the box (WS-DAN pads by 5 %). In [0, 1].
    """

    name = "crop"

    def __init__(self, threshold: float = 0.1, margin: float = 0.05) -> None:
        self.threshold = check_number("threshold", threshold, 0, 1)
        self.margin = check_number("margin", margin, 0, 1, include_high=True)

    def boxes(self, maps: Tensor) -> Tensor:
        """Boxes in pixels, ``(top, bottom, left, right)`` with exclusive ends; the whole image where the map is flat.

        Args:
            maps: Tensor (B,H,W) in [0, 1].

        Returns:
            Tensor (B,4) of whole numbers in the maps' dtype.
        """
        inside = functional.threshold_masks(maps, self.threshold) > 0
        return torch.cat(
            [self._span(inside.any(dim=-1), maps.dtype), self._span(inside.any(dim=-2), maps.dtype)], dim=-1
        )

    def _span(self, occupied: Tensor, dtype: torch.dtype) -> Tensor:
        """First and last occupied position with the margin, (B,L) -> (B,2)."""
        length = occupied.shape[-1]
        weight = occupied.to(dtype)
        first = weight.argmax(dim=-1)
        last = length - weight.flip(-1).argmax(dim=-1)
        pad = ((last - first).to(dtype) * self.margin).round()
        span = torch.stack([(first - pad).clamp_min(0), (last + pad).clamp_max(length)], dim=-1)
        whole = torch.tensor([0, length], dtype=dtype, device=occupied.device)
        return torch.where(occupied.any(dim=-1, keepdim=True), span, whole)

    def render(self, inputs: Tensor, maps: Tensor, prepared: Tensor | None = None) -> Tensor:
        """Crops, resized to the input's size: see `crop_and_resize`."""
        return crop_and_resize(inputs, self.boxes(maps).to(inputs.dtype))


def crop_and_resize(inputs: Tensor, boxes: Tensor) -> Tensor:
    """A box of each image, resized bilinearly to the image's size.

    What slicing and ``F.interpolate(..., align_corners=False)`` give, for a different box of each image in one go.

    Args:
        inputs: Tensor (B,C,H,W).
        boxes: ``(top, bottom, left, right)`` in pixels, with exclusive ends: whole numbers (B,4) in the inputs' dtype.

    Returns:
        Tensor (B,C,H,W).
    """
    height, width = inputs.shape[-2:]
    rows = _positions(boxes[:, 0], boxes[:, 1], height)
    columns = _positions(boxes[:, 2], boxes[:, 3], width)
    grid = torch.stack(
        [columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)],
        dim=-1,
    )
    return F.grid_sample(inputs, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _positions(start: Tensor, stop: Tensor, length: int) -> Tensor:
    """Where to sample along an axis, in grid_sample's [-1, 1]: never outside the centres of the box's pixels."""
    steps = (torch.arange(length, device=start.device, dtype=start.dtype) + 0.5) / length
    pixels = start[:, None] + steps * (stop - start)[:, None]
    pixels = torch.maximum(torch.minimum(pixels, stop[:, None] - 0.5), start[:, None] + 0.5)
    return 2 * pixels / length - 1


def black(mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Black (pixel value 0) in normalised space: ``-mean / std`` per colour channel, tensor (1,C,1,1)."""
    if mean is None or std is None:
        raise ArgumentError("fill='black' needs the normalisation's mean and std (load_model knows them), got none")
    if len(mean) != len(std) or min(std) <= 0:
        raise ArgumentError(f"mean and std must have one value per channel, std above 0; got mean={mean}, std={std}")
    return (-torch.tensor(mean, dtype=torch.float64) / torch.tensor(std, dtype=torch.float64))[None, :, None, None]


def blur(inputs: Tensor) -> Tensor:
    """Each image under a Gaussian blur, so that colour remains and detail does not. (N,C,H,W) -> (N,C,H,W)."""
    from torchvision.transforms.v2.functional import gaussian_blur  # slow to import, and few ask for it

    width = max(3, int(BLUR_KERNEL_FRACTION * max(inputs.shape[-2:])) | 1)
    # Reflection cannot reach further than the image itself.
    kernel = [min(width, 2 * (side // 2) - 1 if side > 2 else 1) for side in (inputs.shape[-1], inputs.shape[-2])]
    blurred: Tensor = gaussian_blur(inputs, kernel_size=kernel, sigma=[max(side / 6, 0.1) for side in kernel])
    return blurred


def make_view(
    view: str | View,
    threshold: float = 0.1,
    fill: str | Tensor = "zero",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> View:
    """A `View` from its name, or the view itself (whose own settings then count)."""
    if isinstance(view, View):
        return view
    check_choice("view", view, VIEWS)
    mask_view = MaskView(threshold, fill, mean, std)
    return mask_view if view == "mask" else CropView(threshold)
