"""BatchNorm folded into convolutions: the copy says what the model says, and the model is left alone."""

import copy

import pytest
import torch
from conftest import Counter, images, make_tiny_net
from torch import nn

from maskcorrect_plugin.inference import PassEngine, evaluation_mode
from maskcorrect_plugin.inference.folding import PairWatch, can_be_watched, detached_copy, folded_copy
from maskcorrect_plugin.inference.pass_model import FOLDED_FROM, PassModel


def randomise(net, seed=0):
    """Statistics and weights under which folding makes a difference."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -1), (module.running_var, 0.3)):
                tensor.copy_(low + 2 * torch.rand(tensor.shape, generator=generator))
            if module.affine:
                module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
                module.bias.data.copy_(torch.randn(module.bias.shape, generator=generator))
    return net.eval()


def normed_net():
    return randomise(make_tiny_net())


def pairs_of(net, inputs):
    watch = PairWatch()
    with evaluation_mode(net), watch.on(net):
        net(inputs)
    return watch.pairs


class Wired(nn.Module):
    """A convolution and a BatchNorm with something of one's own in between or beside."""

    def __init__(self, wiring, affine=True):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4, affine=affine)
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 5)
        self.wiring = wiring
        randomise(self)

    def forward(self, inputs):
        return self.head(self.wiring(self, inputs).mean(dim=(-2, -1)))


def plain(net, inputs):
    return net.norm(net.conv(inputs))


def forked(net, inputs):
    maps = net.conv(inputs)
    return net.norm(maps) + maps


def rectified(net, inputs):
    return net.norm(net.relu(net.conv(inputs)))


def twice(net, inputs):
    return net.norm(net.conv(inputs)) + net.conv(inputs)


def apart(net, inputs):
    return net.norm(torch.relu(net.conv(inputs)))


def test_the_copy_says_what_the_model_says_and_the_model_stays_as_it_was():
    net, inputs = normed_net().double(), images().double()
    state = copy.deepcopy(net.state_dict())
    pairs = pairs_of(net, inputs)
    assert pairs == {net.stem: net.norm}
    folded = folded_copy(net, pairs)
    with evaluation_mode(net):
        torch.testing.assert_close(folded(inputs), net(inputs), rtol=1e-12, atol=1e-12)
    assert isinstance(folded.norm, nn.Identity) and isinstance(net.norm, nn.BatchNorm2d)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())
    assert folded.head is not net.head and folded.head.weight is net.head.weight


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_with_and_without_weights_of_its_own(affine):
    net = Wired(plain, affine).double()
    folded = folded_copy(net, pairs_of(net, images().double()))
    with evaluation_mode(net):
        torch.testing.assert_close(folded(images().double()), net(images().double()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("wiring", [rectified, twice, apart])
def test_what_is_no_pair_is_not_taken_for_one(wiring):
    """An in-place ReLU gives BatchNorm the same tensor with other values in it; a convolution may run twice."""
    net = Wired(wiring)
    assert pairs_of(net, images()) == {}


def test_modules_with_hooks_of_somebody_else_are_left_alone():
    net = normed_net()
    net.norm.register_forward_hook(lambda *_: None)
    assert pairs_of(net, images()) == {}
    net = normed_net()
    net.stem.register_forward_pre_hook(lambda *_: None)
    assert pairs_of(net, images()) == {}
    net = normed_net()
    net.stem.forward = net.stem.forward
    assert pairs_of(net, images()) == {}


def test_a_convolution_that_is_read_by_something_else_too_is_found_out():
    net = Wired(forked)
    assert pairs_of(net, images()) == {net.conv: net.norm}  # which a hook cannot see
    model = PassModel(net, None, fold=True)
    with evaluation_mode(net):
        expected = net(images())
        assert torch.equal(model(images()), expected)
        assert model.fastest is net and model.pairs == {}
        assert torch.equal(model(images()), expected)


def test_a_copy_that_cannot_be_made_is_done_without():
    class Odd(type(make_tiny_net())):
        def forward(self, inputs):
            if isinstance(self.norm, nn.Identity):
                raise AttributeError("no eps here")
            return super().forward(inputs)

    net = randomise(Odd())
    model = PassModel(net, None, fold=True)
    with evaluation_mode(net):
        model(images())
        assert model.fastest is net and model.pairs == {}


def test_only_models_whose_hooks_are_seen_are_folded():
    net = make_tiny_net()
    assert can_be_watched(net) and not can_be_watched(net.forward)
    assert not can_be_watched(torch.compile(net)) and not can_be_watched(nn.Sequential(torch.compile(net)))
    assert PassModel(net.forward, None, fold=True).settled


def scores_of(engine, net, inputs, count):
    def make_batch(start, stop):
        return (inputs[torch.arange(start, stop) % len(inputs)],)

    with evaluation_mode(net):
        return torch.cat([scores for _, _, scores in engine.run(count, inputs, make_batch)])


def test_long_runs_are_folded_every_pass_once_and_short_ones_are_not(monkeypatch):
    net, inputs = normed_net(), images()
    with evaluation_mode(net):
        expected = net(inputs)
    counter = Counter(net)
    ran = []
    forward = nn.BatchNorm2d.forward
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, maps: ran.append(len(maps)) or forward(self, maps))
    engine = PassEngine(net, batch_size=32)
    scores = scores_of(engine, net, inputs, FOLDED_FROM)
    torch.testing.assert_close(scores, expected[torch.arange(FOLDED_FROM) % 3], rtol=0, atol=1e-5)
    assert counter.inputs == engine.passes == FOLDED_FROM
    assert ran == [32]  # the first batch only
    scores_of(engine, net, inputs, FOLDED_FROM - 1)
    assert sum(ran) == 32 + FOLDED_FROM - 1


@pytest.mark.parametrize("change", ["in place", "through .data", "another tensor"])
def test_weights_that_change_between_two_runs_are_seen(change):
    net, inputs = normed_net(), images()
    engine = PassEngine(net, batch_size=32)
    before = scores_of(engine, net, inputs, FOLDED_FROM)
    with torch.no_grad():
        if change == "in place":
            net.norm.weight.mul_(2)
        elif change == "through .data":
            net.stem.weight.data.mul_(2)
        else:
            net.norm.running_mean = net.norm.running_mean + 1
        expected = net(inputs)
    after = scores_of(engine, net, inputs, FOLDED_FROM)
    assert (after - before).abs().max() > 1e-2
    torch.testing.assert_close(after[:3], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_folded_too(precision):
    net, inputs = normed_net(), images()
    engine = PassEngine(net, batch_size=32, precision=precision)
    scores = scores_of(engine, net, inputs, FOLDED_FROM)
    with evaluation_mode(net):
        torch.testing.assert_close(scores[-1], net(inputs)[255 % 3], rtol=0.05, atol=0.2)
    assert engine._pairs == {net.stem: net.norm}


def test_a_detached_copy_shares_the_memory_and_nothing_else():
    net = normed_net()
    twin = detached_copy(net)
    for name, parameter in twin.named_parameters():
        own = net.get_parameter(name)
        assert parameter is not own and parameter.data_ptr() == own.data_ptr() and not parameter.requires_grad
    assert all(parameter.requires_grad for parameter in net.parameters())
    with evaluation_mode(net):
        assert torch.equal(twin(images()), net(images()))
