"""Correct a CNN's class probabilities with its own explanations: mask, ask again, add. No retraining.

The public names are loaded when first used, so that ``import maskcorrect_plugin`` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskcorrect_adapters.score_cam import ScoreCAM as ScoreCAM

    from .attribution import AttributionBackend as AttributionBackend
    from .attribution import AttributionMethod as AttributionMethod
    from .attribution import MethodInfo as MethodInfo
    from .attribution import Observation as Observation
    from .comparison.compare import compare as compare
    from .corrector import ProbabilityCorrector as ProbabilityCorrector
    from .corrector import make_correctors as make_correctors
    from .datasets import ImageDataset as ImageDataset
    from .datasets import load_dataset as load_dataset
    from .evaluation.evaluate import evaluate as evaluate
    from .evaluation.run_folder import RunFolder as RunFolder
    from .fitting.fit import Fit as Fit
    from .fitting.fit import fit as fit
    from .layers import find_target_layer as find_target_layer
    from .models import LoadedModel as LoadedModel
    from .models import Preprocessing as Preprocessing
    from .models import load_model as load_model
    from .pictures import Picture as Picture
    from .recipe import Recipe as Recipe
    from .registry import create_attribution as create_attribution
    from .registry import list_attributions as list_attributions
    from .registry import list_backends as list_backends
    from .registry import register_backend as register_backend
    from .results import CorrectionResult as CorrectionResult
    from .together import correct_together as correct_together
    from .views import CropView as CropView
    from .views import MaskView as MaskView
    from .views import View as View
    from .views import ZoomView as ZoomView
    from .views import create_view as create_view
    from .views import list_views as list_views

__version__ = "0.1.0"

_HOMES = {
    "AttributionBackend": "maskcorrect_plugin.attribution",
    "AttributionMethod": "maskcorrect_plugin.attribution",
    "CorrectionResult": "maskcorrect_plugin.results",
    "CropView": "maskcorrect_plugin.views",
    "Fit": "maskcorrect_plugin.fitting",
    "ImageDataset": "maskcorrect_plugin.datasets",
    "LoadedModel": "maskcorrect_plugin.models",
    "MaskView": "maskcorrect_plugin.views",
    "MethodInfo": "maskcorrect_plugin.attribution",
    "Observation": "maskcorrect_plugin.attribution",
    "Picture": "maskcorrect_plugin.pictures",
    "Preprocessing": "maskcorrect_plugin.models",
    "ProbabilityCorrector": "maskcorrect_plugin.corrector",
    "Recipe": "maskcorrect_plugin.recipe",
    "RunFolder": "maskcorrect_plugin.evaluation.run_folder",
    "ScoreCAM": "maskcorrect_adapters.score_cam",
    "View": "maskcorrect_plugin.views",
    "ZoomView": "maskcorrect_plugin.views",
    "compare": "maskcorrect_plugin.comparison",
    "correct_together": "maskcorrect_plugin.together",
    "create_attribution": "maskcorrect_plugin.registry",
    "create_view": "maskcorrect_plugin.views",
    "evaluate": "maskcorrect_plugin.evaluation.evaluate",
    "find_target_layer": "maskcorrect_plugin.layers",
    "fit": "maskcorrect_plugin.fitting",
    "list_attributions": "maskcorrect_plugin.registry",
    "list_backends": "maskcorrect_plugin.registry",
    "list_views": "maskcorrect_plugin.views",
    "load_dataset": "maskcorrect_plugin.datasets",
    "load_model": "maskcorrect_plugin.models",
    "make_correctors": "maskcorrect_plugin.corrector",
    "register_backend": "maskcorrect_plugin.registry",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__]
