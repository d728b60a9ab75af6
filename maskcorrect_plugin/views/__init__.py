"""Views: how an image is shown to the network again.

Guided ones follow a map: `MaskView` is the paper's, `CropView` and `ZoomView` zoom in on what a candidate used.
Unguided ones are what they have to beat. Each has a text form with its options in brackets,
``zoom[threshold=0.3,map=merged]``.
"""

from .base import CANDIDATES, MERGED, ImageBatch, OptionView, Region, RegionView, Shown, View
from .catalogue import create_view, list_views, view_classes
from .crop import CropView, ZoomView, crop_and_resize, map_boxes, to_original
from .mask import MaskView, black, blur
from .unguided import CenterView, CornersView, FlipView, RandomCropsView, TenCropView, WholeView, generator_of

__all__ = [
    "CANDIDATES",
    "MERGED",
    "CenterView",
    "CornersView",
    "CropView",
    "FlipView",
    "ImageBatch",
    "MaskView",
    "OptionView",
    "RandomCropsView",
    "Region",
    "RegionView",
    "Shown",
    "TenCropView",
    "View",
    "WholeView",
    "ZoomView",
    "black",
    "blur",
    "create_view",
    "crop_and_resize",
    "generator_of",
    "list_views",
    "map_boxes",
    "to_original",
    "view_classes",
]
