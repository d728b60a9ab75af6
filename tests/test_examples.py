"""Every script in examples/ runs as a user runs it, in a folder of its own, and says something true."""

import os
import re
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.demo.network import WEIGHTS_FILE, normalize
from maskcorrect_plugin.demo.scenes import CLASS_NAMES, SceneDataset

EXAMPLES = ROOT / "examples"
PNG = b"\x89PNG\r\n\x1a\n"

needs_weights = pytest.mark.skipif(
    not WEIGHTS_FILE.is_file(), reason=f"the demo's weights {WEIGHTS_FILE.name} are not there (yet)"
)


def run_script(name, folder):
    """The lines that a script prints, run in `folder`."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers(line):
    return [float(found) for found in re.findall(r"-?\d+\.\d+", line)]


@pytest.fixture(scope="module")
def demo():
    return load_model("demo").model


def scenes(count):
    images, labels = zip(*(SceneDataset("test", count=count)[index] for index in range(count)), strict=True)
    return normalize(torch.stack(images)), torch.tensor(labels)


def test_every_script_is_tested():
    tested = {"captum_noise_tunnel", "cifar_resnet20", "correct_one_image", "drop_in_module", "swap_method"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested | {"validation_loop"}


def test_cifar_resnet20_is_a_factory(tmp_path, monkeypatch):
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.delenv("MASKCORRECT_CIFAR_WEIGHTS", raising=False)
    loaded = load_model("cifar_resnet20:resnet20")
    assert loaded.model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert loaded.class_names[3] == "cat"
    assert run_script("cifar_resnet20.py", tmp_path) == []  # a module: on its own it does nothing


@needs_weights
def test_correct_one_image(tmp_path, demo):
    _, *rows, last = run_script("correct_one_image.py", tmp_path)
    result = ProbabilityCorrector(demo, "ScoreCAM", top_k=5).correct(scenes(5)[0][4:])
    shown = result.candidates[0].tolist()
    assert [row[:30].strip() for row in rows] == [CLASS_NAMES[index] for index in shown]
    expected = torch.stack([result.probs[0, shown], result.corrected_probs[0, shown]], dim=1) * 100
    torch.testing.assert_close(torch.tensor([numbers(row) for row in rows]), expected, atol=0.06, rtol=0)
    assert last.startswith("correction.png")
    assert (tmp_path / "correction.png").read_bytes().startswith(PNG)


@needs_weights
def test_swap_method(tmp_path, demo):
    rows = run_script("swap_method.py", tmp_path)
    assert len(rows) == 4
    image = scenes(5)[0][4:]
    options = [
        ("ScoreCAM", {}),
        ("ScoreCAM", {"preset": "grad_cam"}),
        ("ScoreCAM", {"preset": "torchcam"}),
        ("CAM", {}),
    ]
    for row, (method, chosen) in zip(rows, options, strict=True):
        probs = ProbabilityCorrector(demo, method, **chosen).correct(image).corrected_probs[0]
        assert CLASS_NAMES[int(probs.argmax())] in row
        assert numbers(row)[0] == pytest.approx(100 * probs.max().item(), abs=0.06)


@needs_weights
def test_drop_in_module(tmp_path, demo):
    rows = run_script("drop_in_module.py", tmp_path)
    assert len(rows) == 3
    images, labels = scenes(96)
    for row, module in zip(rows[:2], (demo, ProbabilityCorrector(demo, "CAM")), strict=True):
        with torch.no_grad():
            log_probs = module(images).log_softmax(-1)
        right = (log_probs.argmax(-1) == labels).double().mean().item()
        assert numbers(row)[0] == pytest.approx(100 * right, abs=0.06)
        assert numbers(row)[1] == pytest.approx(torch.nn.functional.nll_loss(log_probs, labels).item(), abs=2e-3)


@needs_weights
def test_captum_noise_tunnel(tmp_path, demo):
    first, zeros, score_cam, tunnel, last = run_script("captum_noise_tunnel.py", tmp_path)
    with torch.no_grad():
        assert first == f"class: {CLASS_NAMES[int(demo(scenes(5)[0][4:]).argmax())]}"
    for infidelity, sensitivity in (numbers(score_cam), numbers(tunnel)):
        # Scaled by the best factor, a map is never worse than the same map times zero.
        assert 0 <= infidelity <= numbers(zeros)[0] * 1.001 + 1e-6
        assert 0 < sensitivity < 10
    assert numbers(score_cam) != numbers(tunnel)
    assert last.startswith("noise_tunnel.png")
    assert (tmp_path / "noise_tunnel.png").read_bytes().startswith(PNG)


def calibration_error(probs, labels, bins=15):
    """Over equal bins of confidence: share of the images times the distance of accuracy and mean confidence."""
    confidence, answer = probs.double().max(dim=1)
    which, right = (confidence * bins).ceil(), (answer == labels).double()
    parts = [which == index for index in range(1, bins + 1) if (which == index).any()]
    return sum(part.double().mean() * (right[part].mean() - confidence[part].mean()).abs() for part in parts).item()


@needs_weights
def test_validation_loop(tmp_path, demo):
    pytest.importorskip("torchmetrics")
    model, nothing, corrected = (numbers(row) for row in run_script("validation_loop.py", tmp_path))
    # Loss, accuracies and calibration error are those of the model where nothing is corrected.
    assert nothing == pytest.approx(model, abs=2e-4)
    images, labels = scenes(64)
    for row, module in ((model, demo), (corrected, ProbabilityCorrector(demo, "CAM"))):
        with torch.no_grad():
            output = module(images)
        right = (output.topk(5).indices == labels[:, None]).double()
        top1, top5 = right[:, 0].mean().item(), right.sum(dim=1).mean().item()
        error = calibration_error(output.softmax(-1), labels)
        assert row[0] == pytest.approx(torch.nn.functional.cross_entropy(output, labels).item(), abs=2e-3)
        assert row[1:] == pytest.approx([100 * top1, 100 * top5, error, top1, top5], abs=6e-3)
    assert corrected[0] != model[0]
