"""Controls: what a correction must beat before its maps can be said to have a part in what it gains.

Each takes the options of a `ProbabilityCorrector`, has its `correct`, and replaces one thing: the view, the map, or
what the map is of. See ``docs/controls.md``.
"""

from .base import Control, ControlInfo
from .catalogue import CONTROLS, create_control, is_control, list_controls
from .partners import DatasetPartners, Partners

__all__ = [
    "CONTROLS",
    "Control",
    "ControlInfo",
    "DatasetPartners",
    "Partners",
    "create_control",
    "is_control",
    "list_controls",
]
