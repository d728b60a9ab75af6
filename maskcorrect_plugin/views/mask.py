"""The paper's view: hide what the map did not use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from maskcorrect_plugin import functional
from maskcorrect_plugin.checks import check_choice, check_finite
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.options import number, option
from maskcorrect_plugin.recipe_options import FILLS, VIEW

from .base import CANDIDATES, ImageBatch, OptionView, map_option

BLUR_KERNEL_FRACTION = 0.25
"""Width of the blur kernel against the longer side of the image; its sigma is a sixth of the width."""


def _check_fill(name: str, value: Any) -> str | Tensor:
    if not isinstance(value, Tensor):
        return check_choice(name, value, FILLS)
    if not value.is_floating_point():
        raise ArgumentTypeError(f"{name} must be a floating-point tensor, got {value.dtype}")
    check_finite(name, value.reshape(1, -1))
    return value


@dataclass(frozen=True, eq=False)
class MaskView(OptionView):
    """The paper's masked input ``M_k = T_k * X + (1 - T_k) * B``, with ``B = 0`` unless a fill is chosen."""

    name: ClassVar[str] = "mask"
    summary: ClassVar[str] = "hides what the map leaves out (the paper): the input times the thresholded map"
    threshold: float = number(VIEW["threshold"], 0, 1)
    fill: str | Tensor = option(VIEW["fill"], _check_fill)  # noqa: RUF009  (a field, as the others)
    map: str = map_option(CANDIDATES)

    def check(self, images: ImageBatch) -> None:
        """Black needs the normalisation."""
        super().check(images)
        if isinstance(self.fill, str) and self.fill == "black":
            self._black(images)

    def prepare(self, images: ImageBatch) -> Tensor | None:
        """The background ``B`` of each image; None for zero."""
        if isinstance(self.fill, Tensor):
            return self._fitted(self.fill, images.inputs)
        if self.fill == "black":
            return self._fitted(self._black(images), images.inputs)
        if self.fill == "mean":
            return images.inputs.mean(dim=(-2, -1), keepdim=True)
        if self.fill == "blur":
            return blur(images.inputs)
        return None

    def render(self, inputs: Tensor, maps: Tensor | None = None, prepared: Tensor | None = None) -> Tensor:
        """Masked inputs ``M_k``."""
        if maps is None:
            raise ArgumentError("maps must be given for view 'mask', got None")
        masks = functional.threshold_masks(maps, self.threshold)
        return functional.masked_inputs(inputs, masks, 0.0 if prepared is None else prepared)

    @staticmethod
    def _black(images: ImageBatch) -> Tensor:
        known = images.preprocessing
        return black(None if known is None else known.mean, None if known is None else known.std)

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


def black(mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Black (pixel value 0) in normalised space: ``-mean / std`` per colour channel, tensor (1,C,1,1)."""
    if mean is None or std is None:
        raise ArgumentError(
            "fill='black' needs the normalisation's mean and std: pass preprocessing= (load_model(...).preprocessing); "
            "got none"
        )
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
