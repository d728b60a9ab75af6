"""
Choose settings on one half, report on the other
================================================

A threshold that is chosen on the images that it is reported on looks better than it is. ``maskcorrect sweep`` tries
settings on the maps that a run kept, chooses one on a part of the images, and says what it does on the rest.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from maskcorrect_plugin.options import parse_spec

folder = tempfile.TemporaryDirectory()


def maskcorrect(arguments):
    """The command line: in a terminal, ``maskcorrect`` and the same words."""
    command = [sys.executable, "-m", "maskcorrect_plugin", *shlex.split(arguments)]
    done = subprocess.run(
        command, cwd=folder.name, capture_output=True, text=True, check=True
    )
    print(f"$ maskcorrect {arguments}\n{done.stdout}")


# %%
# A run that keeps its maps. They are what is expensive; the rest of a correction is cheap.

maskcorrect("evaluate demo:200 --model demo --method CAM --keep-maps --output run")

# %%
# Hiding and cropping, at seven thresholds each. Which images choose follows from their names alone.

maskcorrect(
    "sweep run --views mask --views crop --threshold 0:0.6:0.1 --output settings.csv"
)

# %%
# All settings on both halves. The star is the one that was chosen on the left; what counts is where it lies on the
# right.

settings = pd.read_csv(Path(folder.name) / "settings.csv")
parts = [parse_spec(text, "view") for text in settings["views"]]
settings["view"] = [name for name, _ in parts]
settings["threshold"] = [options["threshold"] for _, options in parts]
chosen = settings[settings["chosen"]].iloc[0]
figure = Figure(figsize=(6.6, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for axes, half in ((left, "selection"), (right, "report")):
    before, after = f"{half}_accuracy_before", f"{half}_accuracy_after"
    for view, group in settings.groupby("view", sort=False):
        axes.plot(
            group["threshold"], 100 * group[after], "o-", markersize=4, label=view
        )
    axes.axhline(100 * settings[before].iloc[0], color="black", label="uncorrected")
    axes.plot(
        chosen["threshold"],
        100 * chosen[after],
        "k*",
        markersize=12,
        label="chosen",
    )
    axes.set(title=f"{half} half", xlabel="threshold")
left.set_ylabel("right answers, %")
right.legend(frameon=False)
figure
