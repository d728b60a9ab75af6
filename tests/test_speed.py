"""A guard against slowing down: forwards counted exactly, time as a generous ratio within one run, never in seconds."""

import json
import subprocess
import sys
import time

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from speed_contenders import GRAD_CAM, TORCHCAM, Contender
from speed_networks import TINY, load_subject
from speed_table import markdown
from speed_timing import Job, channels_of, compare_maps, with_best_size

CLASSES = [3, 1, 4, 0, 5]
LIBRARIES = {GRAD_CAM: "pytorch_grad_cam", TORCHCAM: "torchcam"}


@pytest.fixture
def subject():
    return load_subject(TINY, None, [], torch.device("cpu"))


def work(contender, subject):
    """Forwards, and processor seconds: a busy machine makes a run longer, but not its work."""
    with contender.open(subject) as session:
        list(session.ask(CLASSES[:1]))
        forwards, begun = session.forwards(), time.process_time()
        maps = list(session.ask(CLASSES))
        assert len(maps) == len(CLASSES)
        return session.forwards() - forwards, time.process_time() - begun


def test_forwards_of_ours_do_not_grow_with_the_classes_and_those_of_the_libraries_do(subject):
    live, channels = channels_of(subject)
    assert work(Contender("float32"), subject)[0] == 1 + live
    for name, library in LIBRARIES.items():
        pytest.importorskip(library)
        own = len(CLASSES) * (1 + channels)
        assert work(Contender(name), subject)[0] == own + (name == TORCHCAM)


@pytest.mark.parametrize("name", list(LIBRARIES))
def test_ours_is_at_least_twice_as_fast_for_five_classes(subject, name):
    """It should be five times by the forwards alone."""
    pytest.importorskip(LIBRARIES[name])
    ratios = [work(Contender(name), subject)[1] / work(Contender("float32"), subject)[1] for _ in range(3)]
    assert max(ratios) >= 2, ratios


def test_most_of_the_time_is_the_network_itself(subject):
    """The passes by ours against the bare network on as many inputs: a half is far from what it is."""
    from speed_contenders import bare_forward

    forward, shares = bare_forward(subject, 16, "float32"), []
    for _ in range(3):
        forwards, ours = work(Contender("float32"), subject)
        begun = time.process_time()
        for _ in range(-(-forwards // 16)):
            forward()
        shares.append((time.process_time() - begun) / ours)
    assert max(shares) >= 0.5, shares


def test_the_benchmark_compares_the_same_maps_at_each_library_s_best_batch_size(subject):
    peers = []
    for name, library in LIBRARIES.items():
        pytest.importorskip(library)
        peers.append(with_best_size(Contender(name), subject, Job(TINY, None, (1,), 1)))
    assert all(peer.batch_size in (8, 16, 32) for peer in peers) and subject.probe.channels is None
    assert max(compare_maps(subject, peers, 3).values()) < 1e-4


def test_the_layer_can_be_limited_to_its_first_channels(subject):
    everything = subject.model(subject.inputs)
    subject.probe.channels = 5
    assert channels_of(subject) == (5, 64)
    assert torch.equal(subject.model(subject.inputs), everything)
    assert work(Contender("float32"), subject)[0] == 6


@pytest.mark.slow
def test_the_command_writes_what_it_prints(tmp_path):
    for library in LIBRARIES.values():
        pytest.importorskip(library)
    output = tmp_path / "speed.json"
    command = [sys.executable, ROOT / "benchmarks" / "speed.py", "--quick", "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(output.read_text())
    assert done.stdout == markdown(report) + "\n"
    assert f"| {GRAD_CAM} | 3 |" in done.stdout and "| float32 | 3 |" in done.stdout
    (timing,) = report["timing"]
    for name, contender in timing["contenders"].items():
        forwards = [entry["3"]["forwards"] for entry in contender["rounds"]]
        assert forwards == [{GRAD_CAM: 195, TORCHCAM: 196}.get(name, 65)] * 2
    assert {entry["contender"] for entry in report["memory"]} == {GRAD_CAM, TORCHCAM, "float32"}
    assert not list(tmp_path.glob("*.part"))
