"""Score-CAM's passes: nothing is done twice, nobody waits for the device, batches are full."""

import pytest
import torch
from conftest import images, make_tiny_net
from passes import Synchronisations

from maskcorrect_plugin import ProbabilityCorrector, create_attribution
from maskcorrect_plugin.inference import PassEngine, evaluation_mode


def method_of(net, **options):
    method = create_attribution("ScoreCAM", net, "act")
    method.use_engine(PassEngine(net, **options))
    return method


def candidates(inputs, top_k=3):
    return torch.arange(top_k, device=inputs.device).expand(len(inputs), -1)


def test_out_of_memory_in_the_middle_of_the_passes_repeats_none_of_those_that_were_done(device, caplog):
    net, inputs = make_tiny_net(channels=48).to(device), images().to(device)
    expected = method_of(net, batch_size=16).attribute_candidates(inputs, candidates(inputs))
    done, failed = [], []

    def limited(_module, arguments):
        size = len(arguments[0])
        if sum(done) >= 3 + 3 * 16 and size > 5:  # from the fourth masked batch on
            failed.append(size)
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append(size)

    net.register_forward_pre_hook(limited)
    method = method_of(net, batch_size=16)
    maps = method.attribute_candidates(inputs, candidates(inputs))
    live = 3 * 48 - 3  # channel 1 is dead
    assert sum(done) == method.engine.passes == 3 + live
    assert done[:4] == [3, 16, 16, 16] and failed == [16, 8] and set(done[4:-1]) == {4}
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5)
    assert [record.message for record in caplog.records] == ["out of memory with 16 inputs a batch: going on with 8"]


def run(net, inputs, count, **options):
    engine = PassEngine(net, batch_size=32, **options)
    with evaluation_mode(net):
        return [
            scores
            for *_, scores in engine.run(count, inputs, lambda start, stop: (inputs.expand(stop - start, -1, -1, -1),))
        ]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_host_waits_once_for_a_folded_network_and_never_again(device, precision):
    net, inputs = make_tiny_net().to(device), images(1).to(device)
    waits = []
    for count in (256, 1024):
        with Synchronisations() as during:
            run(net, inputs, count, precision=precision)
        waits.append(during.count)
    assert waits[0] == waits[1] <= 1


def test_a_gpu_is_not_waited_for_between_two_batches(device):
    if device.type != "cuda":
        pytest.skip("needs a GPU: run with --device cuda")
    net, inputs = make_tiny_net().to(device), images(1).to(device)

    def make_batch(start, stop):
        torch.cuda.set_sync_debug_mode("error" if start >= 64 else "default")
        return (inputs.expand(stop - start, -1, -1, -1),)

    try:
        with evaluation_mode(net):
            scores = [s for *_, s in PassEngine(net, batch_size=32).run(512, inputs, make_batch)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert sum(map(len, scores)) == 512


def test_passes_of_all_images_are_full_batches_but_for_the_last_one(tiny_net, tiny_images):
    sizes = []
    tiny_net.register_forward_pre_hook(lambda _module, arguments: sizes.append(len(arguments[0])))
    corrector = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=2, batch_size=4)
    corrector.correct(tiny_images)
    assert sizes == [3, 4, 4, 4, 3, 4, 2]  # candidates; 3 images of 5 live channels; 3 images of 2 candidates
