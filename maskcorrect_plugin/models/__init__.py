"""Loading classifiers with their transform, class names and normalisation."""

from .loading import LoadedModel, load_model
from .preprocessing import Preprocessing

__all__ = ["LoadedModel", "Preprocessing", "load_model"]
