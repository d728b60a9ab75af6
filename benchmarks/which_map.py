r"""Which attribution method's map is worth most? By the likelihood that its zoom adds to views without a map.

Every method's recipe shows the same unguided views and two zooms by its merged map. Weights of the unguided views alone
and of all six are fitted by cross-validation on the same images; the difference of the log-likelihood of the true class
is what the map is worth. A random map and another image's map show what a zoom is worth whose map knows nothing.

    python benchmarks/which_map.py --data pets/labels.csv --data photos/labels.csv --limit 180 --output runs \
        --figure docs/images/which-map.png --network "torchvision:squeezenet1_1 squeezenet1_1.pt" \
        --network "torchvision:mobilenet_v2 mobilenet_v2.safetensors"
"""

import argparse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from results import load

from maskcorrect_plugin import LoadedModel, Recipe, evaluate, load_dataset, make_correctors
from maskcorrect_plugin.datasets import SampledDataset
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.text import p_text
from maskcorrect_plugin.fitting.answers import ViewAnswers, read_answers
from maskcorrect_plugin.fitting.validation import cross_validated, holm, log_likelihood, stratified_folds, two_sided
from maskcorrect_plugin.recipe import UNGUIDED, ZOOM
from maskcorrect_plugin.visualization import save_figure
from maskcorrect_plugin.visualization.charts import chart_axes, figure_of, plain_frame
from maskcorrect_plugin.visualization.palette import COLORS, INK, styled

if TYPE_CHECKING:
    import pandas as pd

METHODS = {
    "CAM": "CAM",
    "Score-CAM (64 masks)": "ScoreCAM[max_masks=64]",
    "Grad-CAM": "pytorch_grad_cam:GradCAM",
    "Grad-CAM plus plus": "pytorch_grad_cam:GradCAMPlusPlus",
    "HiResCAM": "pytorch_grad_cam:HiResCAM",
    "LayerCAM": "pytorch_grad_cam:LayerCAM",
    "EigenCAM": "pytorch_grad_cam:EigenCAM",
    "Feature ablation": "captum:FeatureAblation",
    "Occlusion": "captum:Occlusion",
    "Input x gradient": "captum:InputXGradient",
    "another image's CAM": "control:other_image[of=CAM]",
    "a random map": "control:random_map",
}
"""Name in the table -> method."""
ZOOMS = tuple(view for view in ZOOM.views if str(view).startswith("zoom"))


def run(loaded: LoadedModel, data: Path, limit: int, output: Path) -> "dict[str, pd.DataFrame]":
    """The records of each method's recipe on one data set."""
    dataset = load_dataset(str(data), class_names=loaded.class_names)
    chosen = SampledDataset(dataset, limit) if limit < len(dataset) else dataset
    recipes = {name: Recipe(views=(*ZOOMS, *UNGUIDED.views)).replace(method=method) for name, method in METHODS.items()}
    correctors = make_correctors(loaded.model, recipes, preprocessing=loaded.preprocessing, dataset=chosen)
    folder = output / f"which-map-{data.parent.name}-{loaded.spec.replace(':', '.')}"
    options = RecordOptions(distributions="float32", images_per_part=8)
    return evaluate(correctors, chosen, loaded, folder, options=options, show_progress=True)


def worth(records: "Mapping[str, list[pd.DataFrame]]") -> dict[str, LikelihoodGain]:
    """What each method's zooms add to the unguided views, on the images of all data sets together."""
    import pandas as pd

    found = {}
    for name, frames in records.items():
        recipe = Recipe(views=(*ZOOMS, *UNGUIDED.views)).replace(method=METHODS[name])
        answers = read_answers(pd.concat(frames, ignore_index=True), recipe)
        folds = stratified_folds(answers.classes)
        zooms = len(ZOOMS)
        without = _fitted(answers.of_views(range(zooms, len(answers.views))), folds)
        found[name] = LikelihoodGain.of(without, _fitted(answers, folds))
    return found


def _fitted(answers: ViewAnswers, folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of the true class under weights fitted on the other folds, (N,)."""
    probs: NDArray[np.float64] = np.exp(log_likelihood(cross_validated(answers, folds, "log"), answers.labels))
    return probs


def table(gains: Mapping[str, LikelihoodGain]) -> list[str]:
    """Markdown, the most valuable map first."""
    adjusted = dict(zip(gains, holm([two_sided(gain.z) for gain in gains.values()]), strict=True))
    lines = ["| map | log-likelihood added | standard error | z | Holm p |", "| --- | --- | --- | --- | --- |"]
    for name, gain in sorted(gains.items(), key=lambda item: -item[1].mean):
        lines.append(f"| {name} | {gain.mean:+.4f} | {gain.error:.4f} | {gain.z:+.1f} | {p_text(adjusted[name])} |")
    return lines


def draw(worths: Mapping[str, Mapping[str, LikelihoodGain]], path: Path) -> None:
    """Gains with one standard error, a row for each method, a colour for each network."""
    names = list(reversed(METHODS))
    marks = [("o", COLORS["after"]), ("s", COLORS["before"]), ("D", COLORS["fixed"])]
    with styled():
        axes = chart_axes(7.0, 0.26 * len(names), left=2.6, right=0.1, above=0.35, below=0.45)
        plain_frame(axes, "top", "right", "left")
        axes.axvline(0, color=INK, linewidth=0.6)
        for (network, gains), (mark, color), shift in zip(worths.items(), marks, (0.14, -0.14, 0), strict=False):
            axes.errorbar(
                [gains[name].mean for name in names],
                np.arange(len(names)) + shift,
                xerr=[gains[name].error for name in names],
                fmt=mark,
                color=color,
                markersize=4,
                capsize=2,
                linewidth=1,
                label=network,
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("log-likelihood of the true class that two zooms by this map add to views without a map")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    save_figure(figure_of(axes), path)


def main() -> None:
    """Runs and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", required=True, help="'SPEC WEIGHTS [MEAN STD]'; several times")
    parser.add_argument("--data", action="append", required=True, type=Path, help="a manifest; several times")
    parser.add_argument("--limit", type=int, default=180, help="images of each data set at most")
    parser.add_argument("--output", required=True, type=Path, help="folder of the runs")
    parser.add_argument("--figure", type=Path, help="where the figure goes")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    worths = {}
    for text in options.network:
        loaded = load(text)
        records: dict[str, list[pd.DataFrame]] = {name: [] for name in METHODS}
        for data in options.data:
            for name, frame in run(loaded, data, options.limit, options.output).items():
                records[name].append(frame)
        worths[loaded.spec] = worth(records)
        count = sum(map(len, next(iter(records.values()))))
        print(f"\n{loaded.spec}, {count} pictures\n", *table(worths[loaded.spec]), sep="\n", flush=True)
    if options.figure is not None:
        draw(worths, options.figure)


if __name__ == "__main__":
    main()
