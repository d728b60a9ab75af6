"""The benchmark of the budget of masks: its figures by hand, and one run of it."""

import json
import math
import sys

import pytest
import torch
from conftest import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "benchmarks"))
import fidelity


def test_correlations_by_hand():
    maps = torch.tensor([[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], [[0.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]]])
    others = torch.tensor([[[2.0, 4.0, 6.0]], [[3.0, 2.0, 1.0]], [[1.0, 1.0, 0.0]], [[0.0, 1.0, 2.0]], [[0.0] * 3]])
    torch.testing.assert_close(
        fidelity.pearson(maps, others), torch.tensor([1.0, -1.0, -0.5, 0.0, 1.0], dtype=torch.float64)
    )


def test_the_summary_of_two_photos():
    exact = fidelity.Row("exact", [[1.0, 1.0]] * 2, [3, 4], [100, 80], [6.0, 9.0])
    row = fidelity.Row("8", [[0.9, 0.5], [0.7, 0.8]], [3, 5], [10, 14], [2.0, 1.0])
    summary = row.summary(exact)
    assert summary["forwards"] == 12 and summary["same"] == 0.5
    assert summary["times_faster"] == (3 + 9) / 2
    assert math.isclose(summary["mean"], 0.725) and summary["worst"] == 0.5
    assert math.isclose(summary["first_mean"], 0.8) and summary["first_worst"] == 0.7


FACTORY = """
import torch
from torch import nn
from torchvision.transforms import v2

def tiny():
    net = nn.Sequential(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6))
    transform = v2.Compose([v2.Resize((16, 16)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    return net, transform, list("abcdef")
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny_factory.py").write_text(FACTORY)
    photos = tmp_path / "photos"
    photos.mkdir()
    noise = torch.randint(256, (4, 20, 20, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for index, pixels in enumerate(noise.numpy()):
        Image.fromarray(pixels).save(photos / f"{index}.png")
    (photos / "9.png").write_text("not a picture")
    return tmp_path


def test_one_command_gives_table_and_json(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    command = "fidelity.py photos --model tiny_factory:tiny --budgets 4,12 --start 1 --output out"
    monkeypatch.setattr(sys, "argv", command.split())
    fidelity.main()
    captured = capsys.readouterr()
    assert "RANDOM weights" in captured.out and "3 photos, 1.png to 3.png" in captured.out
    assert "left out: photos/9.png" in captured.out
    kept = json.loads((folder / "out" / "fidelity.json").read_text())
    assert kept["photos"] == ["1.png", "2.png", "3.png"]
    assert set(kept["summary"]) == {"exact", "4", "12"}
    assert kept["summary"]["4"]["forwards"] == 1 + 4 + 5
    assert kept["summary"]["12"]["worst"] > 1 - 1e-9 and kept["summary"]["12"]["same"] == 1
