"""
Swap the method in one line
===========================

Where the maps come from is a name. Native methods, those of pytorch-grad-cam, Captum and torchcam, an object that you
already have, and any function of your own are all given in the same place.
"""

from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, list_attributions, load_model
from maskcorrect_plugin.demo.scenes import make_scene
from maskcorrect_plugin.visualization import denormalize, draw_methods

loaded = load_model("demo")
scene = make_scene("test", 73)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)

# %%
# One result for each method. The network, the candidates and the settings are the same; only the maps differ.

METHODS = [
    "ScoreCAM",
    "CAM",
    "captum:LayerGradCam",
    "captum:Occlusion",
    "captum:IntegratedGradients",
    "captum:InputXGradient",
    "captum:GuidedBackprop",
]
results = {
    method: ProbabilityCorrector(loaded.model, method).correct(
        inputs, keep=("attributions",)
    )
    for method in METHODS
}

# %%
# Side by side: the map of the most probable class by each method, and the answer that it leads to.

picture = denormalize(inputs[0], loaded.mean, loaded.std)
draw_methods(picture, results, class_names=loaded.class_names, label=scene.label)

# %%
# Score-CAM is four different functions
# -------------------------------------
#
# What libraries compute under that name differs. Each definition is a preset, and a result records which one it was.
# Here with the maps of the two most probable classes.

presets = {
    f"preset {name}": ProbabilityCorrector(
        loaded.model, "ScoreCAM", preset=name
    ).correct(inputs, keep=("attributions",))
    for name in ("official", "paper_v2", "grad_cam", "torchcam")
}
draw_methods(
    picture, presets, num_maps=2, class_names=loaded.class_names, label=scene.label
)

# %%
# What there is
# -------------
#
# Names of libraries that are not installed are listed, too; using one says how to install it.

names = list_attributions()
print(len(names), "methods, among them", ", ".join(names[:4]), "...")
