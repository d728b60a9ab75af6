"""The backend of pytorch-grad-cam: its CAM classes for classifiers, by name and by object."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo
from maskcorrect_plugin.errors import ArgumentError

from .arguments import as_layers
from .loading import adopt, load


def _info(
    name: str, summary: str, forwards: str = "0", backwards: str = "0", *, class_aware: bool = True
) -> MethodInfo:
    return MethodInfo(name, summary, class_aware, forwards, backwards, float64=False)


_INFOS = {
    info.name: info
    for info in (
        _info("GradCAM", "channels weighted by their mean gradient (Selvaraju et al. 2017)", backwards="K"),
        _info("HiResCAM", "gradient times activation, summed over channels (Draelos & Carin 2020)", backwards="K"),
        _info("GradCAMElementWise", "positive part of gradient times activation, summed over channels", backwards="K"),
        _info(
            "GradCAMPlusPlus", "channels weighted by second-order gradients (Chattopadhyay et al. 2018)", backwards="K"
        ),
        _info("XGradCAM", "channels weighted by activation-scaled gradients (Fu et al. 2020)", backwards="K"),
        _info("AblationCAM", "channels weighted by the drop without them (Desai & Ramaswamy 2020)", "1 + C"),
        _info("ScoreCAM", "channels weighted by the score of the image masked with them (Wang et al. 2020)", "C"),
        _info("LayerCAM", "activations weighted by their positive gradients (Jiang et al. 2021)", backwards="K"),
        _info("EigenCAM", "first principal component of the activations (Muhammad & Yeasin 2020)", class_aware=False),
        _info("EigenGradCAM", "first principal component of gradient times activation", backwards="K"),
        _info("FullGrad", "gradients of the input and of all biases (Srinivas & Fleuret 2019)", "K", "K"),
        _info("RandomCAM", "random channel weights: a control", class_aware=False),
        _info(
            "KPCA_CAM", "first kernel principal component of the activations (Karmani et al. 2024)", class_aware=False
        ),
        _info("FEM", "activations above their mean by two deviations (Fuad et al. 2020)", class_aware=False),
        _info("ShapleyCAM", "gradient and Hessian-vector product weights (Cai 2025)", "K", "2 K"),
        _info("FinerCAM", "Grad-CAM of the difference to the most similar classes (Zhang et al. 2025)", backwards="K"),
        _info("SegEigenCAM", "sign-corrected principal component of |gradient| times activation", backwards="K"),
    )
}

OTHERS = {
    "RefineCAM": "it needs several target layers; adopt the object or pass target_layers to its base method",
    "SESS": "a wrapper that cuts the image, not a CAM class",
    "DeepFeatureFactorization": "it gives concepts, not maps of classes",
    "GuidedBackpropReLUModel": "not a CAM class; captum:GuidedBackprop is the same method",
}
"""Classes of the library that are no methods here, and why."""


class GradCamBackend(AttributionBackend):
    """pytorch-grad-cam (distribution ``grad-cam``)."""

    name: ClassVar[str] = "pytorch_grad_cam"
    library: ClassVar[str | None] = "pytorch_grad_cam"
    install: ClassVar[str | None] = 'pip install "maskcorrect-plugin[grad-cam]"'
    catalogue: ClassVar[Mapping[str, MethodInfo]] = _INFOS

    def create(
        self,
        method: str,
        model: nn.Module,
        target_layer: str | nn.Module | None = None,
        *,
        target_layers: list[str | nn.Module] | None = None,
        reshape_transform: str | Callable[[Tensor], Tensor] | None = "auto",
        eigen_smooth: bool = False,
        aug_smooth: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> AttributionMethod:
        """Binds a CAM class to a model.

        Args:
            method: Name of the class.
            model: The classifier.
            target_layer: A module or its name; None finds it at the first call. FullGrad ignores it: it uses every
                bias.
            target_layers: Several of them, whose maps the library averages.
            reshape_transform: ``"auto"``, ``"vit"``, ``"swin"``, a callable or None.
            eigen_smooth: The library's own smoothing by the first principal component.
            aug_smooth: The library's own test-time augmentation, six forwards and backwards per class.
            seed: Of random numbers (RandomCAM), for each image anew.
            **options: What the class's constructor takes: ``batch_size``, ``ratio_channels_to_ablate`` (AblationCAM),
                ``kernel``, ``gamma`` (KPCA_CAM), ``k`` (FEM), ``base_method`` (FinerCAM); and, for FinerCAM,
                ``alpha`` and ``comparison_categories`` of its call. ``batch_size`` is understood for ScoreCAM, too.
        """
        library = load("grad_cam_method", self)
        info = self.info(method)
        layers = as_layers(target_layer, target_layers)
        cls = getattr(importlib.import_module("pytorch_grad_cam"), method, None)
        if cls is None:
            raise ArgumentError(
                f"the installed version of pytorch-grad-cam has no {method}; upgrade it: {self.install}"
            )
        method_object: AttributionMethod = library.GradCamMethod(
            model,
            cls,
            info,
            layers,
            options,
            reshape_transform=reshape_transform,
            eigen_smooth=eigen_smooth,
            aug_smooth=aug_smooth,
            seed=seed,
        )
        return method_object

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps the user's own object, with its layers and options.

        The object's hooks are taken off the model, where they would keep every activation of every forward, and come
        back while the object itself is called: it goes on working.
        """
        adopted: AttributionMethod | None = adopt("grad_cam_method", "adopt_grad_cam", self, obj, model)
        return adopted
