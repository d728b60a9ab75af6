"""What the documents show must run."""

import re

import pytest
import torch
from conftest import ROOT
from torch import nn

from maskcorrect_plugin import load_dataset, registry
from maskcorrect_plugin.testing import check_backend


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / path).read_text(), flags=re.DOTALL)


def test_the_backend_of_the_readme_is_complete_and_passes_the_checks():
    namespace = {}
    exec(compile(blocks("adapters/README.md", "python")[0], "adapters/README.md", "exec"), namespace)
    backend = namespace["CenterBackend"]()
    try:
        registry.register_backend(backend)
        check_backend(backend)
    finally:
        registry.unregister_backend("center")


HOW_TO = sorted(f"docs/how-to/{path.name}" for path in (ROOT / "docs" / "how-to").glob("*.md"))
RUNNING = [page for page in (*HOW_TO, "docs/controls.md") if blocks(page, "python")]


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        *(
            f"docs/{name}.md"
            for name in (
                *("index", "examples", "getting-started", "data-sets", "method", "architecture"),
                *("results", "performance", "fidelity"),
            )
        ),
        *RUNNING,
    ],
)
def test_python_blocks_compile_and_links_lead_somewhere(path):
    for block in blocks(path, "python"):
        compile(block, path, "exec")
    folder = (ROOT / path).parent
    for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / path).read_text()):
        assert link.startswith("https://") or (folder / link).exists(), f"{path} links to {link}"


class NetOfTheReader(nn.Module):
    """What the how-to pages take for granted: a CNN with `layer4`, global average pooling and one linear head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.layer4 = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, 7)

    def forward(self, inputs):
        return self.fc(self.pool(self.layer4(self.stem(inputs).relu())).flatten(1))


def what_the_reader_has():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, images = NetOfTheReader().eval(), torch.randn(3, 3, 32, 32)
    rgb = images[0].sigmoid().permute(1, 2, 0).numpy()
    return {"model": model, "images": images, "labels": torch.tensor([0, 3, 6]), "rgb": rgb}


def test_there_are_how_to_pages():
    assert len(HOW_TO) >= 4


@pytest.mark.parametrize("path", RUNNING)
def test_pages_run_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))  # what a page registers goes with it
    code = blocks(path, "python")
    for library in ("pytorch_grad_cam", "torchcam", "timm"):
        if any(f"import {library}" in block or f"from {library}" in block for block in code):
            pytest.importorskip(library)
    namespace = what_the_reader_has()
    before = {name: value.clone() for name, value in namespace["model"].state_dict().items()}
    for block in code:
        exec(compile(block, path, "exec"), namespace)
    assert all(torch.equal(before[name], value) for name, value in namespace["model"].state_dict().items())
    if "records" in namespace:  # a page on evaluating data sets
        assert all(frame["failure"].isna().all() for frame in namespace["records"].values())
        return
    result = namespace["result"]  # every other page ends up with a correction
    torch.testing.assert_close(result.corrected_probs.sum(dim=1), torch.ones(3))
    assert result.corrected.any()


def test_the_page_on_data_sets_runs_and_its_manifest_is_one(tmp_path):
    namespace = {}
    for block in blocks("docs/data-sets.md", "python"):
        exec(compile(block, "docs/data-sets.md", "exec"), namespace)
    assert [namespace["dataset"].record(index).label for index in range(4)] == [0, 2, 1, None]
    assert len(namespace["group"].kept) == 12
    (tmp_path / "list.csv").write_text(blocks("docs/data-sets.md", "csv")[0])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").touch()
    manifest = load_dataset(tmp_path / "list.csv", num_classes=1000)
    assert [manifest.record(index).label for index in range(3)] == [305, 243, None]
