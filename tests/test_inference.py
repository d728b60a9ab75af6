import gc
import logging
import weakref

import pytest
import torch
from conftest import Counter, images, make_tiny_net
from torch import nn

from maskcorrect_plugin.inference import PassEngine, class_scores, evaluation_mode, is_out_of_memory


def run(engine, inputs):
    batches = list(engine.run(len(inputs), inputs, lambda start, stop: (inputs[start:stop],)))
    assert [start for start, _, _ in batches] == [0, *(stop for _, stop, _ in batches[:-1])]
    return torch.cat([scores for _, _, scores in batches])


def test_packs_into_full_batches_and_covers_every_input_once(tiny_net, device):
    inputs = images(11).to(device)
    counter = Counter(tiny_net)
    with evaluation_mode(tiny_net):
        scores = run(PassEngine(tiny_net, batch_size=4), inputs)
        expected = tiny_net(inputs)
    assert counter.batches[:-1] == [4, 4, 3]
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("size", "expected"), [((224, 224), 8), ((32, 32), 256), ((96, 96), 43), ((4000, 4000), 1)])
def test_automatic_batches_hold_about_equally_many_pixels(size, expected):
    assert PassEngine(nn.Identity()).batch_size(torch.empty(1, 3, *size)) == expected
    assert PassEngine(nn.Identity(), batch_size=5).batch_size(torch.empty(1, 3, *size)) == 5


class Hungry(nn.Module):
    """Runs out of memory above a batch size, like an allocator does."""

    def __init__(self, limit, error=None):
        super().__init__()
        self.net = make_tiny_net()
        self.limit = limit
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.seen = []

    def forward(self, inputs):
        self.seen.append(len(inputs))
        if len(inputs) > self.limit:
            raise self.error
        return self.net(inputs)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_out_of_memory_halves_goes_on_and_says_so_once(error, caplog):
    model = Hungry(3, error)
    engine = PassEngine(model, batch_size=16)
    inputs = images(20)
    with evaluation_mode(model), caplog.at_level(logging.WARNING):
        scores = run(engine, inputs)
        run(engine, inputs)
    assert model.seen == [16, 8, 4] + [2] * 20  # 2 is what worked, and is remembered for the second run
    with evaluation_mode(model):
        torch.testing.assert_close(scores, model.net(inputs), rtol=0, atol=1e-5)
    assert [record.message for record in caplog.records] == ["out of memory with 16 inputs a batch: going on with 8"]


def test_out_of_memory_in_the_middle_keeps_what_was_done():
    model = Hungry(100)
    engine = PassEngine(model, batch_size=4)
    made = []

    def make_batch(start, stop):
        made.append((start, stop))
        model.limit = 1 if start >= 4 else 100
        return (images(8)[start:stop],)

    with evaluation_mode(model):
        spans = [(start, stop) for start, stop, _ in engine.run(8, images(), make_batch)]
    assert spans == [(0, 4), (4, 5), (5, 6), (6, 7), (7, 8)]
    assert made == [(0, 4), (4, 8), (4, 6), *spans[1:]]


def test_out_of_memory_with_a_single_input_is_raised():
    with pytest.raises(torch.OutOfMemoryError):
        run(PassEngine(Hungry(0), batch_size=4), images(4))


def test_other_errors_are_raised_at_once():
    model = Hungry(3, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        run(PassEngine(model, batch_size=16), images(20))
    assert model.seen == [16]
    assert not is_out_of_memory(ValueError("no"))


def test_a_failed_attempt_is_released_before_the_retry():
    engine = PassEngine(make_tiny_net(), batch_size=2)
    held = []

    def attempt(start, stop):
        if stop - start == 2:
            tensor = torch.zeros(8)
            held.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("out of memory")
        gc.collect()
        assert held[0]() is None
        return start

    assert [start for start, _, _ in engine.chunks(2, images(), attempt)] == [0, 1]


def test_evaluation_mode_restores_each_flag_also_after_an_error():
    net = make_tiny_net()
    net.train()
    net.norm.eval()
    before = [module.training for module in net.modules()]
    inside = []
    with pytest.raises(KeyError), evaluation_mode(net):
        inside += [torch.is_grad_enabled(), *(module.training for module in net.modules())]
        raise KeyError
    assert not any(inside)
    assert [module.training for module in net.modules()] == before
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_gives_scores_in_float32_near_the_exact_ones(tiny_net, tiny_images, precision):
    with evaluation_mode(tiny_net):
        exact = PassEngine(tiny_net).scores(tiny_images)
        reduced = PassEngine(tiny_net, precision=precision).scores(tiny_images)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, exact)
    torch.testing.assert_close(reduced, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_models_of_other_precisions_run_as_they_are(device, dtype):
    net = make_tiny_net().to(device, dtype)
    engine = PassEngine(net)
    with evaluation_mode(net):
        scores = engine.scores(engine.place(images().to(device)))
    assert scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert next(net.parameters()).dtype == dtype


def test_compiled_passes_equal_the_eager_ones_and_ragged_batches_are_padded(tiny_net, device):
    inputs = images(7).to(device)
    engine = PassEngine(tiny_net, batch_size=4, compile=True)
    seen = []

    def backend(graph, examples):
        return lambda *args: seen.append([a.shape[0] for a in args if a.shape[1:] == inputs.shape[1:]]) or graph(*args)

    engine._compilation.function = torch.compile(tiny_net, dynamic=False, backend=backend)
    with evaluation_mode(tiny_net):
        torch.testing.assert_close(run(engine, inputs), tiny_net(inputs), rtol=0, atol=1e-5)
    assert seen == [[4], [4]]
    torch._dynamo.reset()


def test_inputs_are_moved_to_the_model_and_that_is_said_once(caplog):
    engine = PassEngine(nn.Linear(2, 2, device="meta"))
    with caplog.at_level(logging.WARNING):
        assert engine.place(images()).device.type == "meta"
        engine.place(images())
    assert [record.message for record in caplog.records] == ["inputs on cpu are moved to the model's device meta"]


class Output:
    def __init__(self, logits):
        self.logits = logits


def test_outputs_with_logits_are_understood_and_others_explained():
    scores = torch.rand(2, 3)
    assert torch.equal(class_scores(Output(scores), 2), scores)
    with pytest.raises(ValueError, match=r"must return a tensor \(N,M\) or an object with .logits, got tuple; wrap"):
        class_scores((scores, scores), 2)
    with pytest.raises(ValueError, match=r"must return class scores \(2,M\), got shape \(2, 3, 4\)"):
        class_scores(torch.rand(2, 3, 4), 2)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[0.2, 0.9, 0.8]], "multi-label"),
        ([[-1.0, 2.0, 0.0]], "pass output='logits'"),
        ([[float("nan"), 0.5, 0.5]], "NaN or infinite values for 1 of 1"),
    ],
)
def test_probs_must_be_distributions(scores, message):
    with pytest.raises(ValueError, match=message):
        PassEngine(nn.Identity(), output="probs").checked_probs(torch.tensor(scores))


def test_logits_that_look_like_probabilities_are_warned_about_once():
    engine = PassEngine(nn.Identity())
    scores = torch.tensor([[0.25, 0.75]])
    with pytest.warns(UserWarning, match="look like probabilities"):
        engine.checked_probs(scores)
    engine.checked_probs(scores)  # warnings are errors in this suite: a second one would fail


def test_a_single_score_is_no_distribution():
    with pytest.raises(ValueError, match="at least two classes"):
        PassEngine(nn.Identity()).checked_probs(torch.rand(2, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": "big"}, "batch_size must be an integer"),
        ({"precision": "half"}, "precision must be one of"),
        ({"output": "probabilities"}, "output must be one of 'logits', 'probs'"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PassEngine(nn.Identity(), **arguments)
