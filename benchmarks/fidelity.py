"""How close Score-CAM with a budget of masks comes to exact Score-CAM, and what it saves.

    python benchmarks/fidelity.py photos/ --weights squeezenet1_1.pt
    python benchmarks/fidelity.py photos/ --model torchvision:mobilenet_v2 --weights mobilenet_v2.safetensors \
        --budgets 64,128 --start 100 --count 60

Each photo is corrected once exactly and once with each budget, one after the other on the same machine. Printed, and
kept as JSON in the output folder with the figures of each photo, rewritten after each of them:

- Pearson correlation of maps with the exact ones, over all candidates of all photos: mean, 5th percentile and worst,
  and the same for the most probable class alone. Two flat maps agree, a flat map and another one do not;
- corrected answers that are the same;
- forwards of a whole correction, and the median over photos of the ratio of times.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from maskcorrect_plugin import CorrectionResult, LoadedModel, ProbabilityCorrector, load_model
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.images import find_images, load_batch
from maskcorrect_plugin.versions import versions

EXACT = "exact"
HEAD = (
    "masks",
    "forwards",
    "correlation: mean",
    "5 %",
    "worst",
    "first class: mean",
    "worst",
    "same answers",
    "times faster",
)


@dataclass
class Row:
    """What one budget did, photo by photo.

    Attributes:
        masks: The budget, or ``"exact"``.
        correlations: Of the maps of the K candidates with the exact ones.
        answers: The class after correction.
        forwards: Of the whole correction.
        seconds: Of the whole correction.
    """

    masks: str
    correlations: list[list[float]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    forwards: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, result: CorrectionResult, exact: CorrectionResult, seconds: float) -> None:
        """One more photo."""
        self.correlations.append(pearson(result.attributions[0], exact.attributions[0]).tolist())
        self.answers.append(int(result.corrected_prediction))
        self.forwards.append(int(result.forwards))
        self.seconds.append(seconds)

    def summary(self, exact: "Row") -> dict[str, float]:
        """The figures of the table."""
        values = torch.tensor(self.correlations, dtype=torch.float64)
        same = sum(mine == theirs for mine, theirs in zip(self.answers, exact.answers, strict=True))
        ratios = [theirs / mine for mine, theirs in zip(self.seconds, exact.seconds, strict=True)]
        return {
            "forwards": statistics.mean(self.forwards),
            "mean": float(values.mean()),
            "percentile_5": float(values.flatten().quantile(0.05)),
            "worst": float(values.min()),
            "first_mean": float(values[:, 0].mean()),
            "first_worst": float(values[:, 0].min()),
            "same": same / len(self.answers),
            "times_faster": statistics.median(ratios),
        }


def pearson(maps: Tensor, others: Tensor) -> Tensor:
    """Correlation of each map (K,H,W) with its counterpart, (K,)."""
    maps, others = (values.double().flatten(1) for values in (maps, others))
    maps, others = (values - values.mean(dim=1, keepdim=True) for values in (maps, others))
    norms, other_norms = maps.norm(dim=1), others.norm(dim=1)
    both_flat = (norms == 0) & (other_norms == 0)
    product = norms * other_norms
    return torch.where(
        product > 0, (maps * others).sum(dim=1) / torch.where(product > 0, product, 1), both_flat.double()
    )


def timed(corrector: ProbabilityCorrector, inputs: Tensor) -> tuple[CorrectionResult, float]:
    """A correction on the host, and its seconds."""
    start = time.perf_counter()
    result = corrector.correct(inputs, keep=("attributions",)).to("cpu")
    return result, time.perf_counter() - start


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [HEAD, ("---", *["---:"] * (len(HEAD) - 1))]
    for row in rows:
        one = row.summary(rows[0])
        figures = (f"{one[name]:.3f}" for name in ("mean", "percentile_5", "worst", "first_mean", "first_worst"))
        lines.append(
            (row.masks, f"{one['forwards']:.0f}", *figures, f"{one['same']:.1%}", f"{one['times_faster']:.2f}")
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def numbers(text: str) -> list[int]:
    """``"32,64"`` as numbers."""
    return [int(part) for part in text.split(",")]


def measure(loaded: LoadedModel, photos: Sequence[Path], options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """All photos, one by one; what is done so far stands in the output folder. Gives the names of the photos, too."""
    common: dict[str, Any] = {"target_layer": options.target_layer, "top_k": options.top_k, "preset": options.preset}
    correctors = {EXACT: ProbabilityCorrector(loaded.model, "ScoreCAM", **common)}
    for budget in options.budgets:
        correctors[str(budget)] = ProbabilityCorrector(loaded.model, "ScoreCAM", max_masks=budget, **common)
    rows = {name: Row(name) for name in correctors}
    about = describe(loaded, options)
    print(about)
    done: list[str] = []
    for photo in tqdm(photos, unit="photo"):
        batch = load_batch([photo], loaded.transform)
        for path, reason in batch.failures:
            tqdm.write(f"left out: {path}: {reason}")
        if not batch.kept:
            continue
        if not done:  # finds the layer, warms up
            for corrector in correctors.values():
                corrector.probe(batch.inputs)
            timed(correctors[str(min(options.budgets))], batch.inputs)
        exact, seconds = timed(correctors[EXACT], batch.inputs)
        rows[EXACT].add(exact, exact, seconds)
        for name, corrector in correctors.items():
            if name != EXACT:
                result, seconds = timed(corrector, batch.inputs)
                rows[name].add(result, exact, seconds)
        done.append(photo.relative_to(options.photos).as_posix())
        write(options.output, about, correctors[EXACT].settings, done, list(rows.values()))
    return list(rows.values()), done


def describe(loaded: LoadedModel, options: argparse.Namespace) -> str:
    """Under what conditions the figures came about."""
    weights = "RANDOM weights" if loaded.weights is None else f"weights {Path(loaded.weights).name}"
    device = next(loaded.model.parameters()).device
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    where = f"torch {torch.__version__}, {hardware}, {torch.get_num_threads()} threads"
    return f"{loaded.spec}, {weights}, preset {options.preset}, K = {options.top_k}, one photo at a time. {where}."


def write(folder: Path, about: str, settings: Any, photos: Sequence[str], rows: Sequence[Row]) -> None:
    """``fidelity.json``, whole or not there."""
    values = {
        "about": about,
        "settings": settings,
        "versions": versions(),
        "summary": {row.masks: row.summary(rows[0]) for row in rows},
        "photos": list(photos),
        "rows": [asdict(row) for row in rows],
    }
    content = json.dumps(values).encode()
    write_atomically(folder / "fidelity.json", lambda file: file.write(content))


def main() -> None:
    """Reads the arguments, measures, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of image files, taken in the order of their names")
    parser.add_argument("--model", default="torchvision:squeezenet1_1", help="as for maskcorrect correct")
    parser.add_argument("--weights", help="weights file; random weights without")
    parser.add_argument("--budgets", type=numbers, default="32,64,128", help="values of max_masks, with commas")
    parser.add_argument("--start", type=int, default=0, help="photos left out at the beginning")
    parser.add_argument("--step", type=int, default=1, help="take one photo in so many, where they are sorted by class")
    parser.add_argument("--count", type=int, default=100, help="photos to measure on")
    parser.add_argument("--top-k", type=int, default=5, help="candidates")
    parser.add_argument("--preset", default="official", help="definition of Score-CAM")
    parser.add_argument("--target-layer", help="name of the layer; found without")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("maskcorrect-fidelity"), help="folder")
    options = parser.parse_args()
    torch.manual_seed(0)
    loaded = load_model(options.model, weights=options.weights, device=options.device)
    photos = find_images(options.photos)[options.start :: options.step][: options.count]
    if not photos:
        parser.error(f"no photo is left in {options.photos} after the first {options.start}")
    rows, done = measure(loaded, photos, options)
    if not done:
        parser.error(f"no photo in {options.photos} could be read")
    print(f"{len(rows[0].answers)} photos, {done[0]} to {done[-1]}\n\n{table(rows)}\n")
    print(f"fidelity.json is in {options.output}")


if __name__ == "__main__":
    main()
