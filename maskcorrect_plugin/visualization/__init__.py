"""Figures of results. Every function returns a `matplotlib.figure.Figure`; pyplot is never imported."""

from maskcorrect_plugin.normalization import denormalize

from .figures import draw_correction, draw_outcome, save_figure
from .pictures import render_views

__all__ = ["denormalize", "draw_correction", "draw_outcome", "render_views", "save_figure"]
