"""When passes are compiled, for which weights, and what happens where that fails or does not pay."""

import logging
import shutil

import pytest
import torch
from conftest import images, make_tiny_net
from torch import nn

from maskcorrect_plugin.inference import PassEngine, compilation, engine, evaluation_mode


class Compiler:
    """Stands in for torch.compile: remembers what it was given and how often the result was called."""

    def __init__(self, monkeypatch, broken=False):
        self.models, self.batches, self.broken = [], [], broken
        monkeypatch.setattr(torch, "compile", self.compile)

    def compile(self, model, dynamic):
        assert dynamic is False
        self.models.append(model)

        def call(inputs, *args):
            self.batches.append(len(inputs))
            if self.broken:
                raise RuntimeError("no C++ compiler\nand more about it")
            return model(inputs, *args)

        return call


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is a second later."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(engine, "_now", lambda device, wait: next(seconds))


def run(passes, net, count):
    inputs = images(1).expand(count, -1, -1, -1)
    with evaluation_mode(net):
        scores = [some for _, _, some in passes.run(count, inputs, lambda start, stop: (inputs[start:stop],))]
        torch.testing.assert_close(torch.cat(scores), net(images(1)).expand(count, -1), rtol=0, atol=1e-5)


def test_it_is_compiled_once_the_passes_have_cost_enough(monkeypatch, clock, caplog):
    """A batch of 4 takes a second; a compiled pass is expected to save a sixth of it, compiling to cost 90 s."""
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    passes = PassEngine(net, batch_size=4, compile="auto")
    with caplog.at_level(logging.INFO):
        run(passes, net, 4 * 100)
        assert not compiler.models
        run(passes, net, 4 * 400)
        run(passes, net, 4 * 100)
    # After 100 s, 400 s more, in the same run, would be 500; worth it are 540. One batch of the third run is enough.
    assert len(compiler.models) == 1 and len(compiler.batches) >= 99
    assert any(record.message.startswith("compiling the model for its passes, after 50") for record in caplog.records)


def test_asked_for_it_is_compiled_at_once_and_never_without(monkeypatch):
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    run(PassEngine(net, batch_size=4), net, 400)
    assert not compiler.models
    run(PassEngine(net, batch_size=4, compile=True), net, 40)
    assert len(compiler.models) == 1 and compiler.batches == [4] * 10


def test_a_batch_that_is_mostly_padding_is_not_compiled(monkeypatch):
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    passes = PassEngine(net, batch_size=8, compile=True)
    for count in (8, 4, 3):
        run(passes, net, count)
    assert compiler.batches == [8, 8] and passes.passes == 15


def test_long_runs_compile_the_folded_copy(monkeypatch):
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    run(PassEngine(net, batch_size=32, compile=True), net, 256)
    (model,) = compiler.models
    assert isinstance(model.norm, nn.Identity) and isinstance(net.norm, nn.BatchNorm2d)


def test_weights_that_change_are_compiled_again(monkeypatch):
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    passes = PassEngine(net, batch_size=4, compile=True)
    run(passes, net, 40)
    run(passes, net, 40)
    assert len(compiler.models) == 1
    net.head.bias.data.add_(1)
    run(passes, net, 40)
    assert len(compiler.models) == 2


def test_a_failing_compiler_is_done_without_if_nobody_asked_for_it(monkeypatch, caplog):
    monkeypatch.setattr(compilation, "COMPILE_SECONDS", 0)
    net, compiler = make_tiny_net(), Compiler(monkeypatch, broken=True)
    run(PassEngine(net, batch_size=4, compile="auto"), net, 40)
    assert [record.message for record in caplog.records] == [
        "the model cannot be compiled, going on without: no C++ compiler"
    ]
    assert compiler.batches == [4]
    with pytest.raises(RuntimeError, match="no C"):
        run(PassEngine(net, batch_size=4, compile=True), net, 40)


def test_a_compiled_model_that_is_no_faster_is_given_up(monkeypatch, caplog):
    net, compiler = make_tiny_net(), Compiler(monkeypatch)
    monkeypatch.setattr(compilation, "COMPILE_SECONDS", 0)
    seconds, batches = [0.0], []
    net.register_forward_pre_hook(lambda *_: batches.append(1))

    def now(device, wait):
        seconds[0] += 2 if compiler.batches else 1
        return seconds[0]

    monkeypatch.setattr(engine, "_now", now)
    passes = PassEngine(net, batch_size=4, compile="auto")
    with caplog.at_level(logging.INFO):
        run(passes, net, 4 * 20)
    assert len(compiler.batches) == 1 + compilation.ENOUGH
    assert caplog.records[-1].message == "the compiled model is given up: it is no faster"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore")
def test_the_real_compiler_gives_the_same_scores_also_after_the_weights_have_changed(device):
    net = make_tiny_net().to(device)
    passes = PassEngine(net, batch_size=8, compile=True)
    for _ in range(2):
        run(passes, net, 256)
        net.head.weight.data.mul_(2)
        net.stem.weight.data.mul_(0.5)
    assert passes._compilation.function is not None
    torch._dynamo.reset()
