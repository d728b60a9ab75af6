"""What the tests of the live page share: the form as a browser sends it, and a model that takes its time."""

from maskcorrect_plugin.app.form import FIELDS, read_form

SLOW_MODEL = """
import time
from torch import nn


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.AvgPool2d(8), nn.Conv2d(3, 256, 3), nn.ReLU())
        self.head = nn.Linear(256, 4)

    def forward(self, inputs):
        time.sleep(0.15)
        return self.head(self.body(inputs).mean(dim=(-2, -1)))


def slow():
    return Slow(), None, ["a", "b", "c", "d"]
"""


def form(**changes):
    """The fields of the form, with the cheap method CAM unless told otherwise."""
    return list({**FIELDS, "method": "CAM", **changes}.values())


def model_of(**changes):
    """The model that the form names."""
    return read_form(form(**changes)).model
