"""The backend of torchcam: its extractors, by name and by object."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo

from .arguments import as_layers
from .loading import adopt, load

_INFOS = {
    info.name: info
    for info in (
        MethodInfo("CAM", "channels weighted by the linear head, for pooled networks (Zhou et al. 2016)", True, "0"),
        MethodInfo("GradCAM", "channels weighted by their mean gradient (Selvaraju et al. 2017)", True, "0", "K"),
        MethodInfo("GradCAMpp", "second-order gradients (Chattopadhyay et al. 2018)", True, "0", "K"),
        MethodInfo("SmoothGradCAMpp", "Grad-CAM++ of 4 noisy copies (Omeiza et al. 2019)", True, "4 K", "4 K"),
        MethodInfo("XGradCAM", "channels weighted by activation-scaled gradients (Fu et al. 2020)", True, "0", "K"),
        MethodInfo("LayerCAM", "activations weighted by their positive gradients (Jiang et al. 2021)", True, "0", "K"),
        MethodInfo("ScoreCAM", "channels weighted by the score of the image masked with them", True, "1 + C"),
        MethodInfo("SSCAM", "Score-CAM with 35 noisy masks per channel (Wang et al. 2020)", True, "1 + 35 C"),
        MethodInfo("ISCAM", "Score-CAM over 10 strengths of each mask (Naidu et al. 2020)", True, "1 + 10 C"),
        MethodInfo("FinerCAM", "Grad-CAM against the most similar classes (Zhang et al. 2025)", True, "0", "K"),
    )
}

OTHERS = {
    "RefineCAM": "it multiplies the maps of several layers, so it has no default layer; its objects are adopted",
    "LeGrad": "it reads attention inside named blocks of vision transformers and no target layer's feature maps",
}
"""Extractors of the library that are not offered by name, and why."""


class TorchcamBackend(AttributionBackend):
    """torchcam (``torchcam.methods``)."""

    name: ClassVar[str] = "torchcam"
    library: ClassVar[str | None] = "torchcam"
    install: ClassVar[str | None] = 'pip install "maskcorrect-plugin[torchcam]"'
    catalogue: ClassVar[Mapping[str, MethodInfo]] = _INFOS

    def create(
        self,
        method: str,
        model: nn.Module,
        target_layer: str | nn.Module | None = None,
        *,
        target_layers: list[str | nn.Module] | None = None,
        reshape_transform: str | Callable[[Tensor], Tensor] | None = "auto",
        seed: int = 0,
        **options: Any,
    ) -> AttributionMethod:
        """Binds an extractor to a model.

        Args:
            method: Name of the class.
            model: The classifier.
            target_layer: A module or its name; None finds it at the first call.
            target_layers: Several of them, whose maps the library fuses.
            reshape_transform: ``"auto"``, ``"vit"``, ``"swin"``, a callable or None.
            seed: Of random numbers (SmoothGradCAMpp, SSCAM), for each image anew.
            **options: What the class's constructor takes: ``batch_size``, ``num_samples``, ``std``, ``fc_layer``,
                ``base_method``, ``gamma``, ``num_references``; and ``comparison_idx`` of FinerCAM's call.
        """
        layers = as_layers(target_layer, target_layers)
        create = load("torchcam_method", self).create_torchcam
        created: AttributionMethod = create(
            model, self.info(method), layers, options, reshape_transform=reshape_transform, seed=seed
        )
        return created

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps the user's own extractor, with its layers and options."""
        adopted: AttributionMethod | None = adopt("torchcam_method", "adopt_torchcam", self, obj, model)
        return adopted
