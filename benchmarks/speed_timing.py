"""Timing one network: every contender in turn, round after round, in one process."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from speed_contenders import GRAD_CAM, TORCHCAM, Contender, Session, at_input_size, bare_forward
from speed_networks import Subject
from torch import Tensor

SIZES = {"cpu": (8, 16, 32), "cuda": (32, 64, 128, 256)}
"""Batch sizes that are tried for each contender."""
TOGETHER = 4
"""Photos that are done together by what is meant for a data set."""
BARE_INPUTS = 64
"""Inputs by which the bare network is timed."""


@dataclass(frozen=True)
class Job:
    """One network's part of the benchmark.

    Attributes:
        network: Its name.
        channels: How many of the layer's channels count; None for all.
        top_k: The numbers of classes.
        runs: Rounds, in each of which every contender runs once.
        compiled: Whether the compiled network takes part.
        passes: Where few channels count, ours does as many photos together as this takes; from 256 on BatchNorm is
            folded.
    """

    network: str
    channels: int | None
    top_k: Sequence[int]
    runs: int
    compiled: bool = True
    passes: int = 256


def contenders(job: Job, live: int, device: str) -> list[Contender]:
    """Who takes part: both peers, and ours in several settings."""
    images = 1 if job.channels is None else max(1, -(-job.passes // live))
    half = ("bfloat16", "float16") if device == "cuda" else ("bfloat16",)
    ours = [Contender(name, {"precision": name}, images=images) for name in ("float32", *half)]
    if job.channels is None:
        ours += [Contender(f"float32, preset {preset}", {"preset": preset}) for preset in ("grad_cam", "torchcam")]
    if job.compiled:
        options = {"precision": half[-1], "compile": True}
        ours.append(Contender(f"{half[-1]}, compiled", options, images=max(images, TOGETHER)))
    return [Contender(GRAD_CAM), Contender(TORCHCAM), *ours]


def time_network(job: Job, subject: Subject) -> dict[str, Any]:
    """Seconds of every contender in every round, and what they stand for."""
    subject.probe.channels = job.channels
    live, channels = channels_of(subject)
    classes = top_classes(subject, max(job.top_k))
    chosen = [with_best_size(c, subject, job) for c in contenders(job, live, subject.inputs.device.type)]
    differences = compare_maps(subject, chosen, classes[0])
    results = {c.name: _describe(c) for c in chosen}
    with contextlib.ExitStack() as stack:
        ours = {c.name: stack.enter_context(c.open(subject)) for c in chosen if not c.is_peer}
        for name, session in ours.items():
            results[name]["first_seconds"] = _time(session, subject, classes, job.top_k[-1:])[job.top_k[-1]]["seconds"]
        for _ in range(job.runs):
            for contender in chosen:
                taken = _round(contender, ours.get(contender.name), subject, classes, job.top_k)
                results[contender.name]["rounds"].append(taken)
                if not contender.is_peer:
                    bare = time_bare(subject, contender.batch_size, contender.precision)
                    results[contender.name]["bare_seconds"].append(bare)
    about = {"network": job.network, "weights": subject.weights, "inputs": subject.shown, "channels": channels}
    used = {"channels_used": job.channels or channels, "live": live, "top_k": list(job.top_k)}
    return {**about, **used, "differences": differences, "contenders": results}


def _describe(contender: Contender) -> dict[str, Any]:
    lists: dict[str, Any] = {"rounds": []} if contender.is_peer else {"rounds": [], "bare_seconds": []}
    kept = {"peer": contender.is_peer, "options": contender.options, "images": contender.images}
    return {**kept, "batch_size": contender.batch_size, **lists}


def _round(
    contender: Contender, session: Session | None, subject: Subject, classes: Sequence[int], top_k: Sequence[int]
) -> dict[int, dict[str, float]]:
    """Seconds and forwards of one photo, for each number of classes."""
    if session is None:
        with contender.open(subject) as peer:  # one class after the other: fewer classes are a part of more
            return _time(peer, subject, classes, top_k)
    taken = {}
    for k in top_k:
        measured = _time(session, subject, classes[:k], (k,))[k]
        taken[k] = {name: value / contender.images for name, value in measured.items()}
    return taken


def _time(
    session: Session, subject: Subject, classes: Sequence[int], stops: Sequence[int]
) -> dict[int, dict[str, float]]:
    taken, forwards, begun = {}, session.forwards(), now(subject)
    for done, _ in enumerate(session.ask(classes), start=1):
        if done in stops:
            taken[done] = {"seconds": now(subject) - begun, "forwards": session.forwards() - forwards}
    return taken


def now(subject: Subject) -> float:
    """Seconds, after what was asked of a GPU is done."""
    if subject.inputs.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def time_bare(subject: Subject, size: int, precision: str, inputs: int = BARE_INPUTS) -> float:
    """Seconds for each input of the bare network."""
    forward, rounds = bare_forward(subject, size, precision), max(2, -(-inputs // size))
    forward()
    begun = now(subject)
    for _ in range(rounds):
        forward()
    return (now(subject) - begun) / (rounds * size)


def with_best_size(contender: Contender, subject: Subject, job: Job) -> Contender:
    """The contender with the batch size at which a forward takes the least time, with channels for one full batch."""
    tried = {name: value for name, value in contender.options.items() if name != "compile"}  # each would be compiled
    seconds: dict[int, float] = {}
    for size in SIZES[subject.inputs.device.type]:
        subject.probe.channels = size
        with replace(contender, options=tried, batch_size=size, images=1).open(subject) as session:
            _time(session, subject, [0], (1,))
            measured = _time(session, subject, [0], (1,))[1]
        seconds[size] = measured["seconds"] / measured["forwards"]
    subject.probe.channels = job.channels
    return replace(contender, batch_size=min(seconds, key=seconds.__getitem__))


def top_classes(subject: Subject, count: int) -> list[int]:
    """The most probable classes of the first photo."""
    scores = bare_forward(subject, 1, "float32")()[0]
    return [int(index) for index in scores.argsort(descending=True)[:count]]


def channels_of(subject: Subject) -> tuple[int, int]:
    """For the first photo, live channels among those that count, and all channels of the layer."""
    seen: list[Tensor] = []
    handle = subject.probe.register_forward_hook(lambda _module, inputs, output: seen.extend([inputs[0], output]))
    bare_forward(subject, 1, "float32")()
    handle.remove()
    everything, used = seen
    return int((used.amax((-2, -1)) > used.amin((-2, -1))).sum()), everything.shape[1]


def compare_maps(subject: Subject, chosen: Sequence[Contender], target: int) -> dict[str, float]:
    """The largest difference of one map between each peer and our preset that is named after it, in float32."""
    differences = {}
    for peer, preset in zip(chosen, ("grad_cam", "torchcam"), strict=False):
        maps = []
        for contender in (peer, Contender("ours", {"preset": preset}, peer.batch_size)):
            with contender.open(subject) as session:
                maps.append(at_input_size(next(session.ask([target])).cpu(), subject.inputs))
        differences[peer.name] = float((maps[0] - maps[1]).abs().max())
    return differences
