"""From a model's inputs back to what can be looked at."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import ArgumentError


def denormalize(inputs: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None) -> Tensor:
    """Model inputs as pictures: ``inputs * std + mean``, cut to [0, 1].

    Args:
        inputs: Tensor (..., C,H,W), normalised.
        mean: One value per channel, in units of images in [0, 1].
        std: Likewise.

    Returns:
        Tensor of the same shape, detached, on the same device, in at least float32.

    Raises:
        ValueError: no mean or std, or not one value per channel.
    """
    if mean is None or std is None:
        raise ArgumentError("mean and std of the model's normalisation are needed to show its inputs, got none")
    channels = inputs.shape[-3] if inputs.ndim >= 3 else None
    if channels is None or len(mean) != channels or len(std) != channels:
        raise ArgumentError(
            f"mean and std must have one value per channel of inputs (...,C,H,W) with shape {tuple(inputs.shape)}, "
            f"got {len(mean)} and {len(std)}"
        )
    values = inputs.detach()
    values = values if values.dtype == torch.float64 else values.float()
    shift, scale = (torch.tensor(list(numbers)).to(values)[:, None, None] for numbers in (mean, std))
    return (values * scale + shift).clamp(0, 1)


def known_or_spread(
    inputs: Tensor, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Sequence[float], Sequence[float]]:
    """A mean and a std for `denormalize`: the known ones, or those that bring the values of this image into [0, 1].

    Args:
        inputs: One image (C,H,W). Of a transform of unknown making its darkest value is shown black.
        mean: Of the normalisation, if it is known.
        std: Likewise.
    """
    if mean is not None and std is not None:
        return mean, std
    low, high = float(inputs.min()), float(inputs.max())
    scale = 1 / (high - low) if high > low else 1.0
    return (-low * scale,) * len(inputs), (scale,) * len(inputs)
