"""
What correction does to a data set
==================================

One image proves nothing. `evaluate` corrects a whole data set, writes one row for each image, and goes on from where it
was if it is stopped. What follows reads these rows alone.
"""

from maskcorrect_plugin import ProbabilityCorrector, evaluate, load_model
from maskcorrect_plugin.evaluation.gap_bins import gap_bins
from maskcorrect_plugin.evaluation.protocol import paper_protocol
from maskcorrect_plugin.evaluation.subclasses import confused_classes
from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.evaluation.text import summary_text
from maskcorrect_plugin.visualization import (
    draw_confused_classes,
    draw_gap_bins,
    draw_gap_histograms,
    draw_outcome,
)

# %%
# 200 held-out scenes, with the paper's method and settings. With ``output="run"`` the rows would be kept in a folder;
# `load_dataset` says what else a data set may be: class folders, ImageNet's layout, a CSV manifest, a data set of
# Hugging Face.

loaded = load_model("demo")
corrector = ProbabilityCorrector(loaded.model, "ScoreCAM")
records = evaluate(corrector, "demo:200", loaded)["ScoreCAM"]
records[["id", "label", "gap15", "changed", "forwards"]].head()

# %%
# The summary: accuracy with intervals, the paired test, likelihood, calibration, cost; over all images and over the
# difficult ones, which the paper evaluates on.

summary = summarise(records)
print(summary_text(summary, "ScoreCAM on 200 scenes"))

# %%
# Fixed, broken, and the rest
# ---------------------------

groups = {"all images": summary.overall, str(summary.definition): summary.subset}
draw_outcome(
    {name: vars(group.outcome) for name, group in groups.items()},
    p_values={name: group.outcome.mcnemar_p for name, group in groups.items()},
)

# %%
# Where it acts
# -------------
#
# The gap is how far the first answer lies above the fifth. The old distribution counts as much as all the new ones
# together: where the gap is large, an answer changes only if the masked images speak against it nearly as one.

draw_gap_bins(gap_bins(records))

# %%
# The paper's two histograms, with its own counts below:

draw_gap_histograms(paper_protocol(records))

# %%
# Which classes are confused
# --------------------------
#
# Two classes are linked where the network holds both nearly as likely. Here they are kinds of the same animal, which
# differ in one mark.

edges = confused_classes(records, class_names=loaded.class_names)
draw_confused_classes(edges)
