"""The corrector in two validation loops that were written for plain models.

One loop is in the style of timm's validate.py (cross entropy, top 1, top 5, inference mode), one in the style of
torchmetrics (objects with update and compute). Neither knows of correction: the corrector is a module whose output is
the log of the corrected probabilities. timm's own accuracy is used where timm is installed, and otherwise a stand-in
with the same interface.

    python validation_loop.py
"""

import importlib.util

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.demo.network import normalize
from maskcorrect_plugin.demo.scenes import SceneDataset

NUM_IMAGES = 64


def accuracy(output, target, topk=(1,)):
    """Per cent of answers among the first k; the interface of ``timm.utils.accuracy``."""
    order = output.topk(max(topk), dim=1).indices
    right = order == target[:, None]
    return [right[:, :k].any(dim=1).float().mean() * 100 for k in topk]


if importlib.util.find_spec("timm"):
    from timm.utils import accuracy


def validate(model, loader):
    """In timm's style: mean loss, top-1 and top-5 accuracy in per cent."""
    criterion = nn.CrossEntropyLoss()
    totals, count = torch.zeros(3), 0
    model.eval()
    with torch.inference_mode():  # methods that need gradients want torch.no_grad() here
        for images, target in loader:
            output = model(images)
            loss = criterion(output, target)
            top1, top5 = accuracy(output.detach(), target, topk=(1, 5))
            totals += torch.stack([loss, top1, top5]) * len(images)
            count += len(images)
    return (totals / count).tolist()


def evaluate(model, loader, num_classes):
    """In torchmetrics' style: top-1 and top-5 accuracy and the calibration error, in [0, 1]."""
    metrics = MetricCollection(
        {
            "top-1": MulticlassAccuracy(num_classes, average="micro"),
            "top-5": MulticlassAccuracy(num_classes, top_k=5, average="micro"),
            "ECE": MulticlassCalibrationError(num_classes, n_bins=15),
        }
    )
    model.eval()
    with torch.no_grad():
        for images, target in loader:
            metrics.update(model(images), target)
    return {name: value.item() for name, value in metrics.compute().items()}


loaded = load_model("demo")
scenes = [(normalize(image), label) for image, label in SceneDataset("test", count=NUM_IMAGES)]
loader = DataLoader(scenes, batch_size=24)  # the last batch is smaller
modules = {
    "model": loaded.model,
    "corrector, max_gap=0": ProbabilityCorrector(loaded.model, "CAM", max_gap=0),  # corrects nothing
    "corrector": ProbabilityCorrector(loaded.model, "CAM"),
}
for name, module in modules.items():
    loss, top1, top5 = validate(module, loader)
    metrics = evaluate(module, loader, loaded.num_classes)
    print(f"{name:21} timm-style: loss {loss:.4f} top-1 {top1:.2f} top-5 {top5:.2f}", end="; ")
    print("torchmetrics-style:", *(f"{metric} {value:.4f}" for metric, value in metrics.items()))
