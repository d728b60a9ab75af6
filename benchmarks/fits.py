"""Fitted correctors of finished runs: the tables of docs/results.md on fitting.

Takes runs of benchmarks/results.py, or any whose views were kept, and computes no forward. Figures are cross-validated;
the last column is of weights that were fitted on one half of the images, chosen by their ids, and corrected the other.

    python benchmarks/fits.py runs/pets-torchvision.squeezenet1_1 runs/photos-torchvision.squeezenet1_1
"""

import argparse
import warnings
from pathlib import Path

import numpy as np

from maskcorrect_plugin import Fit, RunFolder, fit
from maskcorrect_plugin.evaluation.sweep.choice import selects
from maskcorrect_plugin.evaluation.text import p_text
from maskcorrect_plugin.fitting.answers import ViewAnswers
from maskcorrect_plugin.fitting.source import Source
from maskcorrect_plugin.fitting.validation import FitRow
from maskcorrect_plugin.fitting.weights import fit_weights

ROWS = ("temperature alone", "unfitted", "fitted", "unguided, fitted")
HEAD = [
    "method",
    "forwards",
    "points",
    "fixed / broken",
    "p",
    "difficult",
    "log-likelihood (z)",
    "other half: log-likelihood (z)",
]


def halves(answers: ViewAnswers, pool: str) -> FitRow:
    """Fitted on one half, corrected the other."""
    chosen = selects([str(name) for name in answers.ids])
    held = answers.of_rows(~chosen)
    weights = fit_weights(answers.of_rows(chosen), pool)
    return FitRow.of("other half", held, weights.log_probs(held), 0.0)


def lines(folder: RunFolder, method: str) -> list[str]:
    """The table of one run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few images: the number stands above the table
        found = fit(folder, method)
    answers = Source.of(folder).read(method)
    others = {
        "temperature alone": halves(answers.of_views([]), "log"),
        "fitted": halves(answers, "log"),
    }
    table = [_line(HEAD), _line(["---"] * len(HEAD))]
    table += [_row(row, others.get(row.name)) for row in found.rows if row.name in ROWS]
    return [*table, "", *_sentences(found)]


def _row(row: FitRow, half: FitRow | None) -> str:
    other = "" if half is None else f"{half.gain.mean:+.3f} ({half.gain.z:+.1f})"
    return _line(
        [
            row.name,
            f"{row.forwards:.1f}",
            f"{100 * row.outcome.difference:+.1f}",
            f"{row.outcome.fixed} / {row.outcome.broken}",
            p_text(row.outcome.mcnemar_p),
            f"{100 * row.difficult.difference:+.1f} of {row.difficult.total}",
            f"{row.gain.mean:+.3f} ({row.gain.z:+.1f})",
            other,
        ]
    )


def _sentences(found: Fit) -> list[str]:
    weights = ", ".join(f"{worth.view.label} {worth.weight:.2f}" for worth in found.worth)
    over, matters = found.over_temperature, found.map_matters
    lines = [
        f"Weights: {weights}; temperature {found.fitted.temperature:.2f}. Over the temperature alone "
        f"{over.mean:+.4f} (standard error {over.error:.4f}, z = {over.z:+.1f})."
    ]
    if matters is not None:
        lines.append(f"Over another image's map {matters.mean:+.4f} (z = {matters.z:+.1f}).")
    return [" ".join([*lines, "" if found.helps else "Not surely better than no correction: the identity is written."])]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--method", default="zoom", help="the recipe of each run that is fitted")
    options = parser.parse_args()
    np.seterr(under="ignore")
    for path in options.runs:
        folder = RunFolder.open(path)
        model, about = folder.manifest.identity["model"], folder.manifest.about
        print(f"\n{Path(str(about['source'])).parent.name}, {model['spec']}, {folder.manifest.num_images} pictures\n")
        print(*lines(folder, options.method), sep="\n", flush=True)


if __name__ == "__main__":
    main()
