"""`control:oracle_class`: the map of the true class. It leaks the label."""

from dataclasses import replace
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor

from maskcorrect_plugin.checks import check_classes
from maskcorrect_plugin.corrector import Group

from .base import ControlInfo
from .one_mask import OneMask


class OracleClass(OneMask):
    """Asks again about one view by the inner method's map of the true class.

    It knows the answer, so it is no rival: it bounds what one could gain if the map were that of the right class. Its
    settings say ``"leaks": True``.
    """

    info = ControlInfo(
        "control:oracle_class",
        "the map of the true class (leaks the label: a bound, not a result)",
        "2 + A",
        leaks=True,
        needs_method=True,
    )

    required = MappingProxyType({"labels": "which shows the image by the map of the true class"})

    def one_map(self, group: Group) -> Tensor:
        """The method's map of the true class."""
        truth = cast(Tensor, group.labels).unsqueeze(1)  # `required` saw to it that there are some
        check_classes("labels", truth, group.probs.shape[1])
        return torch.cat([maps for _, maps in self.stream_maps(replace(group, candidates=truth))], dim=1)
