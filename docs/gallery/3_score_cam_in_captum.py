"""
Score-CAM in Captum
===================

Captum has no Score-CAM. This one has Captum's interface, and so it works wherever Captum expects a method of its own:
in ``NoiseTunnel``, in ``captum.metrics``, in ``captum.attr.visualization``.
"""

import torch
from captum.attr import NoiseTunnel, visualization
from captum.metrics import sensitivity_max
from matplotlib.figure import Figure
from PIL import Image

from maskcorrect_plugin import ScoreCAM, find_target_layer, load_model
from maskcorrect_plugin.demo.scenes import make_scene

loaded = load_model("demo")
model = loaded.model
scene = make_scene("test", 73)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)
target = int(model(inputs).argmax())

# %%
# `find_target_layer` names the last stage with a spatial output; with a network that you know, name the layer
# yourself: ``ScoreCAM(model, model.layer4)``.

layer = find_target_layer(model, inputs)
score_cam = ScoreCAM(model, model.get_submodule(layer))
maps = {"Score-CAM": score_cam.attribute(inputs, target=target)}
print(layer, loaded.class_names[target], tuple(maps["Score-CAM"].shape), sep=", ")

# %%
# Averaged over noisy copies of the image, as SmoothGrad does it:

torch.manual_seed(0)
tunnel = NoiseTunnel(score_cam)
maps["Score-CAM in NoiseTunnel"] = tunnel.attribute(
    inputs, target=target, nt_samples=4, stdevs=0.1
)

figure = Figure(figsize=(6.4, 3.2), layout="constrained")
for axes, (name, found) in zip(figure.subplots(1, 2), maps.items(), strict=True):
    visualization.visualize_image_attr(
        found[0].permute(1, 2, 0).numpy(),
        scene.image,
        method="blended_heat_map",
        sign="positive",
        title=name,
        plt_fig_axis=(figure, axes),
        use_pyplot=False,
    )
figure

# %%
# How stable is it?
# -----------------
#
# The largest relative change of the map when the image changes by up to 0.02 per value (Yeh et al. 2019).

torch.manual_seed(0)
sensitivity = sensitivity_max(
    score_cam.attribute, inputs, target=target, n_perturb_samples=3
)
print(f"sensitivity {sensitivity.item():.3f}")
