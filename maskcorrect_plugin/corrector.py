"""`ProbabilityCorrector`: a classifier corrected by what it says to views of its own images. Maps x views x pool.

The first forward finds the candidates; views of the image, guided by the candidates' maps or not, are shown to the same
network; what it says is pooled with what it said. Which maps, which views and which pool is a `Recipe`.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from .attribution import AttributionMethod, Observation
from .checks import check_inputs, check_int, check_target
from .correction import BatchWork, check_required, correct_batch
from .describing import describe, describe_model, is_described
from .errors import ArgumentError, ArgumentTypeError
from .inference import PassEngine, evaluation_mode
from .options import default_of, options_of
from .pictures import Picture
from .recipe import PAPER, SHORT_FORMS, Recipe
from .registry import create_attribution
from .results import CorrectionResult, check_keep
from .rgb import to_rgb, upright
from .second_pass import Answers
from .views import ImageBatch, View

PICTURES_AT_ONCE = 32
"""Pictures that are turned into inputs at a time, where a list of them is given."""


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
        self.model = model
        self.preprocessing = preprocessing
        self._strict_top_k = "top_k" in changes
        self.recipe = _recipe(Recipe.of(recipe), method, target_layer, changes, overrides)
        self._strict_top_k |= self.recipe.top_k != default_of(Recipe, "top_k")
        if self.recipe.fitted_for is not None:
            _check_model(self.recipe.fitted_for, model, preprocessing)
        self.views: tuple[tuple[View, float], ...] = self.recipe.active_views
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
        self.method: AttributionMethod | None = None
        if self.recipe.method is not None or self.needs_maps:
            self._bind(method, target_layer, share, dataset)

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

    def _bind(
        self, method: Any, target_layer: str | nn.Module | None, share: "ProbabilityCorrector | None", dataset: Any
    ) -> None:
        """Makes the method, or takes that of another corrector where it is the same."""
        recipe = self.recipe
        by_name = method is None or isinstance(method, str)
        layer = target_layer if isinstance(target_layer, nn.Module) else recipe.target_layer
        if by_name and share is not None and share.method is not None and _maps_of(share.recipe) == _maps_of(recipe):
            self.method = share.method
            return
        given = recipe.method if by_name else method
        options = dict(recipe.method_options) if by_name else {}
        self.method = create_attribution(given, self.model, layer if by_name else target_layer, **options)
        if self.method.model is not self.model:
            raise ArgumentError("method must be bound to the model that is corrected, but it is bound to another one")
        if not by_name:
            self.recipe = _described(recipe, self.method)
        self.method.use_engine(self.engine)
        if dataset is not None:
            self.method.use_dataset(dataset, None if self.preprocessing is None else self.preprocessing.transform)

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
    def settings(self) -> dict[str, Any]:
        """What a result depends on besides model and images, as plain values.

        The options of the recipe, with what ``"auto"`` took, the layer that was found and the method's own defaults;
        and how the model is run.
        """
        resolved = self.recipe if self.method is None else _described(self.recipe, self.method)
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
            inputs: Tensor (N,C,H,W), normalised as the model expects, or a list of PIL images or `Picture`s, which
                views of the original need.
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
            self._check_preprocessing()
        noise = torch.randn(1, *like.shape[-3:], generator=torch.Generator().manual_seed(0))
        noise = self.engine.place(noise)
        with evaluation_mode(self.model), _observing([self], noise):
            scores = self.engine.scores(noise)
        self.num_candidates(self.engine.checked_probs(scores).shape[1])

    def check(self, images: ImageBatch) -> None:
        """Refuses what views and maps cannot be made of, before anything is run."""
        for view, _ in self.views:
            view.check(images)
        if self.method is not None:
            check_required(self.method, images)

    def _check_preprocessing(self) -> None:
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


def correct_together(
    correctors: Mapping[str, ProbabilityCorrector],
    inputs: Tensor | Image.Image | Picture | Sequence[Image.Image | Picture],
    labels: Tensor | Sequence[int] | None = None,
    ids: Sequence[Any] | None = None,
    *,
    keep: Collection[str] = (),
) -> dict[str, CorrectionResult]:
    """Several corrections of the same images, which share the first forward, maps and equal views.

    Only correctors of `make_correctors`, or made with ``share=``, have an engine in common; others are run one after
    the other. Forwards and seconds of each result are what it takes by itself.

    Args:
        correctors: By name.
        inputs: As for `ProbabilityCorrector.correct`.
        labels: Likewise.
        ids: Likewise.
        keep: Likewise.

    Raises:
        ValueError, TypeError: as for `ProbabilityCorrector.correct`.
    """
    kept = check_keep(keep)
    groups: dict[tuple[int, int], dict[str, ProbabilityCorrector]] = {}
    for name, corrector in correctors.items():
        groups.setdefault((id(corrector.engine), id(corrector.preprocessing)), {})[name] = corrector
    results: dict[str, CorrectionResult] = {}
    for group in groups.values():
        parts = [_correct_images(group, images, kept) for images in _batches(group, inputs, labels, ids)]
        results.update({name: CorrectionResult.cat([part[name] for part in parts]) for name in group})
    return {name: results[name] for name in correctors}


def _correct_images(
    group: Mapping[str, ProbabilityCorrector], images: ImageBatch, keep: frozenset[str]
) -> dict[str, CorrectionResult]:
    """Correctors with one engine on one batch, in chunks that fit into memory."""
    members = list(group.values())
    first = members[0]
    for corrector in members:
        corrector.check(images)
    results: dict[str, list[CorrectionResult]] = {name: [] for name in group}

    def attempt(start: int, stop: int) -> tuple[Tensor, dict[int, Observation], float]:
        begun = time.perf_counter()
        some = images.inputs[start:stop]
        with _observing(members, some) as seen:
            scores = first.engine.scores(some)
        return scores, seen, (time.perf_counter() - begun) / (stop - start)

    with evaluation_mode(first.model):
        for start, stop, (scores, seen, seconds) in first.engine.chunks(len(images), images.inputs, attempt):
            chunk = images.select(torch.arange(start, stop, device=images.inputs.device))
            chunk = dataclasses.replace(chunk, rows=())
            work = BatchWork(chunk, first.engine.checked_probs(scores), seen, seconds, Answers(shared=len(group) > 1))
            for name, corrector in group.items():
                results[name].append(correct_batch(corrector, work, keep))
    return {name: CorrectionResult.cat(parts) for name, parts in results.items()}


@contextlib.contextmanager
def _observing(correctors: Collection[ProbabilityCorrector], inputs: Tensor) -> Any:
    """All methods watch the same forward; gives what each keeps of it, by the method's identity."""
    methods = {id(each.method): (each.method, each.engine) for each in correctors if each.method is not None}
    with contextlib.ExitStack() as stack:
        seen: dict[int, Observation] = {}
        for key, (method, engine) in methods.items():
            method.use_engine(engine)  # again: a method given as an object may serve several correctors
            seen[key] = stack.enter_context(method.observe(inputs))
        yield seen


def _batches(
    group: Mapping[str, ProbabilityCorrector], inputs: Any, labels: Any, ids: Sequence[Any] | None
) -> list[ImageBatch] | Any:
    """What was given as batches on the model's device: tensors at once, pictures some at a time."""
    members = list(group.values())
    if isinstance(inputs, Tensor):
        check_inputs(inputs)
        truth = _truth(labels, ids, len(inputs))
        return [_batch(members[0], inputs, None, truth, ids)]
    given = [inputs] if isinstance(inputs, Image.Image | Picture) else inputs
    _check_pictures(given)
    truth = _truth(labels, ids, len(given))
    return _picture_batches(members, given, truth, ids)


def _picture_batches(
    members: list[ProbabilityCorrector], given: Sequence[Any], truth: Tensor | None, ids: Sequence[Any] | None
) -> Any:
    first = members[0]
    if first.preprocessing is None:
        raise ArgumentError(
            "preprocessing must be given where inputs are pictures: load_model(...).preprocessing, or "
            "Preprocessing.of(transform); got None. Tensors (N,C,H,W) need none"
        )
    wanted = any(corrector.needs_pictures for corrector in members)
    if wanted:
        first._check_preprocessing()
    for start in range(0, len(given), PICTURES_AT_ONCE):
        some = slice(start, start + PICTURES_AT_ONCE)
        loaded = [each if isinstance(each, Picture) else _loaded(first, each, wanted) for each in given[some]]
        tensors = [each.inputs if isinstance(each, Picture) else each for each in loaded]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise ArgumentError(f"the preprocessing must give inputs of one shape, got {sorted(shapes)}")
        inputs = check_inputs(torch.stack(tensors))
        pictures = [each for each in loaded if isinstance(each, Picture)] if wanted else None
        yield _batch(
            first, inputs, pictures, None if truth is None else truth[some], None if ids is None else ids[some]
        )


def _loaded(corrector: ProbabilityCorrector, image: Image.Image, wanted: bool) -> Picture | Tensor:
    """A picture with its original where a view wants it, else the input alone."""
    preprocessing = corrector.preprocessing
    made: Picture | Tensor = preprocessing.picture(image) if wanted else preprocessing(to_rgb(upright(image)))
    return made


def _batch(
    corrector: ProbabilityCorrector,
    inputs: Tensor,
    pictures: Sequence[Picture] | None,
    truth: Tensor | None,
    ids: Sequence[Any] | None,
) -> ImageBatch:
    placed = corrector.engine.place(inputs)
    return ImageBatch(
        placed,
        None if pictures is None else tuple(pictures),
        corrector.preprocessing,
        None if ids is None else tuple(ids),
        None if truth is None else truth.to(placed.device),
    )


def _check_pictures(given: Any) -> None:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ArgumentTypeError(
            f"inputs must be a torch.Tensor (N,C,H,W) or a list of PIL images or Pictures, got {type(given).__name__}"
        )
    if not given:
        raise ArgumentError("inputs must hold at least one picture, got none")
    for index, each in enumerate(given):
        if not isinstance(each, Image.Image | Picture):
            raise ArgumentTypeError(
                f"inputs must be PIL images or Pictures, but inputs[{index}] is {type(each).__name__}"
            )


def _truth(labels: Any, ids: Sequence[Any] | None, count: int) -> Tensor | None:
    if ids is not None and len(ids) != count:
        raise ArgumentError(f"ids must hold one name per image ({count}), got {len(ids)}")
    return None if labels is None else check_target(labels, count, name="labels")


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
    return recipe.method_spec, recipe.target_layer


def _described(recipe: Recipe, method: AttributionMethod) -> Recipe:
    """The recipe with the method as it describes itself."""
    own = dict(method.settings)
    name, layer = str(own.pop("method")), own.pop("target_layer", None)
    return dataclasses.replace(recipe, method=name, target_layer=layer, method_options=describe(own))
