"""Score-CAM by pytorch-grad-cam, by torchcam and by this package, and the bare network: one command, one table.

    python benchmarks/speed.py --weights DIR --photos a.jpg b.jpg --output speed.json
    python benchmarks/speed.py --device cuda --output speed-cuda.json
    python benchmarks/speed.py --quick

For each network every contender makes the maps of the same classes of the same photo at the same layer, each at the
batch size that a short search finds to be its best, one after the other and round after round. Ratios are taken within
a round, and their median is reported. Memory is measured in processes of their own. The table goes to stdout as
Markdown, everything that was measured to ``--output``.

On two cores the whole takes more than an hour, which is why only squeezenet1_1 is asked about all channels of its
layer: on the other networks a layer with 16 of the channels stands for it (``--channels`` sets another number).
``--runs`` and ``--passes`` make it shorter. The libraries repeat all passes for each class, so their time for K
classes is that of the first K of the largest K.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from speed_contenders import GRAD_CAM, TORCHCAM, Contender
from speed_memory import measure_memory
from speed_networks import LAYERS, TINY, load_subject
from speed_table import markdown
from speed_timing import Job, time_network

from maskcorrect_plugin.versions import versions

FEW_CHANNELS = 16
MEMORY = ("squeezenet1_1", "mobilenet_v2", "resnet50")
"""Networks whose memory is measured."""


def plan(options: argparse.Namespace) -> list[Job]:
    """Which networks are timed, and how."""
    if options.quick:
        return [Job(TINY, None, (1, 3), 2, compiled=False)]
    top_k = tuple(options.top_k)
    few_channels = options.channels or FEW_CHANNELS
    jobs = [Job(name, few_channels, top_k, options.runs, passes=options.passes) for name in options.networks]
    if options.channels is None and options.networks[0] == "squeezenet1_1":
        few = tuple(k for k in top_k if k <= 5) or top_k
        jobs.insert(0, Job("squeezenet1_1", None, few, options.runs))
    return jobs


def in_a_process(task: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Runs one task of `work` in a fresh process, so that nothing is left of what was measured before."""
    given = {"device": options.device, "weights": options.weights, "photos": options.photos, "threads": options.threads}
    command = [sys.executable, __file__, "--task", json.dumps({**task, **given}, default=str)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603  (this very file)
    if done.returncode:
        raise SystemExit(f"measuring {task} failed with exit status {done.returncode}; its messages are above")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def work(task: dict[str, Any]) -> dict[str, Any]:
    """What a process does: times one network, or measures the memory of one contender."""
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    weights = None if task["weights"] is None else Path(task["weights"])
    subject = load_subject(task["network"], weights, [Path(p) for p in task["photos"]], torch.device(task["device"]))
    if task["kind"] == "memory":
        return measure_memory(subject, Contender(task["contender"], batch_size=16))
    names = ("network", "channels", "top_k", "runs", "compiled", "passes")
    return time_network(Job(**{name: task[name] for name in names}), subject)


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Where and with what it was measured, and how busy the machine was."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line), cpu)
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": options.threads or torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
        "system": platform.platform(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "versions": versions(["torch", "torchvision", "pytorch_grad_cam", "torchcam"]),
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Everything, in order; what is done so far is written after each part."""
    report: dict[str, Any] = {"machine": machine(options), "timing": [], "memory": []}
    for job in plan(options):
        print(f"timing {job.network}, {job.channels or 'all'} channels", file=sys.stderr, flush=True)
        report["timing"].append(in_a_process({"kind": "timing", **asdict(job)}, options))
        save(report, options.output)
    networks = [TINY] if options.quick else [name for name in MEMORY if name in options.networks]
    for network in networks:
        print(f"memory of {network}", file=sys.stderr, flush=True)
        for contender in (GRAD_CAM, TORCHCAM, "float32"):
            measured = in_a_process({"kind": "memory", "network": network, "contender": contender}, options)
            report["memory"].append({"network": network, "contender": contender, **measured})
        save(report, options.output)
    report["machine"]["load_after"] = [round(value, 1) for value in os.getloadavg()]
    save(report, options.output)
    return report


def save(report: dict[str, Any], path: Path | None) -> None:
    """Writes the report, whole or not at all."""
    if path is not None:
        part = path.with_suffix(".part")
        part.write_text(json.dumps(report, indent=1), encoding="utf-8")
        part.replace(path)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(LAYERS), default=list(LAYERS), metavar="NAME")
    parser.add_argument("--weights", help="folder with squeezenet1_1.pt and the like; without, weights are random")
    parser.add_argument("--photos", nargs="+", default=[], help="image files; noise without")
    parser.add_argument("--top-k", nargs="+", type=int, default=[1, 5, 10], help="numbers of classes")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--channels", type=int, help="how many channels of each network's layer count")
    parser.add_argument("--passes", type=int, default=256, help="of ours in one go, where few channels count")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="threads of the CPU; torch's own choice without")
    parser.add_argument("--output", type=Path, help="JSON file for everything that was measured")
    parser.add_argument("--quick", action="store_true", help="a smoke test with a tiny network: seconds, no figures")
    parser.add_argument("--table", type=Path, help="only print the table of an earlier --output")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> None:
    """Measures and prints."""
    options = parse()
    if options.task:
        print(json.dumps(work(json.loads(options.task))))
    else:
        table = options.table
        print(markdown(json.loads(table.read_text(encoding="utf-8")) if table else run(options)))


if __name__ == "__main__":
    main()
