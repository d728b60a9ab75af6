"""``maskcorrect fit`` as its user sees it: from images or a run to a corrector, and what it refuses."""

import json

import pytest
import torch
from lively import lively_inputs
from lively_factory import network
from torchvision.transforms import v2
from typer.testing import CliRunner

from maskcorrect_plugin import ProbabilityCorrector, RunFolder, load_model
from maskcorrect_plugin.cli import app

MODEL = ("-m", "lively_factory:network")
pytestmark = pytest.mark.filterwarnings("always:.*labelled images are few for a fit")
VIEWS = ("--views", "crop[map=merged]+hflip", "--method", "CAM", "-k", "3")
QUIET = (*MODEL, *VIEWS, "--quiet")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """120 images, sorted by what the network says to them, but for every fourth; one is broken."""
    folder = tmp_path_factory.mktemp("fit") / "data"
    net, _, names = network()
    inputs = lively_inputs(121)
    with torch.no_grad():
        answers = (net(inputs).softmax(-1) + net(inputs.flip(-1)).softmax(-1)).argmax(-1).tolist()
    for index, (image, answer) in enumerate(zip(inputs, answers, strict=True)):
        file = folder / names[(answer + (index % 4 == 0)) % 6] / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        v2.functional.to_pil_image((image * 0.25 + 0.5).clamp(0, 1)).save(file)
        if index == 7:
            file.write_bytes(file.read_bytes()[:60])
    return folder


@pytest.fixture
def maskcorrect(tmp_path, monkeypatch):
    """Runs ``maskcorrect`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    """A run that is finished."""
    folder = tmp_path_factory.mktemp("finished")
    done = CliRunner().invoke(app, ["fit", str(images), *QUIET, "-o", str(folder / "corrector.json")])
    assert done.exit_code == 0, done.output
    return folder / "corrector.run"


def error_of(result):
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return line


def test_images_become_a_corrector(maskcorrect, images, tmp_path):
    result = maskcorrect("fit", images, *MODEL, *VIEWS, "-o", "mine.json")
    assert result.exit_code == 0, result.output
    for text in (
        "Use ",
        "Corrections of the same images",
        "temperature alone",
        "another image's map",
        "paper",
        "unguided, fitted",
        "What each view is worth",
        "Gain against forwards, a view at a time",
        "five folds",
        "The corrector is in mine.json; the run in mine.run",
    ):
        assert text in result.stdout, text
    assert "120 labelled images are few for a fit" in result.stderr
    document = json.loads((tmp_path / "mine.json").read_text())
    assert document["model"]["spec"] == "lively_factory:network" and document["data"]["count"] == 121
    assert document["figures"]["images"] == 120 and document["figures"]["summary"] in " ".join(result.stdout.split())
    loaded = load_model("lively_factory:network")
    corrector = ProbabilityCorrector.from_file(loaded.model, "mine.json", preprocessing=loaded.preprocessing)
    assert corrector(lively_inputs(2)).shape == (2, 6)


def test_the_corrector_goes_into_the_other_commands(maskcorrect, images):
    assert maskcorrect("fit", images, *QUIET, "-o", "mine.json").exit_code == 0
    image = next(images.rglob("001.png"))
    result = maskcorrect("correct", image, *MODEL, "--recipe", "mine.json", "-o", "out")
    assert result.exit_code == 0, result.output
    other = maskcorrect("correct", image, "-m", "demo", "--recipe", "mine.json", "-o", "other")
    assert "fitted for 'lively_factory:network', another model: class, architecture, weights" in error_of(other)
    again = maskcorrect("fit", images, *MODEL, "--recipe", "mine.json", "--quiet", "-o", "again.json")
    assert again.exit_code == 0, again.output


def test_a_finished_run_is_fitted_without_a_forward(maskcorrect, run, tmp_path, monkeypatch):
    monkeypatch.setattr("maskcorrect_plugin.commands.fit.prepare", lambda *_: pytest.fail("loaded the model"))
    first = maskcorrect("fit", run, "--quiet", "-o", "first.json")
    assert first.exit_code == 0 and first.stdout == "", first.output
    assert maskcorrect("fit", run, "--quiet", "-o", "second.json").exit_code == 0
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert (tmp_path / "first.json").read_bytes() == (run.parent / "corrector.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "second.json"]


def test_a_run_that_was_stopped_goes_on(maskcorrect, images, run, tmp_path):
    assert maskcorrect("fit", images, *QUIET, "-o", "mine.json", "--run", "kept").exit_code == 0
    parts = sorted((tmp_path / "kept" / "records").rglob("*.parquet"))
    parts[1].unlink(), (tmp_path / "mine.json").unlink()
    assert "is not finished" in error_of(maskcorrect("fit", "kept", "-o", "mine.json"))
    times = {part: part.stat().st_mtime_ns for part in parts if part.exists()}
    assert maskcorrect("fit", images, *QUIET, "-o", "mine.json", "--run", "kept").exit_code == 0
    assert all(part.stat().st_mtime_ns == time for part, time in times.items()) and parts[1].exists()
    expected = json.loads((run.parent / "corrector.json").read_text())
    assert json.loads((tmp_path / "mine.json").read_text())["recipe"] == expected["recipe"]


def test_the_report_is_a_page(maskcorrect, run, tmp_path):
    result = maskcorrect("fit", run, "-o", "mine.json", "--report", "fit.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "fit.html").read_text()
    assert "the page in fit.html" in result.stdout and "What each view is worth" in page and "<svg" in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_forwards_can_be_limited(maskcorrect, run, tmp_path):
    assert maskcorrect("fit", run, "--quiet", "-o", "two.json", "--max-forwards", 2).exit_code == 0
    rows = json.loads((tmp_path / "two.json").read_text())["figures"]["rows"]
    assert next(row for row in rows if row["name"] == "fitted")["forwards"] <= 2
    assert "max_forwards" in maskcorrect("fit", run, "--max-forwards", 0.5).stderr.replace("-", "_")


def test_the_sum_pool_and_another_recipe_of_the_run(maskcorrect, run, tmp_path):
    options = ("--pool", "sum", "--method", "unguided", "--quiet", "-o", "sum.json")
    assert maskcorrect("fit", run, *options).exit_code == 0
    recipe = json.loads((tmp_path / "sum.json").read_text())["recipe"]
    assert {view.split("[")[0] for view in recipe["views"]} == {"center", "hflip", "whole"}
    assert "'fit'" in error_of(maskcorrect("fit", run, "--method", "fitt"))


def test_the_run_holds_the_rivals_in_single_precision(run):
    folder = RunFolder.open(run)
    assert folder.methods == ("fit", "unguided", "paper", "another image's map")
    assert folder.manifest.identity["records"]["distributions"] == "float32"
    assert folder.recipe("another image's map").views == folder.recipe("fit").views


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*MODEL, "-o", "x.txt"), "output must end in .json, got 'x.txt'"),
        ((), "model must be given"),
        ((*MODEL, "--pool", "mean"), "pool must be one of 'sum', 'log'"),
        ((*MODEL, "--recipe", "zom"), "did you mean 'zoom'?"),
        ((*MODEL, "--views", "hflip+zom"), "got 'zom'; did you mean 'zoom'?"),
        ((*MODEL, "--method", "CAN"), "unknown attribution method 'CAN'"),
        ((*MODEL, "--run", "."), "is not empty"),
        ((*MODEL, "-o", "missing/c.json", "--report", "x.html", "--limit", "50"), "at least 100 labelled images"),
    ],
)
def test_wrong_usage_is_one_line(maskcorrect, images, tmp_path, arguments, message):
    (tmp_path / "something").write_text("x")
    assert message in error_of(maskcorrect("fit", images, *arguments))


@pytest.mark.parametrize(
    "arguments", [MODEL, ("--views", "hflip"), ("-k", "3"), ("--limit", "100"), ("--recipe", "unguided")]
)
def test_a_finished_run_refuses_what_it_has_already(maskcorrect, run, tmp_path, arguments):
    message = error_of(maskcorrect("fit", run, *arguments, "-o", "x.json"))
    name = {"-m": "--model", "-k": "--top-k"}.get(arguments[0], arguments[0])
    assert "is a finished run" in message and message.endswith(f"leave out {name}")
    assert not (tmp_path / "x.json").exists()
