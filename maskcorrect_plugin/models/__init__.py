"""Loading classifiers with their transform, class names and normalisation."""

from .loading import LoadedModel, load_model

__all__ = ["LoadedModel", "load_model"]
