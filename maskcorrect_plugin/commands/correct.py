"""``maskcorrect correct``: checks everything that can be checked before the model is loaded, loads it and runs."""

import sys
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.commands.outputs import OutputFolder
from maskcorrect_plugin.commands.terminal import Style, plain_warnings
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, LayerError
from maskcorrect_plugin.images import find_images
from maskcorrect_plugin.models import load_model
from maskcorrect_plugin.models.preprocessing import check_channels

from .run import CorrectOptions, CorrectRun

DEFAULT_TOP_K = 5


def correct(options: CorrectOptions) -> int:
    """Runs the command.

    Returns:
        0 when every image was corrected, 1 when some failed.

    Raises:
        MaskCorrectError: wrong usage, before any image is corrected.
    """
    mean, std = channels("mean", options.mean), channels("std", options.std)
    check_options(options)
    folder = None if options.output is None else OutputFolder(options.output, overwrite=options.overwrite)
    files = find_images(options.images)
    if folder is not None:  # the figures of an earlier run, where the folder lies among the images
        own = {file.resolve() for file in folder.own_files()}
        files = [file for file in files if file.resolve() not in own]
    if not files:
        raise ArgumentError("image must name at least one file that is not a figure of the earlier run that goes away")
    with plain_warnings(Style.of(sys.stderr)):
        loaded = load_model(
            options.model,
            options.weights,
            class_names=options.classes,
            size=options.size,
            mean=mean,
            std=std,
            device=options.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        )
        top_k = min(DEFAULT_TOP_K, loaded.num_classes) if options.top_k is None else options.top_k
        check_int("top_k", top_k, 1, loaded.num_classes)
        corrector = make_corrector(options, loaded.model, top_k, options.target_layer, loaded.mean, loaded.std)
        return CorrectRun(options, loaded, corrector, files, folder).run()


def channels(name: str, text: str | None) -> tuple[float, ...] | None:
    """``"0.485,0.456,0.406"`` as three numbers; None stays None."""
    if text is None:
        return None
    try:
        return check_channels(name, [float(part) for part in text.split(",")])
    except (ValueError, ArgumentTypeError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(f"{name} must be three numbers with commas, such as 0.5,0.5,0.5; got {text!r}") from None


def check_options(options: CorrectOptions) -> None:
    """Everything that needs no model, by making a corrector of a model that does nothing."""
    if options.preset is not None and options.method != "ScoreCAM":
        raise ArgumentError(f"preset is an option of the native ScoreCAM alone, but method is {options.method!r}")
    stand_in = nn.Identity()
    normalisation = (0.5, 0.5, 0.5)  # black needs one, and that of the model is not known yet
    with suppress(LayerError):  # a method that must see its layer can only be made with the real model
        make_corrector(options, stand_in, options.top_k or DEFAULT_TOP_K, None, normalisation, normalisation)


def make_corrector(
    options: CorrectOptions,
    model: nn.Module,
    top_k: int,
    target_layer: str | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
) -> ProbabilityCorrector:
    """The corrector that the options describe."""
    method_options: dict[str, Any] = {} if options.preset is None else {"preset": options.preset}
    return ProbabilityCorrector(
        model,
        options.method,
        target_layer,
        top_k,
        options.threshold,
        options.view,
        options.fill,
        options.vote,
        options.candidate_weights,
        options.max_gap,
        options.model_output,
        batch_size=options.batch_size or "auto",
        precision=options.precision,
        compile=options.compile,
        mean=mean,
        std=std,
        **method_options,
    )
