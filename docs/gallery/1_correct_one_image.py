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
    denormalize,
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

corrector = ProbabilityCorrector(loaded.model, "ScoreCAM", top_k=5, threshold=0.1)
result = corrector.correct(inputs, keep=("attributions", "masked_probs"))
result

# %%
# The figure. `render_views` makes the masked images once more, by the corrector's own code, so that they are what the
# network was shown.


def draw(corrector, inputs, result, label):
    return draw_correction(
        denormalize(inputs[0], loaded.mean, loaded.std),
        result,
        class_names=loaded.class_names,
        view_images=render_views(
            corrector, inputs, result, 0, loaded.mean, loaded.std
        ),
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
result = corrector.correct(inputs, keep=("attributions", "masked_probs"))
draw(corrector, inputs, result, scene.label)

# %%
# Zoom instead of hiding
# ----------------------
#
# ``view="crop"`` cuts the image to the box of the map above the threshold and asks about that. It is an option beyond
# the paper.

scene = make_scene("test", 99)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)
zoom = ProbabilityCorrector(loaded.model, "ScoreCAM", view="crop", threshold=0.3)
result = zoom.correct(inputs, keep=("attributions", "masked_probs"))
draw(zoom, inputs, result, scene.label)
