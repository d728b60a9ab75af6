"""Swap the attribution method in one line, and see how much the answer depends on it.

python swap_method.py
"""

from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.demo.scenes import make_scene

loaded = load_model("demo")
inputs = loaded.transform(Image.fromarray(make_scene("test", 4).image)).unsqueeze(0)

METHODS = {
    "Score-CAM": ("ScoreCAM", {}),
    "Score-CAM as pytorch-grad-cam defines it": ("ScoreCAM", {"preset": "grad_cam"}),
    "Score-CAM as torchcam defines it": ("ScoreCAM", {"preset": "torchcam"}),
    "CAM": ("CAM", {}),
}

for title, (method, options) in METHODS.items():
    corrector = ProbabilityCorrector(loaded.model, method, **options)  # the one line
    result = corrector.correct(inputs)
    answer = int(result.corrected_prediction)
    print(f"{title:42} {loaded.class_names[answer]:18} {result.corrected_probs[0, answer].item():6.1%}")
