"""
A function of your own as a method
==================================

An idea is a function from the model, the inputs and the classes to maps. It is scaled, upsampled, and corrected with
like any other method, and can be evaluated and compared.
"""

import torch
from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, evaluate, load_model
from maskcorrect_plugin.demo.scenes import make_scene
from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.visualization import (
    denormalize,
    draw_accuracies,
    draw_methods,
)

loaded = load_model("demo")

# %%
# Two ideas: how much the score of a class reacts to each pixel, and how much the image changes from pixel to pixel,
# whatever the class. A control belongs to it: a bump in the middle, which knows nothing of the image.


def gradient_norm(model, inputs, targets):
    scores = model(inputs).gather(1, targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(scores, inputs)
    return gradient.square()


def edges(model, inputs, targets):
    rows, columns = torch.gradient(inputs.detach().mean(dim=1), dim=(-2, -1))
    return rows.abs() + columns.abs()


def middle(model, inputs, targets):
    bump = torch.hann_window(9, periodic=False)
    return torch.outer(bump, bump).expand(len(inputs), -1, -1)


correctors = {
    idea.__name__: ProbabilityCorrector(loaded.model, idea)
    for idea in (gradient_norm, edges, middle)
} | {"CAM": ProbabilityCorrector(loaded.model, "CAM")}

# %%
# On one image:

scene = make_scene("test", 77)
inputs = loaded.transform(Image.fromarray(scene.image)).unsqueeze(0)
results = {
    name: corrector.correct(inputs, keep=("attributions",))
    for name, corrector in correctors.items()
}
picture = denormalize(inputs[0], loaded.mean, loaded.std)
draw_methods(picture, results, class_names=loaded.class_names, label=scene.label)

# %%
# On 100 images. Whether an idea is worth more than the bump is what such a table is for.

records = evaluate(correctors, "demo:100", loaded)
draw_accuracies(
    {name: summarise(table).overall for name, table in records.items()},
    title="100 scenes",
)
