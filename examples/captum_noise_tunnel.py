"""Our Score-CAM where Captum expects one of its own: NoiseTunnel, captum.metrics, captum.attr.visualization.

    python captum_noise_tunnel.py

Infidelity (Yeh et al. 2019) is the mean squared difference between what a map says that hiding a random square costs
and what it costs; a map of zeros shows how large it is without any map. Sensitivity is the largest relative change of
the map when the image changes by up to 0.02 per value; for NoiseTunnel it contains the tunnel's own noise.
"""

from functools import partial

import torch
from captum.attr import NoiseTunnel, visualization
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from matplotlib.figure import Figure
from PIL import Image

from maskcorrect_plugin import ScoreCAM, find_target_layer, load_model
from maskcorrect_plugin.demo.scenes import make_scene

SQUARE = 24
"""Side of the hidden square in pixels; the image has 96."""


@infidelity_perturb_func_decorator(multiply_by_inputs=True)  # a map's values are shares of the whole pixel
def hide_a_square(inputs):
    perturbed = inputs.clone()
    for image in perturbed:
        top, left = (int(torch.randint(side - SQUARE, ())) for side in image.shape[-2:])
        image[:, top : top + SQUARE, left : left + SQUARE] = 0
    return perturbed


def measure_infidelity(maps, target):
    torch.manual_seed(0)  # the same squares for every map
    with torch.no_grad():
        spread = maps.expand_as(inputs).contiguous()
        found = infidelity(model, hide_a_square, inputs, spread, target=target, n_perturb_samples=64, normalize=True)
    return found.item()


scene = make_scene("test", 4).image
loaded = load_model("demo")
model = loaded.model
inputs = loaded.transform(Image.fromarray(scene)).unsqueeze(0)
target = int(model(inputs).argmax())
score_cam = ScoreCAM(model, model.get_submodule(find_target_layer(model, inputs)))
methods = {
    "Score-CAM": score_cam.attribute,
    "Score-CAM in NoiseTunnel": partial(NoiseTunnel(score_cam).attribute, nt_samples=4, stdevs=0.1),
}

torch.manual_seed(0)
maps = {name: attribute(inputs, target=target) for name, attribute in methods.items()}
print(f"class: {loaded.class_names[target]}")
print(f"{'a map of zeros':26} infidelity {measure_infidelity(torch.zeros_like(inputs), target):.6f}")
for name, attribute in methods.items():
    torch.manual_seed(0)
    sensitivity = sensitivity_max(attribute, inputs, target=target, n_perturb_samples=3).item()
    print(f"{name:26} infidelity {measure_infidelity(maps[name], target):.6f}  sensitivity {sensitivity:.3f}")

figure = Figure(figsize=(8, 4))
for axis, (name, found) in zip(figure.subplots(1, 2), maps.items(), strict=True):
    visualization.visualize_image_attr(
        found[0].permute(1, 2, 0).numpy(),
        scene,
        method="blended_heat_map",
        sign="positive",
        title=name,
        plt_fig_axis=(figure, axis),
        use_pyplot=False,
    )
figure.savefig("noise_tunnel.png")
print("noise_tunnel.png shows both maps")
