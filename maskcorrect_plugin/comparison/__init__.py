"""Several methods and controls side by side: on the same images, and over several models and data sets."""

from .compare import Comparison, MethodRow, compare

__all__ = ["Comparison", "MethodRow", "compare"]
