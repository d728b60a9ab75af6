"""A small network and images on which corrections change answers: some fixed, some broken, some merely changed."""

import torch
from conftest import make_tiny_net
from torch.nn.functional import interpolate

from maskcorrect_plugin import ProbabilityCorrector, evaluate
from maskcorrect_plugin.evaluation.runner import RecordOptions

COUNT = 40
CLASSES = 6
OPTIONS = {"target_layer": "act", "top_k": 3}


def lively_net():
    return make_tiny_net(seed=2, num_classes=CLASSES)


def lively_inputs(count=COUNT):
    """Smooth random images (count,3,16,20)."""
    coarse = torch.randn(count, 3, 3, 4, generator=torch.Generator().manual_seed(3)) * 2
    return interpolate(coarse, size=(16, 20), mode="bilinear")


def correctors_of(net, methods=("CAM", "control:hflip"), **options):
    """A corrector for each method, which shares nothing with the others."""
    return {name: ProbabilityCorrector(net, name, **OPTIONS, **options) for name in methods}


def lively_data(net):
    """Images with a label each: the answer before correction by CAM, the one after, and the third best, in turn."""
    inputs = lively_inputs()
    result = correctors_of(net)["CAM"].correct(inputs)
    labels = torch.stack([result.prediction, result.corrected_prediction, result.candidates[:, 2]]).tolist()
    return [(image, labels[index % 3][index]) for index, image in enumerate(inputs)]


def run_lively(folder, methods=("CAM", "control:hflip"), **options):
    """Evaluates the methods and gives net and data with the records."""
    net = lively_net()
    data = lively_data(net)
    options = RecordOptions(images_per_part=7, **options)
    return net, data, evaluate(correctors_of(net, methods), data, net, folder, options=options)
