"""The backend of Captum: the attribution methods that make sense as maps, by name and by object."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from maskcorrect_plugin.attribution import AttributionBackend, AttributionMethod, MethodInfo

from .loading import adopt, load

_INFOS = {
    info.name: info
    for info in (
        MethodInfo("LayerGradCam", "Grad-CAM: channels weighted by their mean gradient", True, "K", "K"),
        MethodInfo("GuidedGradCam", "Grad-CAM times guided backpropagation", True, "2 K", "2 K"),
        MethodInfo("Saliency", "absolute input gradient (Simonyan et al. 2014)", True, "1", "K"),
        MethodInfo("InputXGradient", "input times gradient (Shrikumar et al. 2016)", True, "1", "K"),
        MethodInfo(
            "IntegratedGradients", "gradients along the path from zero (Sundararajan et al. 2017)", True, "50 K", "50 K"
        ),
        MethodInfo("DeepLift", "contributions against a zero baseline (Shrikumar et al. 2017)", True, "2 K", "2 K"),
        MethodInfo("GuidedBackprop", "gradients, positive ones only at each ReLU", True, "K", "K"),
        MethodInfo("Deconvolution", "deconvolution of positive signals (Zeiler & Fergus 2014)", True, "K", "K"),
        MethodInfo("Occlusion", "drop of the score where a window hides the image, W windows", True, "1 + W"),
        MethodInfo("FeatureAblation", "drop of the score without each of 49 cells of a grid", True, "50"),
        MethodInfo("GradientShap", "expected gradients at 8 random points on the path from zero", True, "8 K", "8 K"),
        MethodInfo(
            "LRP", "layer-wise relevance propagation, for networks without residual additions", True, "2 K", "K"
        ),
        MethodInfo("NoiseTunnel", "mean of a method's maps of 8 noisy copies (SmoothGrad)", True, "8 K", "8 K"),
    )
}


class CaptumBackend(AttributionBackend):
    """Captum (``captum.attr``)."""

    name: ClassVar[str] = "captum"
    library: ClassVar[str | None] = "captum"
    install: ClassVar[str | None] = "pip install captum"
    catalogue: ClassVar[Mapping[str, MethodInfo]] = _INFOS

    def create(
        self,
        method: str,
        model: nn.Module,
        target_layer: str | nn.Module | None = None,
        *,
        sign: str | None = None,
        base: str = "Saliency",
        seed: int = 0,
        **options: Any,
    ) -> AttributionMethod:
        """Binds a class of Captum to a model.

        Args:
            method: Name of the class.
            model: The classifier.
            target_layer: A module or its name, for LayerGradCam and GuidedGradCam; None finds it at the first call.
                The others read the input and ignore it.
            sign: How values become a map: ``"positive"`` sums the colour channels and keeps what speaks for the class,
                ``"absolute"`` sums their absolute values. None takes the method's own: see `captum_method.SIGNS`.
            base: For NoiseTunnel: the method that it wraps.
            seed: Of random numbers (GradientShap, NoiseTunnel), for each image anew.
            **options: What the class's ``attribute`` takes, such as ``n_steps`` or ``sliding_window_shapes``. Defaults
                for what it requires are in `captum_method.default_options`.
        """
        create = load("captum_method", self).create_captum
        created: AttributionMethod = create(
            model, self.info(method), target_layer, options, sign=sign, base=base, seed=seed
        )
        return created

    def adopt(self, obj: Any, model: nn.Module) -> AttributionMethod | None:
        """Wraps the user's own object, its bound ``attribute``, or a `functools.partial` of that with arguments.

        Example:
            ``create_attribution(functools.partial(IntegratedGradients(model).attribute, n_steps=20), model)``
        """
        adopted: AttributionMethod | None = adopt("captum_method", "adopt_captum", self, obj, model)
        return adopted
