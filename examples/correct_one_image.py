"""Correct one image and draw what happened.

python correct_one_image.py                                   # a scene of the embedded demo, with its small network
python correct_one_image.py photo.jpg torchvision:resnet50    # your photo, your network (downloads its weights)
"""

import sys

from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.visualization import draw_correction, render_views, save_figure

path, spec = (sys.argv[1:] + [None, "demo"][len(sys.argv) - 1 :])[:2]
loaded = load_model(spec)
if path is None:
    from maskcorrect_plugin.demo.scenes import make_scene

    image = Image.fromarray(make_scene("test", 4).image)
else:
    image = read_image(path)

inputs = loaded.transform(image).unsqueeze(0)
corrector = ProbabilityCorrector(loaded.model, "ScoreCAM", top_k=5, preprocessing=loaded.preprocessing)
result = corrector.correct(inputs, keep=("attributions", "view_probs"))

print(f"{'class':30} before   after")
for index in result.candidates[0].tolist():
    before, after = result.probs[0, index].item(), result.corrected_probs[0, index].item()
    print(f"{loaded.class_names[index]:30} {before:6.1%}  {after:6.1%}")

views = render_views(corrector, inputs, result)
figure = draw_correction(views.input, result, class_names=loaded.class_names, view_images=views)
save_figure(figure, "correction.png")
print("correction.png shows the maps, the masked inputs and the probabilities")
