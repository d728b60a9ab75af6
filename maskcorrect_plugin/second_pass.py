"""What the network says to what several views show of some images: packed into full batches, equal regions once."""

import os
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .functional import spatial_size
from .inference import PassEngine, check_finite_scores
from .pictures import Box, cut
from .views import ImageBatch, Region, Shown, crop_and_resize

THREADS = 8
"""Processors that cut originals, at most."""


@dataclass
class Answers:
    """Answers that are known already, by image and by what it showed: several recipes share them.

    Attributes:
        probs: (M,) by row in the batch and key.
        seconds: What it took to get each.
        shared: Whether everything is remembered; a single recipe needs the regions alone, which may come again in its
            next block of candidates.
    """

    shared: bool = False
    probs: dict[tuple[int, Hashable], Tensor] = field(default_factory=dict)
    seconds: dict[tuple[int, Hashable], float] = field(default_factory=dict)


class Asked(NamedTuple):
    """What a second pass gave.

    Attributes:
        probs: For each view what the model says, (n,v,M).
        forwards: (n,) int64: forwards that these views take of each image.
        saved: (n,) int64: pictures that took none, because they were equal to another of the image.
        seconds: (n,) float32: what they took.
    """

    probs: list[Tensor]
    forwards: Tensor
    saved: Tensor
    seconds: Tensor


class _Item(NamedTuple):
    """One picture that the network is shown: of which image, of which view, as which of its pictures."""

    row: int
    view: int
    number: int
    key: Hashable


@dataclass(frozen=True)
class Request:
    """One view's pictures of all images.

    Attributes:
        shown: The pictures.
        name: Tells them from those of other views; None where they cannot be those of another recipe.
    """

    shown: Shown
    name: Hashable = None


def ask(
    engine: PassEngine,
    images: ImageBatch,
    probs: Tensor,
    requests: Sequence[Request],
    known: Answers | None = None,
    counted: set[tuple[int, Hashable]] | None = None,
) -> Asked:
    """Predicts on everything that some views show.

    Args:
        engine: Runs the model; the caller holds `evaluation_mode`.
        images: n images.
        probs: ``Y``, (n,M): the answer to the input itself, which is not asked for again as a region.
        requests: What each view shows.
        known: Answers of other recipes on the same images, and of this one.
        counted: What this recipe has asked for before, which it does not pay for again; it is added to.

    Raises:
        ModelOutputError: NaN or infinite scores.
    """
    known = known or Answers()
    paid = set() if counted is None else counted
    rows = images.rows or tuple(range(len(images)))
    items = list(_items(requests, len(images)))
    wanted = {(rows[item.row], item.key): item for item in reversed(items) if item.key != Region()}
    missing = [item for place, item in wanted.items() if place not in known.probs][::-1]
    missing.sort(key=_waits)  # the passes begin with what need not be cut
    given, took = _run(engine, images, requests, missing)
    places = {(rows[item.row], item.key): index for index, item in enumerate(missing)}
    answers = [
        _gathered(items, view, request, (probs, given, places, known, rows)) for view, request in enumerate(requests)
    ]
    forwards, seconds = torch.zeros(len(images), dtype=torch.int64), torch.zeros(len(images))
    for place, item in wanted.items():
        if place not in paid:
            forwards[item.row] += 1
            seconds[item.row] += known.seconds.get(place, took)
    paid.update(wanted)
    saved = sum(request.shown.count for request in requests) - forwards
    kept = {place: index for place, index in places.items() if known.shared or isinstance(place[1], Region)}
    known.probs.update((place, given[index]) for place, index in kept.items())
    known.seconds.update(dict.fromkeys(kept, took))
    return Asked(answers, forwards.to(probs.device), saved.to(probs.device), seconds.to(probs.device))


def _waits(item: _Item) -> bool:
    """Whether a picture has to be cut out of an original."""
    return isinstance(item.key, Region) and item.key.original


def _items(requests: Sequence[Request], count: int) -> Iterator[_Item]:
    """All pictures, image by image."""
    for row in range(count):
        for view, request in enumerate(requests):
            for number in range(request.shown.count):
                regions = request.shown.regions
                name = (view, number) if request.name is None else (request.name, number)
                yield _Item(row, view, number, name if regions is None else regions[row][number])


def _gathered(
    items: list[_Item],
    view: int,
    request: Request,
    sources: tuple[Tensor, Tensor, dict[tuple[int, Hashable], int], Answers, Sequence[int]],
) -> Tensor:
    """The answers of one view, (n,v,M)."""
    probs, given, places, known, rows = sources
    own = [item for item in items if item.view == view]
    indices = [places.get((rows[item.row], item.key)) for item in own]
    if all(index is not None for index in indices):
        gathered = given[torch.tensor(indices, device=given.device)]
    else:
        gathered = torch.stack(
            [
                given[index] if index is not None else _known(item, probs, known, rows)
                for item, index in zip(own, indices, strict=True)
            ]
        )
    return gathered.reshape(len(probs), request.shown.count, -1)


def _known(item: _Item, probs: Tensor, known: Answers, rows: Sequence[int]) -> Tensor:
    return probs[item.row] if item.key == Region() else known.probs[rows[item.row], item.key]


def _run(
    engine: PassEngine, images: ImageBatch, requests: Sequence[Request], items: list[_Item]
) -> tuple[Tensor, float]:
    """``P`` of some pictures, (len(items),M), and the seconds that each took."""
    if not items:
        return images.inputs.new_zeros(0, 0), 0.0
    started = time.perf_counter()
    with _cutting(images, items) as cuts:

        def make_batch(start: int, stop: int) -> tuple[Tensor]:
            return (_pictures(images, requests, items[start:stop], cuts),)

        scores = torch.cat([chunk for _, _, chunk in engine.run(len(items), images.inputs, make_batch)])
    check_finite_scores(scores)
    return engine.probs(scores), (time.perf_counter() - started) / len(items)


@dataclass(frozen=True)
class _Cuts:
    """Boxes of originals: which, and the pixels that they will have, image by image."""

    boxes: dict[int, list[Box]] = field(default_factory=dict)
    pixels: dict[int, "Future[Tensor]"] = field(default_factory=dict)

    def of(self, row: int, box: Box) -> Tensor:
        """One of them, (3,H,W) uint8; waits for it."""
        return self.pixels[row].result()[self.boxes[row].index(box)]


@contextmanager
def _cutting(images: ImageBatch, items: list[_Item]) -> Iterator[_Cuts]:
    """Originals are cut in threads: beside a model on another device, before the passes of one on the CPU."""
    boxes: dict[int, list[Box]] = {}
    for item in items:
        if isinstance(item.key, Region) and item.key.original and item.key.box is not None:
            chosen = boxes.setdefault(item.row, [])
            if item.key.box not in chosen:  # a box and its mirror image
                chosen.append(item.key.box)
    if not boxes or images.preprocessing is None:
        yield _Cuts()
        return
    size, interpolation = spatial_size(images.inputs), images.preprocessing.interpolation
    threads = min(THREADS, len(boxes), os.cpu_count() or 1)
    with ThreadPoolExecutor(threads, thread_name_prefix="maskcorrect-cut") as pool:
        try:
            futures = {
                row: pool.submit(cut, images.picture(row), chosen, size, interpolation) for row, chosen in boxes.items()
            }
            if images.inputs.device.type == "cpu":  # beside the model they would take its cores away
                wait(futures.values())
            yield _Cuts(boxes, futures)
        finally:
            pool.shutdown(cancel_futures=True)


def _pictures(images: ImageBatch, requests: Sequence[Request], items: list[_Item], cuts: _Cuts) -> Tensor:
    """What the network gets for some items, (b,C,H,W)."""
    device = images.inputs.device
    by_view: dict[int, list[int]] = {}
    for position, item in enumerate(items):
        by_view.setdefault(-1 if isinstance(item.key, Region) else item.view, []).append(position)
    parts = []
    for view, positions in by_view.items():
        own = [items[position] for position in positions]
        make = requests[view].shown.make
        if view == -1 or make is None:
            parts.append(_regions(images, own, cuts))
        else:
            rows, numbers = (
                torch.tensor(column, device=device) for column in ([i.row for i in own], [i.number for i in own])
            )
            parts.append(make(rows, numbers))
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([position for positions in by_view.values() for position in positions], device=device)
    return torch.cat(parts)[order.argsort()]


def _regions(images: ImageBatch, items: list[_Item], cuts: _Cuts) -> Tensor:
    """Regions of images at the size of the input, (b,C,H,W)."""
    inputs = images.inputs
    shown = inputs[torch.tensor([item.row for item in items], device=inputs.device)]
    regions = [item.key for item in items if isinstance(item.key, Region)]
    own = [index for index, region in enumerate(regions) if region.box is not None and not region.original]
    if own:
        boxes = torch.tensor([regions[index].box for index in own], device=inputs.device, dtype=inputs.dtype)
        shown[own] = crop_and_resize(shown[own], boxes)
    original = [index for index, region in enumerate(regions) if region.original]
    if original and images.preprocessing is not None:
        boxes_of = [(items[index].row, regions[index].box) for index in original]
        pixels = torch.stack([cuts.of(row, box) for row, box in boxes_of if box is not None])
        shown[original] = images.preprocessing.normalize(pixels).to(inputs)
    mirrored = [index for index, region in enumerate(regions) if region.mirrored]
    if mirrored:
        shown[mirrored] = shown[mirrored].flip(-1)
    return shown


def shown_pictures(images: ImageBatch, shown: Sequence[Shown]) -> list[Tensor]:
    """What the network gets of some images, as `ask` shows it: for figures.

    Args:
        images: n images.
        shown: What each view shows.

    Returns:
        For each view its pictures, (n,v,C,H,W), normalised as the inputs are.
    """
    requests = [Request(each) for each in shown]
    items = list(_items(requests, len(images)))
    with _cutting(images, items) as cuts:
        pictures = _pictures(images, requests, items, cuts) if items else images.inputs[:0]
    of_view = [[place for place, item in enumerate(items) if item.view == view] for view in range(len(requests))]
    shape = pictures.shape[1:]
    return [
        pictures[places].reshape(len(images), request.shown.count, *shape)
        for places, request in zip(of_view, requests, strict=True)
    ]
