"""The site: `python -m sphinx -W -b html docs docs/_build/html` builds it, without the network.

The pages are the Markdown files of this folder, which read as well in the repository; the gallery runs its scripts, and
the reference comes from the docstrings.
"""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "maskcorrect_plugin"
author = "The maskcorrect_plugin developers"
project_copyright = "the maskcorrect_plugin developers, Apache-2.0"
version = release = version_of("maskcorrect-plugin")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "repository_links",
]
exclude_patterns = ["_build", "gallery"]

# Names in single backticks are ours where we have such a name, and plain code elsewhere.
default_role = "py:obj"
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True  # as the source has them: the value of os.environ is nobody's business
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery_figures.last_figure",),
    "image_srcset": ["2x"],
    "ignore_repr_types": "Figure",
    "reset_modules": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1e9,
}

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_dark_style = "github-dark"
html_show_sourcelink = False
html_copy_source = False
# The palette of the figures: blue is what correction gives.
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#00619A"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#7CC4EE"},
}


def call_attributes_so() -> None:
    """The heading over the attributes of a class, which Sphinx calls variables."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"


def setup(app: Sphinx) -> None:
    """Names what Sphinx does not know by the names used here."""
    app.add_lexer("csv", TextLexer)  # Pygments has none; plain text will do
    call_attributes_so()
