"""Fitting: how much each view should count, on labelled images, or not at all."""

from .fit import Fit, fit

__all__ = ["Fit", "fit"]
