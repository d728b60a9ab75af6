"""Runs of the lively network that can be fitted."""

import torch
from lively import OPTIONS, lively_inputs, lively_net

from maskcorrect_plugin import Recipe, evaluate, make_correctors
from maskcorrect_plugin.datasets import as_image_dataset
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.views import Shown, View

VIEWS = ("mask[threshold=0.3]", "crop[threshold=0.4,map=merged]", "hflip")
COUNT = 120


class Shifts(View):
    """A view of a user's own: the image moved to the left and to the right."""

    name = "shifts"
    guided = False

    @property
    def views_per_image(self):
        return 2

    def show(self, images, maps=None, prepared=None):
        def make(rows, numbers):
            moved = torch.stack([images.inputs.roll(by, -1) for by in (-2, 2)], 1)
            return moved[rows, numbers]

        return Shown(2, make=make)


def rich(**changes):
    """A recipe with a view of each kind that needs no original."""
    return Recipe(**{"method": "CAM", "views": VIEWS, **OPTIONS, **changes})


def other_image(**changes):
    return rich(method="control:other_image", method_options={"of": "CAM"}, **changes)


def data_of(net, count=COUNT, helpful=True):
    """Images with labels: drawn from what the network says to the image and its mirror image together, or to itself."""
    inputs = lively_inputs(count)
    with torch.no_grad():
        logits = net(inputs) + (net(inputs.flip(-1)) if helpful else 0)
    labels = torch.distributions.Categorical(logits=logits)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return list(zip(inputs, labels.sample().tolist(), strict=True))


def run_of(recipes, folder=None, count=COUNT, helpful=True, distributions="float32", **options):
    """Network, data and records by name."""
    net = lively_net()
    data = data_of(net, count, helpful)
    correctors = make_correctors(net, recipes, dataset=as_image_dataset(data))
    kept = RecordOptions(images_per_part=32, distributions=distributions, **options)
    return net, data, evaluate(correctors, data, net, folder, options=kept)
