"""LRP through the adapter: element-wise modules are what Captum's ReLU is, and nothing stays behind."""

import captum.attr
import pytest
import torch
from captum.attr._core import lrp
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule
from conftest import images
from torch import nn

from maskcorrect_adapters.captum_lrp import ELEMENTWISE
from maskcorrect_plugin import create_attribution
from maskcorrect_plugin.functional import scale_maps

TARGETS = torch.tensor([3, 0, 4])
ARGUMENTS = {nn.Threshold: (0.1, 0.0)}


def network(first, second=None, seed=0):
    """Two convolutions with an activation behind each; everything else is known to Captum, but for the flattening."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 4, 3), first, nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), second or first]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).eval()


def library(net, inputs, targets=TARGETS):
    """Captum alone; what it computes with the flattening's rule, which it demands, is taken away again by itself."""
    net[6].rule = EpsilonRule()
    values = captum.attr.LRP(net).attribute(inputs.clone().requires_grad_(), targets)
    return scale_maps(values.sum(dim=1, keepdim=True).relu()).detach()


def adapter(net, inputs, targets=TARGETS):
    return create_attribution("captum:LRP", net).attribute(inputs, targets)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU6(), nn.ReLU6(inplace=True), nn.Hardtanh(0, 50), nn.LeakyReLU(0.0), nn.Threshold(0, 0), nn.PReLU(init=0.0)],
    ids=lambda module: str(module),
)
def test_what_acts_as_relu_gives_captum_s_maps_of_relu(activation):
    inputs = images()
    with_relu = network(nn.ReLU())
    assert with_relu[:2](inputs).max() < 6 and with_relu[:5](inputs).max() < 6  # there ReLU6 is ReLU
    expected = library(with_relu, inputs)
    found = adapter(network(activation), inputs)
    assert torch.allclose(found, expected, atol=1e-6, rtol=0) and found.amax() == 1


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_every_element_wise_module_is_what_captum_makes_of_it_once_it_is_in_its_list(kind, monkeypatch):
    net, inputs = network(kind(*ARGUMENTS.get(kind, ()))), images()
    found = adapter(net, inputs)
    monkeypatch.setattr(lrp, "SUPPORTED_NON_LINEAR_LAYERS", [*lrp.SUPPORTED_NON_LINEAR_LAYERS, kind])
    assert torch.allclose(found, library(net, inputs), atol=1e-6, rtol=0)


def test_a_module_that_stands_at_two_places_still_does():
    apart, inputs = network(nn.SiLU(), nn.SiLU()), images()
    twice = network(nn.SiLU())
    assert twice[1] is twice[4] and torch.equal(adapter(twice, inputs), adapter(apart, inputs))


def test_an_empty_sequential_is_the_identity_that_it_is():
    inputs = images()
    net = network(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.Sequential()))
    assert torch.allclose(adapter(net, inputs), library(network(nn.ReLU()), inputs), atol=1e-6, rtol=0)


def snapshot(net):
    """Everything that must be as before: modules by identity, their attributes, tensors and their storage."""
    modules = [(name, module, dict(vars(module)), dict(module._modules)) for name, module in net.named_modules()]
    tensors = {name: (tensor.clone(), tensor.data_ptr()) for name, tensor in net.state_dict().items()}
    return modules, tensors


@pytest.mark.parametrize("failing", [None, 1, 2])
def test_model_and_captum_are_as_before_also_when_a_forward_fails(failing):
    calls = []

    def count(*_):
        calls.append(1)
        if len(calls) == failing:
            raise KeyError("no")

    net, inputs = network(nn.ReLU6(inplace=True), nn.Hardswish()), images()
    net[1].register_forward_hook(count)  # somebody's own hook on a module that is stood in for
    net[4].rule = EpsilonRule()
    modules, tensors = snapshot(net)
    lists = list(lrp.SUPPORTED_NON_LINEAR_LAYERS), dict(lrp.SUPPORTED_LAYERS_WITH_RULES)
    if failing is None:
        adapter(net, inputs)
        assert len(calls) == 2  # it has run in both of Captum's forwards
    else:
        with pytest.raises(KeyError):
            adapter(net, inputs)
    after, tensors_after = snapshot(net)
    for before, now in zip(modules, after, strict=True):
        assert before[0] == now[0] and before[1] is now[1] and before[2] == now[2] and before[3] == now[3]
    for name, (values, pointer) in tensors.items():
        assert torch.equal(values, tensors_after[name][0]) and pointer == tensors_after[name][1]
    assert lists == (lrp.SUPPORTED_NON_LINEAR_LAYERS, lrp.SUPPORTED_LAYERS_WITH_RULES)


@pytest.mark.parametrize(("module", "name"), [(nn.LayerNorm([4, 14, 18]), "LayerNorm"), (nn.Softmax(1), "Softmax")])
def test_modules_that_mix_values_are_refused_before_any_forward_unless_they_have_a_rule(module, name):
    net, inputs, calls = network(module, nn.ReLU()), images(), []
    net.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(TypeError, match=rf"captum:LRP has no rule for the module '1', a {name}; it knows .*Conv2d"):
        adapter(net, inputs)
    assert not calls and not hasattr(net[6], "rule")
    net[1].rule = EpsilonRule()
    maps = adapter(net, inputs)
    assert maps.amax() == 1 and isinstance(net[1].rule, EpsilonRule)  # Captum alone takes it away
    library(net, inputs)
    assert not hasattr(net[1], "rule")


def test_rules_of_the_user_count_and_leave_the_weights_alone():
    net, inputs = network(nn.ReLU6(), nn.ReLU6()), images()
    plain = adapter(net, inputs)
    net[0].rule = GammaRule(gamma=1.0)  # it changes the weights while it runs
    weight, pointer = net[0].weight.detach().clone(), net[0].weight.data_ptr()
    assert not torch.allclose(adapter(net, inputs), plain, atol=1e-3)
    assert torch.equal(net[0].weight, weight) and net[0].weight.data_ptr() == pointer


def test_the_user_s_own_layer_lrp():
    net, inputs = network(nn.ReLU6(), nn.ReLU6()), images()
    found = create_attribution(captum.attr.LayerLRP(net, net[3]), net).attribute(inputs, TARGETS)
    plain = network(nn.ReLU())
    plain[6].rule = EpsilonRule()
    values = captum.attr.LayerLRP(plain, plain[3]).attribute(inputs.clone().requires_grad_(), TARGETS)
    coarse = values.sum(dim=1, keepdim=True).relu()
    upsampled = captum.attr.LayerAttribution.interpolate(coarse, (16, 20), "bilinear")
    assert torch.allclose(found, scale_maps(upsampled).detach(), atol=1e-6, rtol=0)


class Residual(nn.Module):
    """``x + 2 x``, each branch a 1x1 convolution without bias; the sum of all values is the score."""

    def __init__(self, add):
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        self.pool, self.flatten, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2, bias=False)
        self.add = add or (lambda first, second: first + second)

    def forward(self, inputs):
        maps = self.stem(inputs)
        return self.head(self.flatten(self.pool(self.add(maps, self.branch(maps)))))


@pytest.mark.parametrize(("add", "conserved"), [(Addition_Module(), True), (None, False)])
def test_captum_conserves_relevance_over_additions_only_where_they_are_modules(add, conserved):
    """What docs/methods.md says of networks whose forward adds up by itself."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Residual(add).double()
    net.flatten.rule, inputs = EpsilonRule(), images(1).double().requires_grad_()
    _, delta = captum.attr.LRP(net).attribute(inputs, 1, return_convergence_delta=True)
    assert (delta.abs() < 1e-4).all() == conserved
