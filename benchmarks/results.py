r"""What recipes do to the answers of real networks on real pictures: the tables of docs/results.md.

Each network corrects each data set by several recipes at once, in one run that is kept and resumes where it was
stopped. The recipes are the named ones with closed-form CAM; nothing is chosen on the pictures.

    python benchmarks/results.py --data pets/labels.csv --data photos/labels.csv --output runs \
        --network "torchvision:squeezenet1_1 squeezenet1_1.pt" \
        --network "timm:tf_efficientnet_lite0 efficientnet_lite0.safetensors 0.498,0.498,0.498 0.502,0.502,0.502"
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maskcorrect_plugin import LoadedModel, Recipe, evaluate, load_dataset, load_model, make_correctors
from maskcorrect_plugin.evaluation.metrics import LikelihoodGain
from maskcorrect_plugin.evaluation.paired_methods import compare_corrected
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET
from maskcorrect_plugin.evaluation.text import p_text

if TYPE_CHECKING:
    import pandas as pd

ROWS = {
    "paper, CAM": "paper[method=CAM]",
    "paper, Score-CAM (64 masks)": "paper[method=ScoreCAM[max_masks=64]]",
    "crop of the input, CAM": "paper[method=CAM,views=crop[threshold=0.5]]",
    "hflip": "unguided[views=hflip]",
    "unguided": "unguided",
    "zoom": "zoom",
    "zoom, another image's map": "zoom[method=control:other_image[of=CAM]]",
}
"""Row of the tables -> recipe."""
ALL = ["method", "forwards", "before", "points", "fixed / broken", "p", "difficult: points", "log-likelihood (z)"]


def load(text: str) -> LoadedModel:
    """A network from ``"SPEC WEIGHTS [MEAN STD]"``."""
    spec, weights, *normalisation = text.split()
    mean, std = ([float(part) for part in each.split(",")] for each in normalisation) if normalisation else (None, None)
    return load_model(spec, weights, mean=mean, std=std)


def run(loaded: LoadedModel, data: Path, output: Path) -> "dict[str, pd.DataFrame]":
    """The records of each row."""
    dataset = load_dataset(str(data), class_names=loaded.class_names)
    recipes = {name: Recipe.of(text) for name, text in ROWS.items()}
    correctors = make_correctors(loaded.model, recipes, preprocessing=loaded.preprocessing, dataset=dataset)
    folder = output / f"{data.parent.name}-{loaded.spec.replace(':', '.')}"
    return evaluate(correctors, dataset, loaded, folder, show_progress=True)


def table(records: "Mapping[str, pd.DataFrame]") -> Iterator[str]:
    """One row for each recipe, against the network's own answers."""
    yield _line(ALL)
    yield _line(["---"] * len(ALL))
    for name, frame in records.items():
        everything, difficult = PairedOutcome.from_records(frame), PairedOutcome.from_records(frame, PAPER_SUBSET)
        before, after = (frame[f"label_prob_{when}"].to_numpy(float) for when in ("before", "after"))
        gain = LikelihoodGain.of(before, after)
        yield _line(
            [
                name,
                f"{frame['forwards'].mean():.1f}",
                f"{everything.accuracy_before:.1%}",
                f"{100 * everything.difference:+.1f}",
                f"{everything.fixed} / {everything.broken}",
                p_text(everything.mcnemar_p),
                f"{100 * difficult.difference:+.1f} of {difficult.total}",
                f"{gain.mean:+.3f} ({gain.z:+.1f})",
            ]
        )


def pairs(records: "Mapping[str, pd.DataFrame]") -> Iterator[str]:
    """`zoom` against what it has to beat, image by image."""
    for rival in ("zoom, another image's map", "unguided", "paper, CAM", "hflip"):
        found = compare_corrected(records[rival], records["zoom"])
        gain = found.likelihood
        yield (
            f"- zoom against {rival}: {found.only_second} / {found.only_first} answers, p = "
            f"{p_text(found.outcome.mcnemar_p)}; log-likelihood {gain.mean:+.4f} an image, z = {gain.z:+.1f}"
        )


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Runs and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", action="append", required=True, help="'SPEC WEIGHTS [MEAN STD]'; several times")
    parser.add_argument("--data", action="append", required=True, type=Path, help="a manifest; several times")
    parser.add_argument("--output", required=True, type=Path, help="folder of the runs")
    options = parser.parse_args()
    for data in options.data:
        for text in options.network:
            loaded = load(text)
            records = run(loaded, data, options.output)
            count = len(next(iter(records.values())))
            print(
                f"\n{data.parent.name}, {loaded.spec}, {count} pictures\n",
                *table(records),
                "",
                *pairs(records),
                sep="\n",
            )


if __name__ == "__main__":
    main()
