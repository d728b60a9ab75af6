"""What half precision does to the maps and to the corrected answers of real photos.

    python benchmarks/precision.py --weights DIR --photos *.jpg --networks squeezenet1_1 mobilenet_v2

Every photo is corrected by Score-CAM in float32 and in each other precision. Compared are the maps of the K candidates
of the float32 run (those that the other run has among its candidates, too), the corrected probabilities and the
answers before and after correction. Deviations count in each pixel.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from speed_networks import LAYERS, SUFFIXES
from torch import Tensor

from maskcorrect_plugin import CorrectionResult, LoadedModel, ProbabilityCorrector, load_model
from maskcorrect_plugin.images import read_image

KEEP = ("attributions",)


def correct(loaded: LoadedModel, layer: str, photos: Sequence[Path], precision: str) -> CorrectionResult:
    """The photos' results in one precision."""
    corrector = ProbabilityCorrector(loaded.model, "ScoreCAM", layer, precision=precision)
    inputs = (loaded.transform(read_image(photo)).unsqueeze(0) for photo in photos)
    return CorrectionResult.cat([corrector.correct(image, keep=KEEP) for image in inputs])


def maps_of_same_classes(exact: CorrectionResult, other: CorrectionResult) -> tuple[Tensor, Tensor]:
    """Maps (n,H*W) of the classes that are candidates in both."""
    if exact.attributions is None or other.attributions is None:
        raise ValueError("the maps were not kept")
    same = exact.candidates[:, :, None] == other.candidates[:, None, :]
    row, first, second = same.nonzero().unbind(dim=1)
    return exact.attributions[row, first].flatten(1), other.attributions[row, second].flatten(1)


def correlations(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each pair of maps; flat ones are left out."""
    first, second = (maps - maps.mean(dim=1, keepdim=True) for maps in (first, second))
    norms = first.norm(dim=1) * second.norm(dim=1)
    return ((first * second).sum(dim=1) / norms)[norms > 0]


def compare(exact: CorrectionResult, other: CorrectionResult) -> list[str]:
    """The cells of one row."""
    first, second = maps_of_same_classes(exact, other)
    correlation = correlations(first, second)
    answers = [
        f"{int((a.argmax(dim=1) == b.argmax(dim=1)).sum())}/{len(a)}"
        for a, b in ((exact.probs, other.probs), (exact.corrected_probs, other.corrected_probs))
    ]
    furthest = float((exact.corrected_probs - other.corrected_probs).abs().max())
    return [
        f"{float(correlation.mean()):.5f}",
        f"{float(correlation.min()):.4f}",
        f"{float((first - second).abs().mean()):.4f}",
        f"{float((first - second).abs().max()):.3f}",
        f"{furthest:.4f}",
        *answers,
    ]


def main() -> None:
    """Prints one row for each network and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(LAYERS), default=["squeezenet1_1"], metavar="NAME")
    parser.add_argument("--weights", type=Path, required=True, help="folder with squeezenet1_1.pt and the like")
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="image files")
    parser.add_argument("--precisions", nargs="+", default=["bfloat16"], help="bfloat16, float16")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    head = ["network", "precision", "mean r", "worst r", "mean deviation", "largest", "largest of a probability"]
    print(f"| {' | '.join([*head, 'same answer', 'same corrected answer'])} |\n|{' --- |' * 9}")
    for name in options.networks:
        weights = next(file for end in SUFFIXES if (file := options.weights / (name + end)).is_file())
        loaded = load_model(f"torchvision:{name}", weights=weights, device=torch.device(options.device))
        exact = correct(loaded, LAYERS[name], options.photos, "float32")
        for precision in options.precisions:
            other = correct(loaded, LAYERS[name], options.photos, precision)
            print(f"| {' | '.join([name, precision, *compare(exact, other)])} |", flush=True)


if __name__ == "__main__":
    main()
