"""
Methods and controls side by side
=================================

Asking twice can help whatever the second question was: test-time augmentation lives on it. So each gain is set beside
that of controls, which ask again about something that explains nothing. What a method gains beyond them may be owed to
its maps.
"""

import tempfile
import textwrap
from pathlib import Path

from maskcorrect_plugin import (
    ProbabilityCorrector,
    compare,
    evaluate,
    load_dataset,
    load_model,
)
from maskcorrect_plugin.evaluation.text import p_text, verdict
from maskcorrect_plugin.visualization import (
    draw_accuracies,
    draw_cost_gain,
    draw_fixed_broken,
)

loaded = load_model("demo")
model = loaded.model

# %%
# Four recipes that follow maps, and five controls: a mirrored image, which follows none; the image itself, which must
# change nothing; smooth random maps; another image's maps; and, marked as such, one that knows the label.

correctors = {
    "ScoreCAM": ProbabilityCorrector(model, "ScoreCAM"),
    "CAM": ProbabilityCorrector(model, "CAM"),
    "CAM, crop at 0.3": ProbabilityCorrector(
        model, "CAM", view="crop", threshold=0.3
    ),
    "CAM, merged map": ProbabilityCorrector(model, "CAM", views="mask[map=merged]"),
    "mirrored": ProbabilityCorrector(model, views="hflip"),
    "uniform": ProbabilityCorrector(model, "control:uniform"),
    "random map": ProbabilityCorrector(model, "control:random_map"),
    "other image": ProbabilityCorrector(
        model,
        "control:other_image[of=CAM]",
        dataset=load_dataset("demo:200"),
        preprocessing=loaded.preprocessing,
    ),
    "oracle": ProbabilityCorrector(model, "control:oracle_class[of=CAM]"),
}

# %%
# All of them on the same 200 scenes. The run is a folder: the same call goes on with it, and everything else reads it.

folder = tempfile.TemporaryDirectory()
run = Path(folder.name) / "run"
evaluate(correctors, "demo:200", loaded, run)
comparison = compare([run])
comparison

# %%
# Accuracy, before and after
# --------------------------

methods = comparison.groups()
draw_accuracies(methods, title="200 scenes")

# %%
# What each fixed and what it broke
# ---------------------------------
#
# p-values are adjusted by Holm's method: each method was a chance to find something.

outcomes = {name: group.outcome for name, group in methods.items()}
adjusted = {
    row.method: row.holm_overall for row in comparison.rows if not row.leaks
}
draw_fixed_broken(outcomes, p_values=adjusted, p_name="Holm p", title="200 scenes")

# %%
# What it costs, and what it is worth
# -----------------------------------

draw_cost_gain(methods, settings=comparison.settings(), title="200 scenes")

# %%
# In words, for the paper's method:

print(textwrap.fill(verdict(outcomes["ScoreCAM"]), 80))

# %%
# Against a control, image by image
# ---------------------------------
#
# Better than no correction is not yet better than a control. `compare` pairs every method with one of them.

for row in compare([run], baseline="mirrored").rows:
    if row.against is not None and not row.leaks:
        pair = row.against
        print(
            f"{row.method:20} alone right on {pair.only_second:3}, "
            f"the flip alone on {pair.only_first:3}, "
            f"exact McNemar p {p_text(pair.outcome.mcnemar_p, equals=True)}"
        )
