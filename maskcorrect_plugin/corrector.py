"""`ProbabilityCorrector`: a classifier corrected by what it says to views of its own images. Maps x views x pool.

The first forward finds the candidates; views of the image, guided by the candidates' maps or not, are shown to the same
network; what it says is pooled with what it said. Which maps, which views and which pool is a `Recipe`.
"""

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from .attribution import AttributionMethod
from .checks import check_int
from .correction import check_required
from .describing import describe, describe_model, is_described
from .errors import ArgumentError, ArgumentTypeError
from .inference import PassEngine, evaluation_mode
from .options import default_of, options_of
from .pictures import Picture
from .recipe import PAPER, SHORT_FORMS, Recipe
from .registry import create_attribution
from .results import CorrectionResult
from .together import correct_together, observing
from .views import ImageBatch, View


class ProbabilityCorrector(nn.Module):
    """Corrects a classifier's probabilities with what it says to views of its own images.

    By default that is the method of Maeng and Baek: Score-CAM, the masked input of each candidate, their weighted sum.
    As a module it is a drop-in for the model: `forward` gives the log of the corrected probabilities.

    Args:
        model: Any classifier from inputs (N,C,H,W) to class scores (N,M). It is run in eval mode and left as it was.
        method: The attribution method, by name or object: see `create_attribution`. None takes the recipe's.
        target_layer: A module or its name; None finds it at the first call.
        recipe: A `Recipe`, its name (``"paper"``, ``"zoom"``, ``"unguided"``), or the path of its file.
        preprocessing: How pictures become inputs: ``load_model(...).preprocessing``, or `Preprocessing.of` a transform
            of one's own. Needed for views that are cut from the original, and for ``fill="black"``.
        dataset: Where the map source ``"control:other_image"`` takes its other images from.
        output: ``"logits"`` if the model returns logits, ``"probs"`` if it returns distributions.
        batch_size: Inputs per forward, or ``"auto"``.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
        channels_last: Hand inputs over in channels_last memory format; ``"auto"`` tries both in long runs.
        compile: `torch.compile` the model for the many passes; ``"auto"`` does so once their number repays it.
        share: Another corrector of the same model, whose engine, and method where it is the same, are used: see
            `correct_together`.
        **overrides: Options of the recipe (``top_k=3``, ``views=("zoom", "hflip")``, ``pool="log"``, ...); ``view=``,
            ``threshold=`` and ``fill=`` as short forms for a recipe of a single view; and the method's own options, for
            example ``preset="grad_cam"``.

    Attributes:
        recipe: What was asked for. A result's recipe also says what ``"auto"`` took and which layer was found.
        views: The views whose weight is not zero, with their weights.
        method: The attribution method; None where no view is guided.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
        ...                           torch.nn.Flatten(), torch.nn.Linear(4, 3))
        >>> result = ProbabilityCorrector(net, "ScoreCAM", target_layer="1", top_k=2).correct(torch.rand(5, 3, 16, 16))
        >>> result.corrected_probs.shape
        torch.Size([5, 3])
    """

    model: nn.Module
    recipe: Recipe
    engine: PassEngine
    method: AttributionMethod | None

    def __init__(
        self,
        model: nn.Module,
        method: Any = None,
        target_layer: str | nn.Module | None = None,
        *,
        recipe: str | os.PathLike[str] | Recipe = PAPER,
        preprocessing: Any = None,
        dataset: Any = None,
        output: str = "logits",
        batch_size: int | str = "auto",
        precision: str = "float32",
        channels_last: bool | str = "auto",
        compile: bool | str = False,
        share: "ProbabilityCorrector | None" = None,
        **overrides: Any,
    ) -> None:
        super().__init__()
        names = {*options_of(Recipe), *SHORT_FORMS}
        changes = {name: overrides.pop(name) for name in names if name in overrides}
        if share is not None and share.model is not model:
            raise ArgumentError("share must be a corrector of the same model, got one of another model")
        self.model = model
        self.preprocessing = preprocessing
        self._strict_top_k = "top_k" in changes
        self.recipe = _recipe(Recipe.of(recipe), method, target_layer, changes, overrides)
        self._strict_top_k |= self.recipe.top_k != default_of(Recipe, "top_k")
        self._layer_by_name = not isinstance(target_layer, nn.Module)
        if self.recipe.fitted_for is not None:
            _check_model(self.recipe.fitted_for, model, preprocessing)
        self.views: tuple[tuple[View, float], ...] = self.recipe.active_views
        if share is not None and (share.engine.output, share.engine.precision) != (output, precision):
            raise ArgumentError(
                f"output and precision must be those of the corrector that is shared, {share.engine.output!r} and "
                f"{share.engine.precision!r}, got {output!r} and {precision!r}"
            )
        self.engine = (
            share.engine
            if share is not None
            else PassEngine(
                model,
                output=output,
                batch_size=batch_size,
                precision=precision,
                channels_last=channels_last,
                compile=compile,
            )
        )
        self.method = None
        if self.recipe.method is not None or self.needs_maps:
            if method is None or isinstance(method, str):
                # As they were given: the recipe has their description, which is no tensor, tuple or function.
                options = {**self.recipe.method_options, **overrides}
                layer = target_layer if isinstance(target_layer, nn.Module) else self.recipe.target_layer
                self.method = self._shared(share, layer) or create_attribution(
                    self.recipe.method, model, layer, **options
                )
            else:
                self.method = create_attribution(method, model, target_layer)
                self.recipe = _described(self.recipe, self.method)
            self._bind(self.method, dataset)

    @classmethod
    def from_file(
        cls, model: nn.Module, path: str | os.PathLike[str], *, preprocessing: Any = None, **options: Any
    ) -> "ProbabilityCorrector":
        """A corrector from the file of a fit, or of a recipe: the same as ``recipe=path``.

        Args:
            model: The model that it was fitted for; another one is refused.
            path: The file.
            preprocessing: How pictures become inputs.
            **options: As for the constructor.
        """
        return cls(model, recipe=path, preprocessing=preprocessing, **options)

    def _shared(self, share: "ProbabilityCorrector | None", layer: str | nn.Module | None) -> AttributionMethod | None:
        """The method of another corrector, where it is the same."""
        if share is None or isinstance(layer, nn.Module) or not share._layer_by_name:
            return None
        return share.method if _maps_of(share.recipe) == _maps_of(self.recipe) else None

    def _bind(self, method: AttributionMethod, dataset: Any) -> None:
        """Hands the method what it may need."""
        if method.model is not self.model:
            raise ArgumentError("method must be bound to the model that is corrected, but it is bound to another one")
        method.use_engine(self.engine)
        if dataset is not None:
            method.use_dataset(dataset, None if self.preprocessing is None else self.preprocessing.transform)

    @property
    def guide(self) -> AttributionMethod:
        """The attribution method, where a view is guided."""
        if self.method is None:
            raise ArgumentError("the recipe has no guided view, so there is no attribution method")
        return self.method

    @property
    def needs_maps(self) -> bool:
        """Whether a view follows maps."""
        return any(view.guided for view, _ in self.views)

    @property
    def needs_pictures(self) -> bool:
        """Whether a view is cut from the original pictures."""
        return any(view.needs_original for view, _ in self.views)

    @property
    def num_views(self) -> int:
        """V: how many pictures of each image the network is shown again, equal ones counted each."""
        return sum(count for _, count in self.recipe.columns(self.recipe.top_k))

    def num_candidates(self, num_classes: int) -> int:
        """K: what was asked for; of the default 5 as many as there are classes.

        Raises:
            ValueError: `top_k` is above the number of classes.
        """
        if not self._strict_top_k:
            return min(self.recipe.top_k, num_classes)
        return check_int("top_k", self.recipe.top_k, 1, num_classes)

    @property
    def resolved_recipe(self) -> Recipe:
        """The recipe with what ``"auto"`` took, the layer that was found and the method's own defaults."""
        return self.recipe if self.method is None else _described(self.recipe, self.method)

    @property
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images, as plain values.

        The options of the recipe, with what ``"auto"`` took, the layer that was found and the method's own defaults;
        and how the model is run.
        """
        resolved = self.resolved_recipe
        context = {} if self.method is None else dict(self.method.context)
        return {**resolved.to_dict(), **context, "output": self.engine.output, "precision": self.engine.precision}

    @property
    def reproducible(self) -> bool:
        """Whether equal settings mean equal numbers; not so with an object whose content cannot be seen."""
        return is_described(self.settings)

    def forward(self, inputs: Tensor | Sequence[Any]) -> Tensor:
        """Log of the corrected probabilities, (N,M): softmax gives them back, argmax is the corrected answer."""
        corrected = self.correct(inputs).corrected_probs
        return corrected.clamp_min(torch.finfo(corrected.dtype).tiny).log()

    def correct(
        self,
        inputs: Tensor | Image.Image | Picture | Sequence[Image.Image | Picture],
        labels: Tensor | Sequence[int] | None = None,
        ids: Sequence[Any] | None = None,
        *,
        keep: Collection[str] = (),
    ) -> CorrectionResult:
        """Corrects a batch. The result of an image does not depend on the others in the batch.

        Args:
            inputs: Tensor (N,C,H,W), normalised as the model expects, or a list of PIL images or of `Picture`,
                which views of the original need.
            labels: The truth, one class per image: only map sources that say so look at it.
            ids: A name for each image: only what draws at random looks at it, to make the same choice again.
            keep: What else to keep: ``"attributions"`` (N,K,H,W), ``"view_probs"`` (N,V,M) and ``"coarse_maps"``
                (N,K,h,w).

        Raises:
            ValueError, TypeError: wrong or non-finite inputs, tensors where a view needs the original, `top_k` above
                the number of classes, unknown `keep`, labels or ids that are not one per image.
            LayerError: the target layer is not found or has no feature maps.
            ModelOutputError: the model does not give finite class scores.
        """
        return correct_together({"": self}, inputs, labels, ids, keep=keep)[""]

    def probe(self, like: Tensor) -> None:
        """One forward of noise in the shape of the images: finds the target layer, and what can never work.

        Args:
            like: Tensor (...,C,H,W); only its shape counts.

        Raises:
            LayerError: no target layer is found, or the method cannot use it.
            ModelOutputError: the model does not give class scores.
            ValueError: `top_k` is above the number of classes; the preprocessing cannot be followed by a view.
        """
        if self.needs_pictures:
            self.check_preprocessing()
        noise = torch.randn(1, *like.shape[-3:], generator=torch.Generator().manual_seed(0))
        noise = self.engine.place(noise)
        with evaluation_mode(self.model), observing([self], noise):
            scores = self.engine.scores(noise)
        self.num_candidates(self.engine.checked_probs(scores).shape[1])

    def check(self, images: ImageBatch) -> None:
        """Refuses what views and maps cannot be made of, before anything is run."""
        for view, _ in self.views:
            view.check(images)
        if self.method is not None:
            check_required(self.method, images)

    def check_preprocessing(self) -> None:
        """Refuses, before any picture is read, a preprocessing that views of the original cannot follow."""
        names = ", ".join(repr(view.name) for view, _ in self.views if view.needs_original)
        if self.preprocessing is None:
            raise ArgumentError(
                f"preprocessing must be given for {names}, cut from the original pictures: "
                "load_model(...).preprocessing, or Preprocessing.of(transform); got None"
            )
        self.preprocessing.check_pictures()


def make_correctors(model: nn.Module, recipes: Mapping[str, Recipe], **options: Any) -> dict[str, ProbabilityCorrector]:
    """A corrector for each recipe, which share one engine, and equal methods: see `correct_together`.

    Args:
        model: The classifier.
        recipes: By name.
        **options: Of `ProbabilityCorrector`, the same for all: ``preprocessing``, ``dataset``, ``output``, ...
    """
    made: dict[str, ProbabilityCorrector] = {}
    for name, recipe in recipes.items():
        alike = (each for each in made.values() if _maps_of(each.recipe) == _maps_of(recipe))
        share = next(alike, next(iter(made.values()), None))
        made[name] = ProbabilityCorrector(model, recipe=recipe, share=share, **options)
    return made


def _recipe(recipe: Recipe, method: Any, target_layer: Any, changes: dict[str, Any], options: dict[str, Any]) -> Recipe:
    """The recipe with everything that was given in its place; of a method given as an object the name comes later."""
    if method is not None:
        name = method if isinstance(method, str) else type(method).__name__
        changes = {"method": name, **changes}
        if not isinstance(method, str):
            if options or target_layer is not None:
                given = ["target_layer"] * (target_layer is not None) + list(options)
                raise ArgumentTypeError(f"a method given as an object has its own settings; remove {', '.join(given)}")
            return recipe.replace(**changes)
    recipe = recipe.replace(**changes)
    if options and recipe.method is None:
        raise ArgumentTypeError(
            f"the recipe has no guided view and no method, so there is no option {', '.join(options)}"
        )
    layer = target_layer if isinstance(target_layer, str) else recipe.target_layer
    known = {**recipe.method_options, **options}
    return recipe.replace(target_layer=layer, method_options=known) if layer or options else recipe


def _check_model(fitted_for: Mapping[str, Any], model: nn.Module, preprocessing: Any) -> None:
    """Refuses a recipe that was fitted for another model, naming what differs."""
    given = describe_model(model, preprocessing)
    names = {
        "class": "class",
        "architecture": "architecture",
        "fingerprint": "weights",
        "preprocessing": "preprocessing",
    }
    known = {name: value for name, value in fitted_for.items() if name in names and value is not None}
    different = [names[name] for name, value in known.items() if given[name] is not None and given[name] != value]
    if different:
        spec = fitted_for.get("spec")
        raise ArgumentError(
            f"the recipe was fitted for {f'{spec!r}, ' if spec else ''}another model: {', '.join(different)} "
            f"{'differ' if len(different) > 1 else 'differs'}; fit one for this model ('maskcorrect fit')"
        )


def _maps_of(recipe: Recipe) -> tuple[Any, ...]:
    return recipe.method, recipe.method_options, recipe.target_layer


def _described(recipe: Recipe, method: AttributionMethod) -> Recipe:
    """The recipe with the method as it describes itself."""
    own = dict(method.settings)
    name, layer = str(own.pop("method", type(method).__name__)), own.pop("target_layer", None)
    return dataclasses.replace(recipe, method=name, target_layer=layer, method_options=describe(own))
