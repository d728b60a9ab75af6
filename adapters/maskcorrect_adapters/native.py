"""The native backend: Score-CAM and CAM, written for the corrector."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo
from maskcorrect_plugin.checks import check_choice

from .arguments import check_options, parameters_of

_INFOS = {
    "ScoreCAM": MethodInfo(
        "ScoreCAM",
        "weights each channel by what the model says to the image masked with it (Wang et al. 2020)",
        forwards="C",
    ),
    "CAM": MethodInfo(
        "CAM",
        "weights each channel by the linear head, closed form; needs global average pooling (Zhou et al. 2016)",
        forwards="0",
    ),
    "auto": MethodInfo(
        "auto", "CAM where it holds, else ScoreCAM[max_masks=64]; the result says which was taken", forwards="0 or 64"
    ),
}


class NativeBackend(AttributionBackend):
    """Methods of this package's own."""

    name: ClassVar[str] = "native"
    catalogue: ClassVar[Mapping[str, MethodInfo]] = _INFOS

    def create(
        self, method: str, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
    ) -> AttributionMethod:
        """Binds ``ScoreCAM``, ``CAM`` or ``auto`` to a model; the options are those of their classes."""
        cls = _class_of(check_choice("method", method, self.methods()))
        check_options(method, options, parameters_of(cls.__init__, ("model", "target_layer")))
        created: AttributionMethod = cls(model, target_layer, **options)
        return created

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps a user's own `maskcorrect_plugin.ScoreCAM` object."""
        from .score_cam import ScoreCAM, adopt_score_cam

        return adopt_score_cam(obj, model) if isinstance(obj, ScoreCAM) else None


def _class_of(method: str) -> Any:
    if method == "CAM":
        from .cam import CAMMethod

        return CAMMethod
    if method == "auto":
        from .auto import AutoMethod

        return AutoMethod
    from .score_cam import ScoreCAMMethod  # imports captum

    return ScoreCAMMethod
