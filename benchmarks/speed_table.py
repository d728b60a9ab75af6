"""The report of the speed benchmark as Markdown."""

import statistics
from collections.abc import Sequence
from typing import Any

from speed_contenders import GRAD_CAM, TORCHCAM


def markdown(report: dict[str, Any]) -> str:
    """Machine, a table for each network, and memory."""
    parts = [describe(report["machine"]), *(network_table(timing) for timing in report["timing"])]
    return "\n\n".join([*parts, memory_table(report["memory"])]) + "\n"


def describe(machine: dict[str, Any]) -> str:
    """One line on where it was measured."""
    names = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} threads of {machine['cores']} cores"
    load = f"load average {machine['load'][0]}" + (f" to {machine['load_after'][0]}" if "load_after" in machine else "")
    return f"{where} ({machine['instructions']}), {load}. {names}."


def network_table(timing: dict[str, Any]) -> str:
    """All contenders on one network."""
    limited = timing["channels_used"] < timing["channels"]
    some = f"{timing['channels_used']} of {timing['channels']} channels, {timing['live']} of them live"
    agreement = ", ".join(f"{name} {value:.1e}" for name, value in timing["differences"].items())
    lines = [
        f"### {timing['network']}" + (f", {timing['channels_used']} channels" if limited else ""),
        "",
        f"{timing['weights']} weights, {timing['inputs']}; {some}. Largest difference of a map from the library's, "
        f"float32: {agreement}.",
        "",
        *table_head("contender", "K", "batch", "forwards", "seconds", f"/ {GRAD_CAM}", f"/ {TORCHCAM}", "of the limit"),
    ]
    for name, contender in timing["contenders"].items():
        lines += [row(_cells(name, contender, str(k), timing["contenders"])) for k in timing["top_k"]]
    return "\n".join(lines)


def _cells(name: str, contender: dict[str, Any], k: str, everyone: dict[str, Any]) -> list[str]:
    """One row: medians of seconds, and of ratios within a round."""
    own = [entry[k] for entry in contender["rounds"]]
    seconds = statistics.median(entry["seconds"] for entry in own)
    batch = str(contender["batch_size"])
    cells = [name, k, batch, f"{own[0]['forwards']:g}", f"{seconds:.2f}"]
    if contender["peer"]:
        return [*cells, "", "", ""]
    together = f" ({contender['images']} photos)" if contender["images"] > 1 else ""
    ratios = [f"{ratio(everyone[peer], contender, k):.1f}" for peer in (GRAD_CAM, TORCHCAM)]
    return [name + together, *cells[1:], *ratios, f"{100 * share_of_limit(contender, k):.0f} %"]


def ratio(peer: dict[str, Any], contender: dict[str, Any], k: str) -> float:
    """How many times longer the peer takes: median over the rounds."""
    pairs = zip(peer["rounds"], contender["rounds"], strict=True)
    return statistics.median(theirs[k]["seconds"] / ours[k]["seconds"] for theirs, ours in pairs)


def share_of_limit(contender: dict[str, Any], k: str) -> float:
    """Time of the bare network for as many inputs, as a share of the time that was taken: median over the rounds."""
    pairs = zip(contender["bare_seconds"], contender["rounds"], strict=True)
    return statistics.median(bare * ours[k]["forwards"] / ours[k]["seconds"] for bare, ours in pairs)


def memory_table(memory: Sequence[dict[str, Any]]) -> str:
    """Peak memory above the loaded network."""
    if not memory:
        return ""
    lines = [
        "### Peak memory",
        "",
        f"MiB above what is held after one batch of the bare network; all channels, K = 1, batches of "
        f"{memory[0]['batch_size']}, stopped after {memory[0]['forwards']} forwards.",
        "",
        *table_head("network", "contender", "host", "device"),
    ]
    for entry in memory:
        sizes = ["" if entry[kind] is None else f"{entry[kind]:.0f}" for kind in ("host", "device")]
        lines.append(row([entry["network"], entry["contender"], *sizes]))
    return "\n".join(lines)


def table_head(*names: str) -> list[str]:
    """Names of the columns, numbers to the right."""
    return [row(names), row(["---" if name in ("contender", "network") else "---:" for name in names])]


def row(cells: Sequence[str]) -> str:
    """One line of the table."""
    return f"| {' | '.join(cells)} |"
