"""Peak memory of a Score-CAM correction is bounded by the batch of passes, not by the number of channels."""

import subprocess
import sys

from conftest import ROOT

MEASURE = """
import resource, sys, torch
from torch import nn
from maskcorrect_plugin import ProbabilityCorrector

torch.set_num_threads(1)
channels = int(sys.argv[1])
net = nn.Sequential(nn.Conv2d(3, channels, 16, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                    nn.Linear(channels, 5))
corrector = ProbabilityCorrector(net, "ScoreCAM", "1", batch_size=8)
small = torch.rand(1, 3, 32, 32)
corrector.correct(small)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corrector.correct(torch.rand(1, 3, 160, 160))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def peak_mib(channels):
    command = [sys.executable, "-c", MEASURE, str(channels)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


def test_peak_memory_does_not_grow_with_the_number_of_channels():
    """All masked inputs at once would take 150 MiB for 512 channels and 600 MiB for 2,048."""
    few, many = peak_mib(512), peak_mib(2048)
    assert many - few < 40, (few, many)
    assert many < 120, (few, many)
