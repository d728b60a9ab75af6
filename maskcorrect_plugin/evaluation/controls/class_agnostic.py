"""`control:class_agnostic`: where the network saw anything at all, whatever the class."""

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from maskcorrect_plugin import functional
from maskcorrect_plugin.attribution import AttributionMethod, Observation
from maskcorrect_plugin.corrector import Group
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.feature_maps import FeatureMaps, recorded
from maskcorrect_plugin.layers import find_target_layer, get_layer, layer_name

from .base import ControlInfo
from .one_mask import OneMask


class ClassAgnostic(OneMask):
    """Asks again about one view by a map that no class has a part in: ``S = minmax(upsample(sum_c relu(A_c)))``.

    ``A_c`` are the feature maps of the target layer in the first forward. This is CAM with the weight 1 for each
    channel: where a feature is present, it counts, whatever it speaks for. The ReLU keeps absent features (below zero,
    in layers that do not end in a ReLU) from cancelling present ones.

    The layer is the inner method's, the last one if it reads several. Where it reads none, or has not found its own
    yet, `find_target_layer` finds it, at the price of one forward of one image, once. The method makes no maps.
    """

    info = ControlInfo(
        "control:class_agnostic", "one map of all classes, the sum of the target layer's feature maps", "2"
    )

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__(model, **options)
        self._layer = layer_of(self.method)

    @property
    def settings(self) -> dict[str, Any]:
        """The target layer as well; None until it is found."""
        return {
            **super().settings,
            "target_layer": None if self._layer is None else layer_name(self.model, self._layer),
        }

    def observe(self, inputs: Tensor) -> AbstractContextManager[Observation]:
        """Keeps the target layer's output."""
        if self._layer is None:
            self._layer = get_layer(self.model, find_target_layer(self.model, inputs))
        return recorded(self._layer, layer_name(self.model, self._layer))

    def one_map(self, group: Group) -> Tensor:
        """Sum over channels."""
        if not isinstance(group.observation, FeatureMaps):
            raise LayerError("group.observation must come from this control's own observe()")
        activity = functional.at_least_float32(group.observation.maps).relu().sum(dim=1, keepdim=True)
        return functional.scale_maps(functional.upsample_maps(activity, functional.spatial_size(group.inputs)))


def layer_of(method: AttributionMethod) -> nn.Module | None:
    """The layer that a method says it reads, the last of several; None if it names none that the model has."""
    names = method.settings.get("target_layer")
    modules = {name: module for name, module in method.model.named_modules() if name}
    return modules.get(names.split(", ")[-1]) if isinstance(names, str) else None
