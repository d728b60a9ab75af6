"""Checks of what a method returns: names, shape, range, type, and that every way to ask gives the same maps."""

from typing import Any

import torch
from torch import Tensor

from maskcorrect_plugin.attribution import AttributionMethod, MethodInfo
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import MaskCorrectError
from maskcorrect_plugin.inference import evaluation_mode

from .case import NUM_CLASSES, SIZE, Case, check, expect, expect_equal, seed_everything


@check
def check_names(case: Case) -> None:
    """The backend has a name; its methods are unique strings; `info` agrees with them."""
    names = case.backend.methods()
    name = getattr(case.backend, "name", None)
    expect(isinstance(name, str) and name.isidentifier(), f"backend.name must be an identifier, found {name!r}")
    expect(
        isinstance(names, tuple) and all(isinstance(item, str) and item for item in names),
        f"methods() must be a tuple of strings, found {names!r}",
    )
    expect(len(set(names)) == len(names), f"methods() must not repeat a name, found {names!r}")
    expect(case.method in names, f"methods() does not hold {case.method!r}, found {names!r}")
    info = case.backend.info(case.method)
    expect(isinstance(info, MethodInfo), f"info() must be a MethodInfo, found {type(info).__name__}")
    expect(info.name == case.method, f"info().name must be {case.method!r}, found {info.name!r}")


@check
def check_create(case: Case) -> None:
    """`create` gives an `AttributionMethod` that is bound to the model."""
    model = case.network()
    method = case.create(model)
    expect(isinstance(method, AttributionMethod), f"create() must give an AttributionMethod, found {type(method)}")
    expect(method.model is model, "create() must bind the method to the model itself, found another one")


@check
def check_settings(case: Case) -> None:
    """`settings` holds plain values, so that it can stand in records."""
    settings = case.create(case.network()).settings
    plain = isinstance(settings, dict) and all(isinstance(key, str) and _plain(settings[key]) for key in settings)
    expect(plain, f"settings must be a dict of plain values, found {settings!r}")


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


@check
def check_shape(case: Case) -> None:
    """`attribute` gives (N,1,H,W) at the inputs' resolution."""
    for count in (1, 3):
        maps = case.attribute(count=count)
        expected = (count, 1, *SIZE)
        expect(tuple(maps.shape) == expected, f"maps must have shape {expected}, found {tuple(maps.shape)}")


@check
def check_range(case: Case) -> None:
    """Maps are finite and lie in [0, 1]."""
    for target in range(NUM_CLASSES):
        _expect_range(case.attribute(target), f"maps of class {target}")


@check
def check_no_information(case: Case) -> None:
    """A network whose last feature maps are all zero still gets finite maps in [0, 1]: never NaN."""
    model = case.network()
    last = model.get_submodule("conv2")
    for parameter, value in zip(last.parameters(), (0.0, -1.0), strict=True):
        parameter.data.fill_(value)
    _expect_range(case.attribute(model=model), "maps of a network with dead feature maps")


def _expect_range(maps: Tensor, what: str) -> None:
    expect(bool(torch.isfinite(maps).all()), f"{what} must be finite, found NaN or infinite values")
    low, high = float(maps.min()), float(maps.max())
    expect(low >= 0 and high <= 1, f"{what} must lie in [0, 1], found values from {low:.4g} to {high:.4g}")


@check
def check_dtype(case: Case) -> None:
    """Maps are float32; float64 for a float64 model, unless ``MethodInfo.float64`` is False."""
    for dtype in (torch.float32, torch.float64) if case.info.float64 else (torch.float32,):
        maps = case.create(case.network(dtype)).attribute(case.images(dtype=dtype), 1)
        wide_enough = maps.dtype in (dtype, torch.float64)
        expect(wide_enough, f"maps of a {dtype} model must be {dtype} at least, found {maps.dtype}")


@check
def check_half_precision(case: Case) -> None:
    """A bfloat16 model gets finite maps in at least float32, or a clear ValueError or TypeError."""
    try:
        maps = case.create(case.network(torch.bfloat16)).attribute(case.images(), 1)
    except MaskCorrectError:
        return
    expect(maps.dtype in (torch.float32, torch.float64), f"maps must be float32 at least, found {maps.dtype}")
    expect(bool(torch.isfinite(maps).all()), "maps of a bfloat16 model must be finite, found NaN or infinite values")


@check
def check_device(case: Case) -> None:
    """Maps are on the inputs' device."""
    maps, images = case.attribute(), case.images()
    expect(maps.device == images.device, f"maps must be on {images.device}, found {maps.device}")


@check
def check_detached(case: Case) -> None:
    """Maps carry no graph, also where the inputs require gradients."""
    maps = case.create(case.network()).attribute(case.images().requires_grad_(), 1)
    expect(not maps.requires_grad, "maps must be detached, found requires_grad=True")


@check
def check_repeatable(case: Case) -> None:
    """Two calls give the same maps: whatever the random state, or from equal seeds if not `deterministic`."""
    method, images = case.create(case.network()), case.images()
    seed_everything(1)
    first = method.attribute(images, 1)
    seed_everything(2 if case.info.deterministic else 1)
    expect_equal(method.attribute(images, 1), first, "a second call")


@check
def check_int_target(case: Case) -> None:
    """One int for a batch is the same as a tensor of N of them."""
    expected = case.attribute(2)
    expect_equal(case.attribute(torch.full((3,), 2, device=case.device)), expected, "target=2 and a tensor of twos")


@check
def check_candidates(case: Case) -> None:
    """`attribute_candidates` gives (N,K,H,W), equal to K calls of `attribute`."""
    method, images, candidates = case.create(case.network()), case.images(), case.candidates()
    found = method.attribute_candidates(images, candidates)
    shape = (*candidates.shape, *SIZE)
    expect(tuple(found.shape) == shape, f"attribute_candidates must give shape {shape}, found {tuple(found.shape)}")
    if case.info.deterministic:
        columns = [method.attribute(images, column) for column in candidates.unbind(dim=1)]
        expect_equal(found, torch.cat(columns, dim=1), "attribute_candidates and K calls of attribute")


@check
def check_stream(case: Case) -> None:
    """`stream_candidates` gives the maps of `attribute_candidates` in order, whatever the size of the blocks."""
    method, images, candidates = case.create(case.network()), case.images(), case.candidates()
    expected = method.attribute_candidates(images, candidates)
    for block in (1, 2, 3, 8):
        blocks = list(method.stream_candidates(images, candidates, block=block))
        sizes = [maps.shape[1] for maps in blocks]
        expect(max(sizes) <= block, f"blocks must hold at most {block} candidates, found {sizes}")
        found = torch.cat(blocks, dim=1)
        expect(found.shape == expected.shape, f"blocks of {block} join to {tuple(found.shape)}")
        if case.info.deterministic:
            expect_equal(found, expected, f"stream_candidates with block={block} and attribute_candidates")


@check
def check_coarse(case: Case) -> None:
    """`render` makes of `stream_coarse` the maps of `stream_candidates`."""
    if not case.info.deterministic:
        return
    method, images, candidates = case.create(case.network()), case.images(), case.candidates()
    expected = torch.cat(list(method.stream_candidates(images, candidates, block=2)), dim=1)
    coarse = torch.cat(list(method.stream_coarse(images, candidates, block=2)), dim=1)
    expect(coarse.ndim == 4, f"coarse maps must be (N,K,h,w), found {tuple(coarse.shape)}")
    found = method.render(coarse, (images.shape[-2], images.shape[-1]))
    expect_equal(found, expected, "render of stream_coarse and stream_candidates")


@check
def check_observation(case: Case) -> None:
    """What `observe` kept of somebody else's forward gives the same maps as no observation."""
    if case.info.deterministic:
        found, expected = _observed(case, None)
        expect_equal(found, expected, "maps with an observation and without")


@check
def check_observation_select(case: Case) -> None:
    """``observation.select(rows)`` gives the maps of these rows."""
    if case.info.deterministic:
        found, expected = _observed(case, torch.tensor([2, 0], device=case.device))
        expect_equal(found, expected, "maps with observation.select(rows) and of these rows alone")


def _observed(case: Case, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    model, images, candidates = case.network(), case.images(), case.candidates()
    method = case.create(model)
    with evaluation_mode(model):
        with method.observe(images) as observation:
            model(images)
        if rows is not None:
            images, candidates, observation = images[rows], candidates[rows], observation.select(rows)
        found = method.attribute_candidates(images, candidates, observation)
    return found, method.attribute_candidates(images, candidates)


@check
def check_batch(case: Case) -> None:
    """The maps of one image do not depend on the others in its batch."""
    if not case.info.deterministic:
        return
    method, images = case.create(case.network()), case.images()
    target = torch.tensor([0, 3, 1], device=case.device)
    alone = [method.attribute(images[row : row + 1], target[row : row + 1]) for row in range(len(images))]
    expect_equal(method.attribute(images, target), torch.cat(alone), "a batch and one image at a time")


@check
def check_class_aware(case: Case) -> None:
    """Maps of different classes differ, or are equal where the method is declared not `class_aware`."""
    maps = [case.attribute(target) for target in range(NUM_CLASSES)]
    largest = max(float((other - maps[0]).abs().max()) for other in maps[1:])
    if case.info.class_aware:
        expect(largest > 1e-3, "maps of all classes are equal; declare it with MethodInfo(class_aware=False)")
    else:
        expect(largest < 1e-3, f"declared class_aware=False, but maps of two classes differ by {largest:.3g}")


@check
def check_correction(case: Case) -> None:
    """`ProbabilityCorrector` runs with the method, and its corrected rows sum to 1."""
    model = case.network()
    corrector = ProbabilityCorrector(model, case.create(model), top_k=3, batch_size=2)
    probs = corrector.correct(case.images()).corrected_probs
    sums = probs.sum(dim=-1)
    found = f"rows of corrected_probs must sum to 1, found {sums.tolist()}"
    expect(probs.shape == (3, NUM_CLASSES) and bool(((sums - 1).abs() < 1e-5).all()), found)
