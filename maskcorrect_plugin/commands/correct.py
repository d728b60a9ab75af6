"""``maskcorrect correct``: checks everything that can be checked before the model is loaded, loads it and runs."""

import sys
from collections.abc import Mapping

from maskcorrect_plugin.commands.outputs import OutputFolder
from maskcorrect_plugin.commands.terminal import Style, plain_warnings, speed_notes
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.images import find_images
from maskcorrect_plugin.recipe import Recipe

from .run import CorrectOptions, CorrectRun

NEEDS_DATA = {"control:other_image": "other images", "control:oracle_class": "labels"}
"""Map sources that need what only a data set has."""


def check_known(named: Mapping[str, Recipe]) -> None:
    """Raises ArgumentError where a recipe's maps need more than images."""
    for recipe in named.values():
        if recipe.method in NEEDS_DATA:
            raise ArgumentError(
                f"{recipe.method} needs the {NEEDS_DATA[recipe.method]} of a data set: use 'maskcorrect evaluate'"
            )


def correct(options: CorrectOptions) -> int:
    """Runs the command.

    Returns:
        0 when every image was corrected, 1 when some failed.

    Raises:
        MaskCorrectError: wrong usage, before any image is corrected.
    """
    named = options.named_recipes([options.recipe], [] if options.method is None else [options.method])
    check_known(named)
    folder = None if options.output is None else OutputFolder(options.output, overwrite=options.overwrite)
    files = find_images(options.images)
    if folder is not None:  # the figures of an earlier run, where the folder lies among the images
        own = {file.resolve() for file in folder.own_files()}
        files = [file for file in files if file.resolve() not in own]
    if not files:
        raise ArgumentError("image must name at least one file that is not a figure of the earlier run that goes away")
    style = Style.of(sys.stderr)
    with plain_warnings(style), speed_notes(style, shown=options.compile != "off" and not options.quiet):
        loaded = options.load()
        (corrector,) = options.correctors(named, loaded).values()
        return CorrectRun(options, loaded, corrector, files, folder).run()
