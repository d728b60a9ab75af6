"""Peak memory of one contender, in a process of its own."""

import resource
from pathlib import Path
from typing import Any

import torch
from speed_contenders import Contender, bare_forward
from speed_networks import Subject
from torch import nn

BATCH_SIZE = 16
"""The same for all, since memory depends on it."""
FORWARDS = 128
"""Masked inputs after which it is stopped: masks have been made by then, and memory no longer grows unless it leaks."""


class EnoughSeen(Exception):
    """Raised out of the network when so many inputs have gone through."""


def measure_memory(subject: Subject, contender: Contender) -> dict[str, Any]:
    """MiB above what the process and the device hold once the network has run one batch of the same size.

    All channels count. On Linux the kernel's high-water mark is reset before, so that loading does not count.
    """
    bare_forward(subject, BATCH_SIZE, contender.precision)()
    handle = stop_after(subject.model, FORWARDS)
    cuda = subject.inputs.device.type == "cuda"
    before = _reset_peak(cuda)
    try:
        with contender.open(subject) as session:
            for _ in session.ask([0]):
                pass
    except EnoughSeen:
        pass
    peak = _peak(cuda)
    handle.remove()
    host, device = (round((after - start) / 2**20, 1) for after, start in zip(peak, before, strict=True))
    return {"host": host, "device": device if cuda else None, "batch_size": BATCH_SIZE, "forwards": FORWARDS}


def stop_after(model: nn.Module, inputs: int) -> torch.utils.hooks.RemovableHandle:
    """Makes the network raise `EnoughSeen` once more than so many inputs have gone through."""
    seen = [0]

    def count(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen[0] += len(arguments[0])
        if seen[0] > inputs:
            raise EnoughSeen

    return model.register_forward_pre_hook(count)


def _reset_peak(cuda: bool) -> tuple[int, int]:
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    return _peak(cuda)


def _peak(cuda: bool) -> tuple[int, int]:
    """Bytes on the host and on the device."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        host = int(line.split()[1]) * 1024
    else:  # elsewhere the peak includes loading, and macOS counts in bytes
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return host, torch.cuda.max_memory_allocated() if cuda else 0
