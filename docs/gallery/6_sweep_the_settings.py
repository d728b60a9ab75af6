"""
Other settings, chosen on one half and reported on the other
============================================================

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

folder = tempfile.TemporaryDirectory()


def maskcorrect(arguments):
    """The command line: in a terminal, ``maskcorrect`` and the same words."""
    command = [sys.executable, "-m", "maskcorrect_plugin", *shlex.split(arguments)]
    done = subprocess.run(command, cwd=folder.name, capture_output=True, text=True, check=True)
    print(f"$ maskcorrect {arguments}\n{done.stdout}")


# %%
# A run that keeps its maps. They are what is expensive; the rest of a correction is cheap.

maskcorrect("evaluate demo:200 --model demo --method CAM --keep-maps --output run")

# %%
# Hiding and zooming, at seven thresholds each. Which images choose follows from their names alone.

maskcorrect("sweep run --view mask,crop --threshold 0:0.6:0.1 --output settings.csv")

# %%
# All settings on both halves. The filled mark is the one that was chosen; what counts is where its hollow partner lies.

settings = pd.read_csv(Path(folder.name) / "settings.csv")
figure = Figure(figsize=(6.6, 3.2), layout="constrained")
for axes, half in zip(figure.subplots(1, 2, sharey=True), ("selection", "report"), strict=True):
    for view, group in settings.groupby("view", sort=False):
        axes.plot(group["threshold"], 100 * group[f"{half}_accuracy_after"], marker="o", markersize=3, label=view)
    axes.axhline(100 * settings[f"{half}_accuracy_before"].iloc[0], color="black", linewidth=0.8, label="uncorrected")
    chosen = settings[settings["chosen"]].iloc[0]
    style = {"marker": "*", "markersize": 13, "color": "#D55E00", "linestyle": "none", "label": "chosen"}
    axes.plot(chosen["threshold"], 100 * chosen[f"{half}_accuracy_after"], **style)
    images = int(sum(settings[f"{half}_{kind}"].iloc[0] for kind in ("both_right", "fixed", "broken", "both_wrong")))
    axes.set(title=f"{half} half, {images} images", xlabel="threshold")
figure.axes[0].set_ylabel("right answers, %")
figure.axes[1].legend(frameon=False)
figure
