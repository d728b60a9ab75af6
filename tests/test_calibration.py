"""The fast batch size and memory format: found by timing passes that count, kept from then on."""

import pytest
import torch
from conftest import Counter, images, make_tiny_net
from torch import nn

from maskcorrect_plugin.inference import PassEngine, engine, evaluation_mode
from maskcorrect_plugin.inference.calibration import Calibration, Packing

START = Packing(8, True)


def find(seconds, *, sizes=True, formats=True, left=10_000):
    """Runs a search against given seconds per input; returns what it found and the inputs that it took."""
    calibration = Calibration(START, sizes=sizes, formats=formats)
    used = 0
    while calibration.unfinished:
        packing = calibration.choose(left, True)
        used += packing.size
        calibration.record(packing.size * seconds(packing))
    return calibration.choose(left, True), used


@pytest.mark.parametrize("size", [4, 8, 16, 32])
@pytest.mark.parametrize("channels_last", [True, False])
def test_the_fastest_packing_is_found(size, channels_last):
    def seconds(packing):
        return 1 + abs(packing.size - size) / 32 + (packing.channels_last != channels_last)

    assert find(seconds)[0] == Packing(size, channels_last)


def test_a_small_advantage_is_not_worth_a_change():
    assert find(lambda packing: 1 - 0.001 * packing.size)[0] == Packing(8, True)


def test_the_first_batch_of_each_kind_only_warms_up():
    calls = []

    def seconds(packing):
        calls.append(packing)
        return 100.0 if calls.count(packing) == 1 else 2.0 / packing.size

    assert find(seconds, formats=False)[0] == Packing(32, True)


def test_one_slow_batch_does_not_decide():
    calls = []

    def seconds(packing):
        calls.append(packing)
        return 100.0 if len(calls) == 3 else 2.0 - packing.channels_last

    assert find(seconds, sizes=False)[0] == Packing(8, True)


def test_it_takes_few_inputs_and_none_when_all_is_given():
    assert find(lambda packing: 1 / packing.size)[1] <= 264
    assert find(lambda packing: 1, sizes=False)[1] == 6 * 8
    assert find(lambda packing: 1, sizes=False, formats=False) == (Packing(8, True), 0)


def test_only_full_batches_of_long_runs_are_tried():
    calibration = Calibration(Packing(8, True), sizes=True, formats=False)
    assert calibration.choose(100, False) == Packing(8, True) and not calibration.trying
    assert calibration.choose(7, True) == Packing(8, True) and not calibration.trying
    calibration.record(1.0)  # is nobody's time
    assert calibration.choose(100, True) == Packing(8, True) and calibration.trying


class Timed(nn.Module):
    """A network on a clock of its own: large batches are fast and memory ends at some size."""

    def __init__(self, monkeypatch, limit=1000):
        super().__init__()
        self.net = make_tiny_net()
        self.clock, self.limit, self.formats = [0.0], limit, []  # lists, which the folded copy shares
        monkeypatch.setattr(engine, "_now", lambda device, wait: self.clock[0])
        monkeypatch.setattr(engine, "CALIBRATED_FROM", 500)
        monkeypatch.setitem(engine.AUTO_PIXELS, "cpu", 8 * 16 * 20)

    def forward(self, inputs):
        if len(inputs) > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        channels_last = inputs.is_contiguous(memory_format=torch.channels_last)
        self.formats.append(channels_last)
        self.clock[0] += 10 + len(inputs) * (2 if channels_last else 1)
        return self.net(inputs)


def run(model, passes, count=600):
    inputs, scores = images(1).expand(count, -1, -1, -1), torch.zeros(count, 5)
    with evaluation_mode(model):
        for start, stop, some in passes.run(count, inputs, lambda start, stop: (inputs[start:stop],)):
            scores[start:stop] = some
        torch.testing.assert_close(scores, model.net(images(1)).expand(count, -1), rtol=0, atol=1e-5)


def test_an_engine_tries_in_long_runs_wastes_no_pass_and_remembers(monkeypatch, device):
    model = Timed(monkeypatch)
    counter, passes = Counter(model), PassEngine(model)
    run(model, passes, 249)
    assert set(counter.batches[:-1]) == {8} and all(model.formats)
    run(model, passes)
    assert passes.passes == counter.inputs == 249 + 600
    assert model.formats[-1] is False and counter.batches[-2] == 32
    counter.reset()
    run(model, passes, 64)
    assert counter.batches == [32, 32]
    assert passes.batch_size(images()) == 8  # what is safe to hold together does not depend on timing


def test_given_values_are_not_questioned(monkeypatch):
    model = Timed(monkeypatch)
    counter = Counter(model)
    run(model, PassEngine(model, batch_size=16, channels_last=True))
    assert set(counter.batches[:-1]) == {16} and all(model.formats)


def test_trying_more_than_memory_holds_falls_back_and_ends_the_search(monkeypatch, caplog):
    model = Timed(monkeypatch, limit=20)
    counter, passes = Counter(model), PassEngine(model, channels_last=True)
    run(model, passes)
    assert 32 in counter.batches and counter.batches[-2] == 16
    assert [record.message for record in caplog.records] == ["out of memory with 32 inputs a batch: going on with 16"]
    assert passes.batch_size(images()) == 16


@pytest.mark.parametrize("name", ["channels_last", "compile"])
def test_switches_are_checked(name):
    assert getattr(PassEngine(nn.Identity(), **{name: "auto"}), name) == "auto"
    with pytest.raises(ValueError, match=f"{name} must be True, False or 'auto', got 1"):
        PassEngine(nn.Identity(), **{name: 1})
