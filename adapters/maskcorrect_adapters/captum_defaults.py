"""What Captum's methods need and the corrector does not give: signs, baselines, windows, steps. All can be overridden.

Baselines are zero, which in normalised input space is the data set's mean colour, as in the corrector's own masks.
"""

from typing import Any

import torch
from torch import Tensor

SIGNS = {
    "Saliency": "absolute",
    "GuidedBackprop": "absolute",
    "Deconvolution": "absolute",
    "InputXGradient": "positive",
    "IntegratedGradients": "positive",
    "DeepLift": "positive",
    "GradientShap": "positive",
    "LRP": "positive",
    "Occlusion": "positive",
    "FeatureAblation": "positive",
    "LayerGradCam": "positive",
    "GuidedGradCam": "positive",
}
"""Gradients alone have no meaningful sign; everything that is a share of the score has one."""

CELLS = 7
"""FeatureAblation hides the cells of a 7 x 7 grid, Occlusion windows of a seventh of the side at half their width."""
PERTURBATIONS = 8
"""Perturbed copies of each image per forward."""
ROWS = 64
"""IntegratedGradients: inputs per forward at most, or one step of the batch."""


def default_options(name: str, inputs: Tensor) -> dict[str, Any]:
    """Arguments of ``attribute`` beside inputs and target, for inputs (N,C,H,W)."""
    count, channels, height, width = inputs.shape
    if name == "Occlusion":
        window = (channels, max(1, height // CELLS), max(1, width // CELLS))
        strides = (channels, max(1, window[1] // 2), max(1, window[2] // 2))
        return {"sliding_window_shapes": window, "strides": strides, "perturbations_per_eval": PERTURBATIONS}
    if name == "FeatureAblation":
        return {"feature_mask": grid(height, width, inputs.device), "perturbations_per_eval": PERTURBATIONS}
    if name == "IntegratedGradients":
        return {"n_steps": 50, "internal_batch_size": max(count, ROWS)}
    if name == "GradientShap":
        return {"baselines": torch.zeros_like(inputs[:1]), "n_samples": 8}
    if name == "NoiseTunnel":
        return {"nt_type": "smoothgrad", "nt_samples": 8, "stdevs": 0.2}
    return {}


def grid(height: int, width: int, device: torch.device) -> Tensor:
    """Cell numbers (1,1,H,W) of a grid of 7 x 7 cells, or of pixels in smaller images."""
    rows, columns = min(CELLS, height), min(CELLS, width)
    row = torch.arange(height, device=device) * rows // height
    column = torch.arange(width, device=device) * columns // width
    return (row[:, None] * columns + column)[None, None]
