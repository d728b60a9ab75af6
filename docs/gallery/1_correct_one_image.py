"""
Correct one image, and look at it
=================================

Three lines correct an image. One more draws what happened: what the network used for each of its answers, what it was
shown again, and what became of its probabilities.
"""

from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.demo.scenes import make_scene
from maskcorrect_plugin.visualization import (
    draw_correction,
    render_views,
)

# %%
# A network with its transform and its class names, and an image that it is unsure of. With your own, it would be
# ``load_model("torchvision:resnet50")`` and ``read_image("photo.jpg")``.

loaded = load_model("demo")
scene = make_scene("test", 77)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)

# %%
# ``keep`` asks for what a picture needs: the maps, and what the network said to each masked image. Without it, a result
# holds the probabilities alone.

corrector = ProbabilityCorrector(
    loaded.model,
    "ScoreCAM",
    top_k=5,
    threshold=0.1,
    preprocessing=loaded.preprocessing,
)
result = corrector.correct(inputs, keep=("attributions", "view_probs"))
result

# %%
# The figure. `render_views` makes what the network was shown once more, by the corrector's own code.


def draw(corrector, image, result, label):
    shown = render_views(corrector, image, result)
    return draw_correction(
        shown.input,
        result,
        class_names=loaded.class_names,
        view_images=shown,
        label=label,
    )


draw(corrector, inputs, result, scene.label)

# %%
# What a correction breaks
# ------------------------
#
# The same settings can turn a right answer into a wrong one. Only counting over many images tells which happens more
# often.

scene = make_scene("test", 73)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)
result = corrector.correct(inputs, keep=("attributions", "view_probs"))
draw(corrector, inputs, result, scene.label)

# %%
# Zoom instead of hiding
# ----------------------
#
# The recipe ``"zoom"`` goes beyond the paper. It merges the candidates' maps into one, cuts its box out of the original
# picture at two thresholds, and asks about the mirrored input and the whole picture as well. So it is given the picture
# and not a tensor.

scene = make_scene("test", 99)
picture = Image.fromarray(scene.image)
zoom = ProbabilityCorrector(
    loaded.model, recipe="zoom", preprocessing=loaded.preprocessing
)
result = zoom.correct([picture], keep=("attributions", "view_probs"))
draw(zoom, picture, result, scene.label)
