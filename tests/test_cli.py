import importlib
import json
import os
import re
import subprocess
import sys
import time
import warnings
from enum import StrEnum
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from PIL import Image
from typer.testing import CliRunner

from maskcorrect_plugin import ProbabilityCorrector, __version__, load_model
from maskcorrect_plugin.cli import app
from maskcorrect_plugin.commands import options
from maskcorrect_plugin.inference import OUTPUTS, PRECISIONS
from maskcorrect_plugin.recipe import RECIPES
from maskcorrect_plugin.recipe_options import POOLS
from maskcorrect_plugin.registry import describe_methods
from maskcorrect_plugin.views import list_views

FACTORIES = """
import torch
from torch import nn
from torchvision.transforms import v2

TRANSFORM = v2.Compose([
    v2.PILToTensor(), v2.Resize((16, 16)), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)
])
NAMES = ["jay", "robin", "wren", "owl", "kite", "crow"]
CALLS = []


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, len(NAMES))
        )
        for parameter in net.parameters():
            parameter.data.mul_(3)
    return net


def tiny():
    CALLS.append("tiny")
    return network(), TRANSFORM, NAMES


def odd_transform():
    return network(), lambda image: TRANSFORM(image).square(), NAMES


def interrupting():
    def transform(image):
        if image.width == 13:
            raise KeyboardInterrupt
        return TRANSFORM(image)
    return network(), transform, NAMES


class Faulty(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, inputs):
        if inputs.mean() > 1.9:
            raise OSError("a fault of the network")
        return self.net(inputs)


def faulty():
    return Faulty(), TRANSFORM, NAMES


def three():
    return nn.Sequential(network(), nn.Linear(6, 3)), TRANSFORM, NAMES[:3]


def softmax():
    return nn.Sequential(network(), nn.Softmax(dim=1)), TRANSFORM, NAMES


def no_pooling():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 6)), TRANSFORM, NAMES
"""
TINY = ("--model", "tiny_factories:tiny")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """A folder with photos and a module of factories, as a user would have."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "tiny_factories.py").write_text(FACTORIES)
    (folder / "photos").mkdir()
    generator = torch.Generator().manual_seed(0)
    for index in range(5):
        pixels = torch.randint(0, 256, (20, 24, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / "photos" / f"{index}.png")
    return folder


@pytest.fixture(autouse=True)
def at_work(workplace, monkeypatch):
    """Every test runs there, at 80 columns."""
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)


def maskcorrect(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def correct(*arguments, model=TINY, method="CAM"):
    return maskcorrect("correct", *arguments, *model, "--method", method)


def subprocess_of(*arguments, **environment):
    command = [sys.executable, "-m", "maskcorrect_plugin", *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def factories():
    return importlib.import_module("tiny_factories")


# --- help, version, methods -------------------------------------------------------------------------------------------


def test_help_needs_no_torch_and_no_time():
    code = (
        "import sys; from maskcorrect_plugin.cli import app\ntry: app(['correct', '--help'])\nexcept SystemExit: pass\n"
    )
    code += "print('LOADED', *({'torch', 'torchvision', 'matplotlib', 'numpy', 'rich', 'PIL'} & set(sys.modules)))"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "LOADED"
    assert time.monotonic() - started < 5  # half a second on an idle machine


def test_help_explains_every_option_with_its_default_and_the_source():
    text = " ".join(maskcorrect("correct", "--help").stdout.split())
    for part in (
        "--max-gap",
        "--target-layer",
        "--precision",
        "[default: the recipe's]",
        "0 <= T < 1",
        "Maeng and Baek",
    ):
        assert part in text
    assert "Exit codes: 0 done" in text
    assert "maskcorrect correct photos/" in text


@pytest.mark.parametrize("arguments", [["--help"], ["correct", "--help"], ["methods", "--help"], ["demo", "--help"]])
def test_help_fits_eighty_columns(arguments):
    result = maskcorrect(*arguments)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_version():
    result = maskcorrect("--version")
    assert (result.exit_code, result.stdout) == (0, f"maskcorrect {__version__}\n")


def test_without_a_command_the_help_is_shown_and_nothing_was_done():
    result = maskcorrect()
    assert result.exit_code == 2
    assert "Commands:" in result.stdout


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (options.PrecisionName, PRECISIONS),
        (options.OutputName, OUTPUTS),
    ],
)
def test_choices_are_those_of_the_library(names: type[StrEnum], allowed):
    assert [name.value for name in names] == list(allowed)


def test_presets_are_those_of_score_cam():
    from maskcorrect_adapters.presets import PRESETS

    assert {name.value for name in options.PresetName} == set(PRESETS)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_methods_lists_every_method_within_the_width(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    result = maskcorrect("methods")
    assert result.exit_code == 0
    first_words = [line.split()[0] for line in result.stdout.splitlines() if re.match("  [^ ]", line)]
    for name in (*describe_methods(), *POOLS):
        assert first_words.count(name) == 1
    assert {*list_views(), *RECIPES} <= set(first_words) and first_words.count("zoom") == 2  # a view and a recipe
    assert max(map(len, result.stdout.splitlines())) <= width


def test_methods_takes_a_pattern():
    result = maskcorrect("methods", "score*")
    assert "ScoreCAM" in result.stdout
    assert "  CAM" not in result.stdout
    missing = maskcorrect("methods", "nothing*")
    assert missing.exit_code == 2
    assert missing.stderr.startswith("error: no method matches 'nothing*'")


def test_methods_says_how_to_install_what_is_missing(monkeypatch):
    from maskcorrect_plugin import AttributionBackend, registry
    from maskcorrect_plugin.attribution import MethodInfo

    class Elsewhere(AttributionBackend):
        name = "elsewhere"
        library = "a_library_that_nobody_has"
        install = "pip install elsewhere"

        def methods(self):
            return ("FancyCAM",)

        def info(self, method):
            return MethodInfo(method, "fancy", class_aware=False, forwards="2K", backwards="K")

        def create(self, method, model, target_layer=None, **options):
            raise NotImplementedError

    monkeypatch.setitem(registry._registered, "elsewhere", Elsewhere())
    lines = maskcorrect("methods").stdout.splitlines()
    assert "elsewhere: not installed; pip install elsewhere" in lines
    (row,) = [line.split() for line in lines if "FancyCAM" in line]
    assert row[:4] == ["elsewhere:FancyCAM", "no", "2K", "K"]
    result = correct("photos", method="elsewhere:FancyCAM")
    assert result.exit_code == 2
    assert result.stderr.strip().endswith("Install it with: pip install elsewhere")


# --- correcting -------------------------------------------------------------------------------------------------------


def expected(method="CAM", **settings):
    """The photos' paths, and what the Python API computes on them."""
    loaded = load_model("tiny_factories:tiny")
    files = [f"photos/{index}.png" for index in range(5)]
    corrector = ProbabilityCorrector(loaded.model, method, preprocessing=loaded.preprocessing, **settings)
    return files, corrector.correct([Image.open(file) for file in files])


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        ([], {}),
        (["-k", "2", "--threshold", "0.4", "--vote", "diagonal"], {"top_k": 2, "threshold": 0.4, "vote": "diagonal"}),
        (["--views", "crop", "--candidate-weights", "uniform"], {"view": "crop", "candidate_weights": "uniform"}),
        (
            ["--recipe", "zoom", "--pool", "log", "--temperature", "2"],
            {"recipe": "zoom", "pool": "log", "temperature": 2},
        ),
        (
            ["--views", "zoom[map=merged]+hflip", "--views", "whole", "--view-weights", "1,0.5,0"],
            {"views": ["zoom[map=merged]", "hflip", "whole"], "view_weights": [1, 0.5, 0]},
        ),
        (["--fill", "black", "--target-layer", "0"], {"fill": "black", "target_layer": "0"}),
        (["--max-gap", "0.5", "--batch-size", "2"], {"max_gap": 0.5}),
        (["--preset", "grad_cam", "--precision", "bfloat16"], {"preset": "grad_cam", "precision": "bfloat16"}),
    ],
)
def test_result_json_holds_what_the_python_api_computes(tmp_path, arguments, settings):
    method = "ScoreCAM" if "preset" in settings or "target_layer" in settings else "CAM"
    result = correct("photos", "--output", tmp_path / "out", "--no-figures", *arguments, method=method)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "out" / "result.json").read_text())
    files, truth = expected(method, **settings)
    tolerance = 2e-2 if "precision" in settings else 1e-5  # batches are packed differently
    assert [image["path"] for image in document["images"]] == files
    names = factories().NAMES
    for row, image in enumerate(document["images"]):
        assert image["gap"] == pytest.approx(float(truth.gap[row]), abs=tolerance)
        assert (image["corrected"], image["changed"]) == (bool(truth.corrected[row]), bool(truth.changed[row]))
        assert [entry["class_index"] for entry in image["before"]] == truth.candidates[row].tolist()
        sides = (("before", truth.probs, truth.corrected_probs), ("after", truth.corrected_probs, truth.probs))
        for side, probs, other in sides:
            assert len(image[side]) == truth.candidates.shape[1]
            for entry in image[side]:
                assert entry["class_name"] == names[entry["class_index"]]
                index = entry["class_index"]
                assert entry["probability"] == pytest.approx(float(probs[row, index]), abs=tolerance)
                (at_the_other_time,) = (entry[name] for name in entry if name.startswith("probability_"))
                assert at_the_other_time == pytest.approx(float(other[row, index]), abs=tolerance)
    assert document["settings"].items() >= truth.settings.items()
    assert document["summary"]["done"] == 5
    assert document["summary"]["changed"] == int(truth.changed.sum())


def test_the_model_is_compiled_where_that_is_asked_for_and_it_is_said(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model, dynamic: compiled.append(model) or model)
    plain = correct("photos", method="ScoreCAM")
    assert not compiled and "note:" not in plain.stderr
    result = correct("photos", "--compile", "on", method="ScoreCAM")
    assert result.exit_code == 0 and len(compiled) == 1
    assert "note: compiling the model for its passes" in result.stderr
    assert "note:" not in correct("photos", "--compile", "on", "--quiet", method="ScoreCAM").stderr
    assert "note:" not in correct("photos", "--compile", "auto", method="ScoreCAM").stderr  # too little to repay it


def test_text_shows_both_answers_of_every_image():
    result = correct("photos", "-k", "3")
    assert result.exit_code == 0
    _, truth = expected(top_k=3)
    names = factories().NAMES
    blocks = result.stdout.split("photos/")[1:]
    assert len(blocks) == 5
    for row, block in enumerate(blocks):
        first = next(line for line in block.splitlines() if line.startswith("     1"))
        assert first.endswith(names[int(truth.corrected_prediction[row])])
        assert f"{100 * float(truth.corrected_probs[row].max()):.1f} %" in first
        assert ("CHANGED" in block) == bool(truth.changed[row])
    assert "\x1b" not in result.output
    assert "5 of 5 images done" in result.stdout
    assert result.stderr == ""


def test_every_image_gets_one_figure_that_result_json_names(tmp_path):
    out = tmp_path / "a" / "b"
    (tmp_path / "more").mkdir()
    for name in ("0.jpg", "0.gif"):  # stems that another photo has, too
        Image.effect_noise((20, 20), 50).save(tmp_path / "more" / name)
    result = correct("photos/0.png", tmp_path / "more", "gone.png", "--output", out, "-k", "2")
    assert result.exit_code == 1
    document = json.loads((out / "result.json").read_text())
    assert [image["figure"] for image in document["images"]] == ["0.png", "0-2.png", "0-3.png", None]
    assert sorted(path.name for path in out.iterdir()) == ["0-2.png", "0-3.png", "0.png", "result.json"]
    with Image.open(out / "0.png") as figure:
        assert min(figure.size) > 300
    assert f"3 figures and result.json are in {out}" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--views", "crop"], ["--max-gap", "0"], ["--model", "tiny_factories:odd_transform"]]
)
def test_figures_are_drawn_whatever_the_view_the_gap_and_the_transform(tmp_path, arguments):
    assert correct("photos/0.png", "--output", tmp_path, *arguments).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "result.json"]


def test_figures_of_an_earlier_run_are_not_taken_for_images(tmp_path):
    photos, out = tmp_path, tmp_path / "out"
    Image.effect_noise((20, 20), 50).save(photos / "a.png")
    assert correct(photos, "--output", out).exit_code == 0
    assert correct(photos, "--output", out, "--overwrite").exit_code == 0
    document = json.loads((out / "result.json").read_text())
    assert [image["path"] for image in document["images"]] == [str(photos / "a.png")]
    nothing = correct(out, "--output", out, "--overwrite")
    assert nothing.exit_code == 2
    assert (out / "a.png").exists()


@pytest.mark.parametrize(("factory", "top_k"), [("tiny", 5), ("three", 3)])
def test_default_k_is_all_classes_where_there_are_few(factory, top_k):
    result = maskcorrect("correct", "photos/0.png", "--json", "--model", f"tiny_factories:{factory}")
    document = json.loads(result.stdout)
    assert len(document["images"][0]["before"]) == top_k
    assert document["settings"]["top_k"] == 5  # the recipe is the same
    result = maskcorrect("correct", "photos/0.png", "--model", f"tiny_factories:{factory}")
    assert f"{top_k} candidates" in result.stdout


def test_json_goes_to_stdout_and_equals_the_file(tmp_path):
    result = correct("photos", "--json", "--output", tmp_path, "--no-figures")
    printed, written = json.loads(result.stdout), json.loads((tmp_path / "result.json").read_text())
    for document in (printed, written):
        document.pop("created")
    assert printed == written
    assert result.stderr == ""


def test_quiet_prints_nothing_but_failures(tmp_path):
    done = correct("photos", "--quiet", "--output", tmp_path, "--no-figures")
    assert (done.exit_code, done.output) == (0, "")
    failed = correct("photos/0.png", "missing.png", "--quiet")
    assert failed.exit_code == 1
    assert failed.stdout == ""
    assert failed.stderr.splitlines() == ["missing.png", "  FAILED   no such file"]


def test_bad_files_among_good_ones_fail_alone(tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.effect_noise((20, 20), 50).save(folder / "grey.png")
    (folder / "empty.jpg").write_bytes(b"")
    whole = folder / "whole.jpg"
    Image.effect_noise((60, 60), 50).save(whole)
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[:300])
    (folder / "text.png").write_text("not an image")
    result = correct(folder, "--output", tmp_path / "out", "--no-figures")
    assert result.exit_code == 1
    images = json.loads((tmp_path / "out" / "result.json").read_text())["images"]
    done = {Path(image["path"]).name: image["failure"] is None for image in images}
    assert done == {
        "empty.jpg": False,
        "grey.png": True,
        "text.png": False,
        "truncated.jpg": False,
        "whole.jpg": True,
    }
    for name in ("empty.jpg", "text.png", "truncated.jpg"):
        assert name in result.stderr
        assert name not in result.stdout
    assert "2 of 5 images done" in result.stdout
    assert "3 failed" in result.stdout


def test_a_model_that_ends_in_softmax_is_warned_about_in_one_line():
    arguments = ["photos", "--model", "tiny_factories:softmax"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = maskcorrect("correct", *arguments)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: the model's outputs look like probabilities")
    result = maskcorrect("correct", *arguments, "--model-output", "probs")
    assert (result.exit_code, result.stderr) == (0, "")


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "1.0"], "threshold must lie in [0, 1), got 1.0"),
        (["--threshold", "-0.1"], "threshold must lie in [0, 1), got -0.1"),
        (["--threshold", "nan"], "threshold must lie in [0, 1), got nan"),
        (["--threshold", "much"], "Invalid value for '--threshold'"),
        (["-k", "0"], "top_k must be at least 1, got 0"),
        (["--max-gap", "1.5"], "max_gap must lie in [0, 1], got 1.5"),
        (["--view", "zoom"], "No such option: --view"),
        (["--views", "zom"], "got 'zom'; did you mean 'zoom'?"),
        (["--views", "zoom[treshold=0.2]"], "view 'zoom' has no option 'treshold'; did you mean 'threshold'?"),
        (["--views", "mask", "--views", "hflip", "--threshold", "0.2"], "write it into the view's brackets"),
        (["--views", "hflip", "--threshold", "0.2"], "view 'hflip' has no option 'threshold'"),
        (["--fill", "pink"], "fill must be one of 'zero', 'black', 'mean', 'blur'; got 'pink'"),
        (["--vote", "all"], "vote must be one of 'distribution', 'diagonal'; got 'all'"),
        (["--pool", "max"], "pool must be one of 'sum', 'log'; got 'max'"),
        (["--pool", "log", "--vote", "diagonal"], "vote must be 'distribution' where pool is 'log'"),
        (["--view-weights", "1,2"], "view_weights must hold one number per view (1), got 2"),
        (["--view-weights", "one"], "view_weights must be numbers with commas"),
        (["--view-weights", "-1"], "view_weights must"),
        (["--temperature", "0"], "temperature must be above 0"),
        (["--recipe", "zoo"], "got 'zoo'; did you mean 'zoom'?"),
        (["--recipe", "missing.json"], "recipe file missing.json"),
        (["--recipe", "zoom[thre=1]"], "Recipe has no option 'thre'"),
        (["--precision", "int8"], "Invalid value for '--precision'"),
        (["--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["--preset", "official"], "preset is an option of the native ScoreCAM alone"),
        (["--mean", "0.5,0.5"], "mean must be three numbers"),
        (["--mean", "a,b,c"], "mean must be three numbers with commas"),
        (["--mean", "120,120,120"], "mean must be three numbers in [0,1]"),
        (["--std", "1,1,0"], "std must be three numbers above 0"),
        (["--size", "0"], "Invalid value for '--size'"),
        (["--classes", "no_such_file.txt"], "there is no file no_such_file.txt"),
        (["--device", "toaster"], "device must be one that torch can use here, got 'toaster'"),
        (["--output", "tiny_factories.py"], "output must be a folder, but tiny_factories.py is not one"),
        (["--output", "photos"], "output folder photos is not empty"),
        (["--bogus"], "No such option: --bogus"),
    ],
)
def test_wrong_usage_is_one_line_before_the_model_is_loaded(arguments, message):
    load_model(TINY[1])  # finds the module, whichever tests run
    factories().CALLS.clear()
    result = correct("photos", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert factories().CALLS == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["correct", "photos", *TINY, "--method", "ScorCAM"],
            "unknown attribution method 'ScorCAM'; did you mean 'Sco",
        ),
        (["correct", "photos", *TINY, "--method", "control:other_image"], "use 'maskcorrect evaluate'"),
        (["correct", "photos", *TINY, "--recipe", "zoom[method=control:oracle_class]"], "needs the labels of a data"),
        (["correct", "photos", *TINY, "--recipe", "unguided", "--method", "CAM"], "no view follows a map"),
        (["correct", "photos", *TINY, "--method", "control:hflipp"], "did you mean 'control:hflip'"),
        (["correct", "photos", *TINY, "--method", "magic:CAM"], "unknown attribution method 'magic:CAM'"),
        (["correct", "photos", *TINY, "--method", "CAM", "-k", "7"], "top_k must be from 1 to 6, got 7"),
        (["correct", "photos", *TINY, "--method", "CAM", "--target-layer", "layer4"], "target_layer 'layer4' is not a"),
        (
            ["correct", "photos", *TINY, "--method", "CAM", "--target-layer", "4"],
            "target_layer '4' must output feature",
        ),
        (
            ["correct", "photos", "--model", "tiny_factories:no_pooling", "--method", "CAM"],
            "CAM needs a network in which",
        ),
        (["correct", "photos", "--model", "tiny_factories:softmax", "--model-output", "logit"], "Invalid value for"),
        (["correct", "photos", *TINY, "--model-output", "probs"], "output='probs' needs"),
        (["correct", "photos", "--model", "tiny_factories:tinny"], "did you mean 'tiny'"),
        (["correct", "photos", "--model", "no_such_module:net"], "there is no module 'no_such_module'"),
        (["correct", "photos", "--model", "vgg16"], "did you mean 'torchvision:vgg16'"),
        (
            ["correct", "photos", "--model", "torchvision:vgg17", "--weights", "none"],
            "torchvision has no classification",
        ),
        (["correct", "photos", *TINY, "--weights", "no_such_file.pt"], "no_such_file.pt"),
        (["correct", "photos"], "Missing option '--model'"),
        (["correct", *TINY], "Missing argument"),
        (["corect", "photos"], "No such command 'corect'"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(tmp_path, arguments, message):
    extra = ["--output", tmp_path / "out"] if arguments[0] == "correct" else []
    result = maskcorrect(*arguments, *extra)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_wrong_usage(tmp_path):
    result = correct(tmp_path)
    assert result.exit_code == 2
    assert "there is no image in this folder" in result.stderr


def test_an_unexpected_error_keeps_its_traceback(tmp_path):
    Image.new("RGB", (20, 20), "white").save(tmp_path / "white.png")
    result = maskcorrect("correct", tmp_path, "--model", "tiny_factories:faulty", "--output", tmp_path / "out")
    assert isinstance(result.exception, OSError)
    assert "error:" not in result.stderr
    assert not (tmp_path / "out").exists()


# --- the output folder ------------------------------------------------------------------------------------------------


def test_results_of_an_earlier_run_stay_unless_overwritten(tmp_path):
    out = tmp_path / "out"
    assert correct("photos", "--output", out, "--no-figures").exit_code == 0
    before = (out / "result.json").read_bytes()
    refused = correct("photos", "--output", out, "--no-figures", "-k", "2")
    assert refused.exit_code == 2
    assert "results of an earlier run" in refused.stderr
    assert (out / "result.json").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    assert correct("photos", "--output", out, "--no-figures", "-k", "2", "--overwrite").exit_code == 0
    assert json.loads((out / "result.json").read_text())["settings"]["top_k"] == 2
    assert (out / "notes.txt").read_text() == "mine"


def test_wrong_usage_with_overwrite_leaves_the_earlier_results(tmp_path):
    out = tmp_path / "out"
    assert correct("photos", "--output", out, "--no-figures").exit_code == 0
    before = (out / "result.json").read_bytes()
    assert correct("photos", "--output", out, "--overwrite", "-k", "7").exit_code == 2
    assert (
        correct("photos", "--output", out, "--overwrite", model=("--model", "tiny_factories:no_pooling")).exit_code == 2
    )
    assert (out / "result.json").read_bytes() == before


def test_a_run_that_is_interrupted_says_what_it_wrote(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(4):
        Image.effect_noise((13 if index == 3 else 20, 20), 50).save(photos / f"{index}.png")
    out = tmp_path / "out"
    model = ("--model", "tiny_factories:interrupting", "--batch-size", "2")
    result = correct(photos, "--output", out, "--no-figures", model=model)
    assert result.exit_code == 130
    assert sorted(path.name for path in out.iterdir()) == ["interrupted.json"]
    assert "stopped after 2 of 4 images" in result.stderr
    assert "no result.json" in result.stderr
    document = json.loads((out / "interrupted.json").read_text())
    assert [image["path"] for image in document["images"]] == [str(photos / "0.png"), str(photos / "1.png")]


# --- as a process -----------------------------------------------------------------------------------------------------


def test_exit_codes_of_a_process(tmp_path):
    done = subprocess_of("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"maskcorrect {__version__}\n", "")
    partly = subprocess_of(
        "correct", "photos/0.png", "gone.png", *TINY, "--method", "CAM", "-o", tmp_path, "--no-figures"
    )
    assert partly.returncode == 1
    assert "Traceback" not in partly.stderr
    wrong = subprocess_of("correct", "photos/0.png", *TINY, "--bogus")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: No such option: --bogus")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("environment", "colored"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_errors_are_red_on_a_terminal_that_wants_colour(environment, colored):
    import pty

    ours, theirs = pty.openpty()
    env = {**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **environment}
    env["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "maskcorrect_plugin", "correct", "--bogus"]
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, env=env, check=False)
    os.close(theirs)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.returncode == 2
    assert "error: No such option: --bogus" in text
    assert ("\x1b[31m" in text) is colored
