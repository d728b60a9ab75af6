r"""Images per second of a recipe over a data set, against the bare forwards of as many inputs.

The recipe runs as an evaluation does, from files to records: decoding, the model's transform, maps, boxes, cutting, all
forwards, writing. The bare forwards are those of as many inputs as the recipe asked about, which lie in memory, in the
same batches. Both in turn, so that other programs disturb them alike.

    python benchmarks/zoom_speed.py torchvision:squeezenet1_1 squeezenet1_1.pt photos/ --images 500 --repeats 3
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from maskcorrect_plugin import ProbabilityCorrector, evaluate, load_dataset, load_model
from maskcorrect_plugin.datasets import ImageDataset, SampledDataset
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.inference import evaluation_mode
from maskcorrect_plugin.models import LoadedModel


def run(corrector: ProbabilityCorrector, dataset: ImageDataset, loaded: LoadedModel, workers: int) -> tuple[float, int]:
    """Seconds of an evaluation from files to records, and its forwards."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        (records,) = evaluate(
            corrector, dataset, loaded, Path(folder) / "run", options=RecordOptions(), num_workers=workers
        ).values()
        return time.perf_counter() - begun, int(records["forwards"].sum())


def bare(corrector: ProbabilityCorrector, like: torch.Tensor, count: int) -> float:
    """Seconds of so many forwards of inputs in memory, in the engine's batches."""
    size = corrector.engine.batch_size(like)
    inputs = like.unsqueeze(0).repeat(size, 1, 1, 1)
    begun = time.perf_counter()
    with evaluation_mode(corrector.model):
        for start in range(0, count, size):
            corrector.engine.scores(inputs[: min(size, count - start)])
    return time.perf_counter() - begun


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("weights")
    parser.add_argument("data")
    parser.add_argument("--recipe", default="zoom")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--num-workers", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    loaded = load_model(options.model, options.weights)
    dataset = SampledDataset(load_dataset(options.data, class_names=loaded.class_names), options.images)
    corrector = ProbabilityCorrector(loaded.model, recipe=options.recipe, preprocessing=loaded.preprocessing)
    like = dataset.load(0, loaded.transform)
    run(corrector, SampledDataset(dataset, 16), loaded, options.num_workers)  # imports, and the layer is found
    bare(corrector, like, 64)
    print(f"{options.recipe} on {options.model}, {len(dataset)} images, {torch.get_num_threads()} threads")
    print("images a second: bare      run    ratio    forwards an image")
    for _ in range(options.repeats):
        seconds, forwards = run(corrector, dataset, loaded, options.num_workers)
        alone = bare(corrector, like, forwards)
        count = len(dataset)
        print(
            f"{count / alone:21.2f} {count / seconds:8.2f} {100 * alone / seconds:6.1f} % {forwards / count:12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
