"""``maskcorrect correct``: checks everything that can be checked before the model is loaded, loads it and runs."""

import sys

from maskcorrect_plugin.commands.outputs import OutputFolder
from maskcorrect_plugin.commands.terminal import Style, plain_warnings
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.images import find_images

from .run import CorrectOptions, CorrectRun


def correct(options: CorrectOptions) -> int:
    """Runs the command.

    Returns:
        0 when every image was corrected, 1 when some failed.

    Raises:
        MaskCorrectError: wrong usage, before any image is corrected.
    """
    options.check({options.method: {}})
    folder = None if options.output is None else OutputFolder(options.output, overwrite=options.overwrite)
    files = find_images(options.images)
    if folder is not None:  # the figures of an earlier run, where the folder lies among the images
        own = {file.resolve() for file in folder.own_files()}
        files = [file for file in files if file.resolve() not in own]
    if not files:
        raise ArgumentError("image must name at least one file that is not a figure of the earlier run that goes away")
    with plain_warnings(Style.of(sys.stderr)):
        loaded = options.load()
        arguments = options.corrector_arguments(loaded)
        corrector = ProbabilityCorrector(
            loaded.model, options.method, **arguments, **options.method_options(options.method)
        )
        return CorrectRun(options, loaded, corrector, files, folder).run()
