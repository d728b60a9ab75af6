import pytest
import torch
from maskcorrect_energy import EnergyBackend, EnergyMethod, center_prior
from torch import nn

from maskcorrect_plugin import ProbabilityCorrector, create_attribution, list_attributions
from maskcorrect_plugin.testing import iter_checks, tiny_images, tiny_network

NAME = "energy:ActivationEnergy"
CENTERED = {"ActivationEnergy": {"center": 0.3}}


@pytest.mark.parametrize(("name", "check"), iter_checks(EnergyBackend()))
def test_contract(name, check):
    check()


@pytest.mark.parametrize(("name", "check"), iter_checks(EnergyBackend(), options=CENTERED))
def test_contract_with_the_centre_prior(name, check):
    check()


def test_the_entry_point_makes_it_known_by_name():
    assert list_attributions("energy:*") == [NAME]
    assert isinstance(create_attribution(NAME, tiny_network(), center=0.5), EnergyMethod)


class Channels(nn.Module):
    """Feature maps that are written down: two channels, 2 x 2 pixels."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(2, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([[[[1.0]], [[0.0]]], [[[0.0]], [[-2.0]]]])

    def forward(self, inputs):
        return self.maps(inputs).mean(dim=(-2, -1))


def test_the_map_is_the_sum_of_squares_scaled():
    inputs = torch.tensor([[[[0.0, 2.0], [0.0, 4.0]], [[0.0, 0.0], [1.0, 0.0]]]])
    found = EnergyMethod(Channels(), "maps").attribute(inputs, 0)
    # 1 * first^2 + 4 * second^2 = [[0, 4], [4, 16]], divided by 16.
    torch.testing.assert_close(found, torch.tensor([[[[0.0, 0.25], [0.25, 1.0]]]]))


def test_the_prior_is_highest_in_the_middle_and_does_not_hide_a_flat_map():
    prior = center_prior((5, 7), 0.3, torch.zeros(1))
    assert prior[2, 3] == prior.max() == 1
    assert prior[0, 3] < prior[1, 3] < 1
    flat = EnergyMethod(Channels(), "maps", center=0.3).attribute(torch.ones(1, 2, 6, 6), 0)
    assert torch.equal(flat, torch.zeros(1, 1, 6, 6))


def test_a_corrector_needs_one_forward_and_one_for_each_candidate():
    model, forwards = tiny_network(), []
    corrector = ProbabilityCorrector(model, NAME, top_k=3, target_layer="relu2")
    model.register_forward_pre_hook(lambda _module, arguments: forwards.append(len(arguments[0])))
    result = corrector.correct(tiny_images(2))
    assert sum(forwards) == 2 * (1 + 3)
    assert result.settings["method"] == NAME


@pytest.mark.parametrize("center", [0, -1, 11, float("nan")])
def test_a_centre_that_is_none_is_refused(center):
    with pytest.raises(ValueError, match="center"):
        EnergyMethod(tiny_network(), center=center)
