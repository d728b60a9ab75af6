"""Controls by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from maskcorrect_plugin.checks import check_choice, check_int
from maskcorrect_plugin.correction import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError

from .base import Control, ControlInfo, SeededControl
from .class_agnostic import ClassAgnostic
from .flip import HorizontalFlip
from .oracle_class import OracleClass
from .other_image import OtherImage
from .partners import Partners
from .random_crops import RandomCrops
from .random_map import RandomMap
from .single_mask import SingleMask
from .ten_crop import TenCrop
from .uniform import Uniform

PREFIX = "control:"

_CLASSES: dict[str, type[Control]] = {
    control.info.name: control
    for control in (
        HorizontalFlip,
        TenCrop,
        RandomCrops,
        Uniform,
        RandomMap,
        OtherImage,
        ClassAgnostic,
        SingleMask,
        OracleClass,
    )
}

CONTROLS: Mapping[str, ControlInfo] = MappingProxyType({name: control.info for name, control in _CLASSES.items()})
"""What is known of each control, by its name."""

_FRAME_OPTIONS = (
    "top_k",
    "vote",
    "weights",
    "max_gap",
    "output",
    "batch_size",
    "precision",
    "channels_last",
    "compile",
)
"""What a control without maps takes of a corrector's options."""


def list_controls() -> list[str]:
    """Names that `create_control` understands.

    Example:
        >>> list_controls()[:2]
        ['control:hflip', 'control:ten_crop']
    """
    return list(CONTROLS)


def is_control(name: Any) -> bool:
    """Whether a method is a control and no attribution method: a name with the prefix ``control:``, known or not.

    Example:
        >>> is_control("control:hflip"), is_control("ScoreCAM")
        (True, False)
    """
    return isinstance(name, str) and name.startswith(PREFIX)


def create_control(
    name: str,
    model: nn.Module,
    *,
    dataset: Partners | None = None,
    control_seed: int = 0,
    **corrector_options: Any,
) -> Control:
    """A control of a corrector, made from that corrector's own options.

    Args:
        name: One of `list_controls`.
        model: The classifier.
        dataset: Where ``control:other_image`` takes its other images from; the others ignore it.
        control_seed: Of random choices, 0 or more. The choice of an image goes by its id.
        **corrector_options: Those of `ProbabilityCorrector`, its method's included. What does not concern a control is
            checked and then ignored.

    Raises:
        ValueError: an unknown name (the message has the nearest), no data set where one is needed, or what
            `ProbabilityCorrector` refuses.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        >>> create_control("control:hflip", net, method="CAM", top_k=2).settings["method"]
        'control:hflip'
    """
    control = _CLASSES[check_choice("name", name, CONTROLS)]
    own: dict[str, Any] = {}
    if control.info.needs_dataset:
        if dataset is None:
            raise ArgumentError(f"dataset must be given for {name}, which takes maps of its other images; got None")
        own["partners"] = dataset
    seed = check_int("control_seed", control_seed, 0)
    if issubclass(control, SeededControl):
        own["control_seed"] = seed
    if not issubclass(control, ProbabilityCorrector):
        ProbabilityCorrector(model, **corrector_options)  # refuses a misspelt option, which would be ignored here
        corrector_options = {key: value for key, value in corrector_options.items() if key in _FRAME_OPTIONS}
    return control(model, **own, **corrector_options)
