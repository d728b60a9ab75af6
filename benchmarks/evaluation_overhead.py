"""What an evaluation costs beside its forwards: reading images, records, pictures and statistics.

Corrects the same images twice in turn, as tensors that are already there and by `evaluate` from their files into a new
run with its summary, and compares the processor time of this process (other programs disturb it less than the clock).

    python benchmarks/evaluation_overhead.py torchvision:squeezenet1_1 squeezenet1_1.pt photos/ --images 16 --repeats 3
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from maskcorrect_plugin import ImageDataset, LoadedModel, ProbabilityCorrector, load_dataset, load_model
from maskcorrect_plugin.commands.run_report import report, write_summary
from maskcorrect_plugin.datasets import SampledDataset
from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET


def times_of(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of processor and of clock."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - processor, time.perf_counter() - clock


def evaluate_all(
    corrector: ProbabilityCorrector, dataset: ImageDataset, loaded: LoadedModel, options: RecordOptions
) -> None:
    """One run from nothing to its summary."""
    with tempfile.TemporaryDirectory() as path:
        evaluation = Evaluation({"method": corrector}, dataset, loaded, options)
        folder = evaluation.open(Path(path) / "run")
        evaluation.run(folder)
        _, document = report(folder, PAPER_SUBSET)
        write_summary(folder, document, keep_existing=False)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("weights")
    parser.add_argument("data")
    parser.add_argument("--method", default="ScoreCAM")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    loaded = load_model(arguments.model, arguments.weights)
    whole = load_dataset(arguments.data, class_names=loaded.class_names)
    dataset = SampledDataset(whole, arguments.images)
    inputs = torch.stack([dataset.load(index, loaded.transform) for index in range(len(dataset))])
    corrector = ProbabilityCorrector(loaded.model, arguments.method)
    options = RecordOptions(thumbnails=200)
    corrector.correct(inputs[:1])
    evaluate_all(corrector, SampledDataset(whole, 1), loaded, options)  # imports
    print(f"{arguments.method} on {arguments.model}, {len(inputs)} images, {arguments.threads} threads")
    print("processor: bare    run  overhead    clock: bare    run  (seconds)")
    overheads = []
    for _ in range(arguments.repeats):
        bare, bare_clock = times_of(lambda: corrector.correct(inputs))
        run, run_clock = times_of(lambda: evaluate_all(corrector, dataset, loaded, options))
        overheads.append(run / bare - 1)
        print(f"{bare:15.2f} {run:6.2f} {100 * overheads[-1]:8.2f}% {bare_clock:14.2f} {run_clock:6.2f}", flush=True)
    spread = f", standard deviation {100 * stdev(overheads):.2f}" if len(overheads) > 1 else ""
    each = f"{1000 * mean(overheads) * bare / len(inputs):.1f} ms an image"
    print(f"overhead {100 * mean(overheads):.2f} % of processor time{spread}; {each}")


if __name__ == "__main__":
    main()
