"""Figures of results. Every function returns a `matplotlib.figure.Figure`; pyplot is never imported."""

from maskcorrect_plugin.normalization import denormalize

from .confusion_figure import draw_confused_classes
from .cost_figure import draw_cost_gain
from .figures import draw_correction, draw_outcome, save_figure
from .gap_figures import draw_gap_bins, draw_gap_histograms
from .method_figures import draw_accuracies, draw_fixed_broken
from .method_grid import draw_methods
from .rendered_views import RenderedView, RenderedViews, render_views

__all__ = [
    "RenderedView",
    "RenderedViews",
    "denormalize",
    "draw_accuracies",
    "draw_confused_classes",
    "draw_correction",
    "draw_cost_gain",
    "draw_fixed_broken",
    "draw_gap_bins",
    "draw_gap_histograms",
    "draw_methods",
    "draw_outcome",
    "render_views",
    "save_figure",
]
