"""The corrector is a module: put it where the model was.

The evaluation loop below knows nothing of correction. It takes a module that gives logits or log-probabilities.

    python drop_in_module.py
"""

import torch
from torch.utils.data import DataLoader

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.demo.network import normalize
from maskcorrect_plugin.demo.scenes import SceneDataset


@torch.no_grad()
def evaluate(module: torch.nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Accuracy and mean negative log-likelihood."""
    right, loss, count = 0, 0.0, 0
    for images, labels in loader:
        log_probs = module(normalize(images)).log_softmax(-1)
        right += int((log_probs.argmax(-1) == labels).sum())
        loss -= float(log_probs.gather(1, labels[:, None]).sum())
        count += len(labels)
    return right / count, loss / count


model = load_model("demo").model
loader = DataLoader(SceneDataset("test", count=96), batch_size=32)
for name, module in {
    "model": model,
    "corrected by CAM": ProbabilityCorrector(model, "CAM"),
    "corrected by Score-CAM, difficult images only": ProbabilityCorrector(model, "ScoreCAM", max_gap=0.5),
}.items():
    accuracy, loss = evaluate(module, loader)
    print(f"{name:46} accuracy {accuracy:6.1%}  negative log-likelihood {loss:.3f}")
