"""A small network that is right about half of the time, on a few random images: runs that take a second."""

import torch
from conftest import make_tiny_net
from torch.utils.data import Dataset

from maskcorrect_plugin import ProbabilityCorrector, evaluate
from maskcorrect_plugin.evaluation.runner import RecordOptions

COUNT = 24


class Images(Dataset):
    """Random images; the label is the network's own answer for every second one, else the class after it."""

    def __init__(self, net, count=COUNT):
        self.inputs = torch.randn(count, 3, 16, 20, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            answers = net(self.inputs).argmax(-1)
        self.labels = [int(answer + row % 2) % 5 for row, answer in enumerate(answers)]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.labels[index]


def run_small(folder, methods=("CAM", "control:hflip"), corrector=None, **options):
    """Evaluates the methods, with options of the correctors, and gives net and data with the records."""
    net = make_tiny_net()
    data = Images(net)
    correctors = {name: ProbabilityCorrector(net, name, "act", top_k=3, **(corrector or {})) for name in methods}
    records = evaluate(correctors, data, net, folder, options=RecordOptions(images_per_part=7, **options))
    return net, data, records
