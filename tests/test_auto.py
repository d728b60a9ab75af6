"""The method "auto": closed-form CAM where it holds, else Score-CAM with a budget, and the result says which."""

import pytest
import torch
from conftest import Counter, make_tiny_net
from torch import nn

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.recipe import ZOOM


class TwoLayers(nn.Module):
    """Its head is not linear, so that CAM does not hold."""

    def __init__(self):
        super().__init__()
        self.net = make_tiny_net(channels=80, dead=False)
        self.more = nn.Linear(5, 4)

    def forward(self, inputs):
        return self.more(torch.relu(self.net(inputs)))


@pytest.mark.parametrize(
    ("make", "expected"),
    [(make_tiny_net, {"method": "CAM"}), (TwoLayers, {"method": "ScoreCAM", "max_masks": 64})],
    ids=["CAM", "ScoreCAM"],
)
def test_it_is_the_method_that_the_network_allows(tiny_images, make, expected):
    net = make().eval().to(tiny_images.device)
    corrector = ProbabilityCorrector(net, "auto", top_k=2)
    counter = Counter(net)
    result = corrector.correct(tiny_images)
    chosen_by = counter.inputs - int(result.forwards.sum())
    counter.reset()
    again = corrector.correct(tiny_images)
    assert chosen_by <= 3 and counter.inputs == again.forwards.sum()  # one image finds the layer, one tries CAM
    recipe = result.recipe
    method = expected.pop("method")
    assert recipe.method == method and expected.items() <= recipe.method_options.items()
    named = ProbabilityCorrector(net, method, top_k=2, **expected).correct(tiny_images)
    torch.testing.assert_close(result.correction, named.correction, rtol=0, atol=1e-6)
    assert named.recipe == recipe
    by_recipe = ProbabilityCorrector(net, recipe=recipe).correct(tiny_images)
    assert torch.equal(by_recipe.correction, again.correction)
    assert torch.equal(result.forwards, again.forwards)


def test_the_recipe_that_was_asked_for_stays_auto(tiny_net):
    corrector = ProbabilityCorrector(tiny_net, recipe="zoom")
    assert corrector.recipe == ZOOM and corrector.settings["method"] == "auto"
