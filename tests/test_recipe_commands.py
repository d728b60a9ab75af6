"""Recipes on the command line: several in one run, from files, in dry runs, and swept over on kept maps."""

import json

import numpy as np
import pandas as pd
import pytest
from lively_factory import write_images
from typer.testing import CliRunner

from maskcorrect_plugin import Recipe, RunFolder
from maskcorrect_plugin.cli import app
from maskcorrect_plugin.recipe import ZOOM

MODEL = ("-m", "lively_factory:network", "--images-per-part", "7", "--distributions", "float32")
OTHER = "zoom[method=control:other_image[of=CAM]]"
VIEWS = "zoom[threshold=0.3,map=merged]+hflip"


@pytest.fixture(autouse=True)
def at_work(tmp_path, monkeypatch):
    """A folder with images, one of which is broken."""
    write_images(tmp_path / "data")
    monkeypatch.chdir(tmp_path)


def maskcorrect(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def evaluate(output, *arguments):
    result = maskcorrect("evaluate", "data", *MODEL, "--quiet", "-o", output, *arguments)
    assert result.exit_code == 0, result.output
    return RunFolder.open(output)


def sweep(*arguments):
    result = maskcorrect("sweep", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def error_of(*arguments):
    result = maskcorrect(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def assert_same(one, other):
    for name in ("id", "failure", "changed", "forwards", "saved"):
        assert one[name].equals(other[name])
    for a, b in zip(one["probs_after"].dropna(), other["probs_after"].dropna(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_several_recipes_in_one_command_are_what_each_is_alone():
    asked = ("zoom", "unguided", OTHER, "paper[method=CAM]")
    together = evaluate("run", *(part for text in asked for part in ("--recipe", text)), "--num-workers", "0")
    assert together.methods == asked
    assert together.recipe("zoom").method == "CAM"  # what "auto" took
    assert together.manifest.identity["methods"][OTHER]["partners"] == 30
    for number, text in enumerate(asked):
        assert_same(together.records(text), evaluate(f"alone-{number}", "--recipe", text).records(text))
    forwards = {text: together.records(text)["forwards"].mean() for text in asked}
    assert forwards["zoom"] <= 5 and forwards[OTHER] <= 6 and forwards["paper[method=CAM]"] == 6


def test_recipes_and_methods_make_a_row_each():
    run = evaluate(
        "run", "--recipe", "zoom", "--recipe", "unguided", "--method", "CAM", "--method", "control:random_map"
    )
    assert run.methods == ("zoom[method=CAM]", "zoom[method=control:random_map]", "unguided")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_originals_are_read_in_the_background_too():
    here, there = (evaluate(f"run-{count}", "--recipe", "zoom", "--num-workers", count) for count in (0, 2))
    assert_same(there.records("zoom"), here.records("zoom"))
    assert here.records("zoom")["failure"].notna().sum() == 1


def test_a_recipe_comes_from_a_file(tmp_path):
    recipe = ZOOM.replace(pool="log", views=["crop[map=merged]", "hflip"], view_weights=[0.5, 1])
    recipe.save(tmp_path / "mine.json")
    run = evaluate("run", "--recipe", "mine.json", "--keep-maps")
    assert run.recipe("mine.json").replace(method="auto") == recipe
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.json").unlink()  # the run knows what it was
    assert "mine.json: 1 settings" in sweep("run")


def test_a_run_is_not_continued_with_another_view():
    evaluate("run", "--method", "CAM", "--views", "crop[margin=0]")
    line = error_of("evaluate", "data", *MODEL, "-o", "run", "--method", "CAM", "--views", "crop[margin=1]")
    assert "methods.CAM.views was" in line and "margin=1" in line


@pytest.mark.parametrize(
    ("arguments", "forwards"),
    [
        (("--recipe", "unguided"), 5),
        (("--method", "CAM", "--views", "hflip+mask", "-k", "3"), 5),
        (("--method", "CAM", "--views", "mask", "--views", VIEWS, "-k", "2"), 5),
        (("--views", "mask+hflip", "--view-weights", "0,1"), 2),
    ],
)
def test_a_dry_run_counts_the_forwards_of_views(tmp_path, arguments, forwards):
    before = sorted(tmp_path.rglob("*"))
    result = maskcorrect("evaluate", "data", *MODEL, "--dry-run", *arguments)
    assert result.exit_code == 0, result.output
    assert sorted(tmp_path.rglob("*")) == before
    name, told, *_ = result.stdout.splitlines()[1].split()
    records = evaluate("run", *arguments).records(name)
    assert float(told) == pytest.approx(records["forwards"].dropna().mean(), abs=0.5)
    assert records["forwards"].max() <= forwards


# --- sweeps -----------------------------------------------------------------------------------------------------------


def test_a_sweep_over_views_and_pools_gives_what_fresh_runs_give():
    run = evaluate("run", "--method", "CAM", "-k", "3", "--keep-maps")
    text = sweep("run", "--views", "mask", "--views", VIEWS, "--pool", "sum,log", "-o", "all.csv")
    lines = [line.split("  ")[0] for line in text.splitlines()]
    assert {"mask, sum", "zoom[threshold=0.3,map=merged] + hflip, log"} <= set(lines)  # K, vote, ... are the same
    assert "4 settings on kept maps" in text and "0 of 29 answers differ from those recorded" in text
    frame = pd.read_csv("all.csv")
    assert len(frame) == 4 and frame["own"].tolist() == [True] + [False] * 3
    (folder,) = (run.path / "sweeps").iterdir()
    recipes = [Recipe.from_dict(each) for each in json.loads((folder / "sweep.json").read_text())["recipes"]]
    answers = pd.concat(map(pd.read_parquet, sorted(folder.glob("part-*"))))["answers"]
    for number, recipe in enumerate(recipes):
        recipe.save("one.json")
        records = evaluate(f"fresh-{number}", "--recipe", "one.json").records("one.json")
        clear = records["probs_after"].map(lambda probs: probs is not None and probs[0] - probs[1] > 1e-2)
        fresh = records["classes_after"][clear].map(lambda classes: classes[0])
        assert clear.sum() > 15
        assert fresh.tolist() == [row[number] for row in answers[clear.to_numpy()]], recipe


def test_a_sweep_that_is_done_asks_nothing_again(tmp_path):
    evaluate("run", "--method", "CAM", "--keep-maps")
    first = sweep("run", "--threshold", "0.1,0.3")
    (tmp_path / "data").rename(tmp_path / "moved")
    assert sweep("run", "--threshold", "0.1,0.3") == first
    assert "data" in error_of("sweep", "run", "--threshold", "0.5")
    assert "3 settings" in sweep("run", "--threshold", "0.5,0.6", "--data", "moved")


def test_a_run_with_max_gap_is_swept_on_what_it_corrected():
    run = evaluate("run", "--method", "CAM", "--max-gap", "0.12", "--keep-maps")
    text = sweep("run", "--views", VIEWS, "-o", "all.csv")
    assert "0 of 29 answers differ" in text
    assert 0 < run.records("CAM")["corrected"].sum() < 29
    assert (pd.read_csv("all.csv")["own"] == [True, False]).all()


def test_a_sweep_refuses_in_one_line():
    kept = ("-k", "3", "--keep-maps", "--limit", "8")
    evaluate("run", "--recipe", "unguided", "--recipe", "paper[method=CAM]", *kept)
    for arguments, message in (
        (("--views", "zom"), "did you mean 'zoom'"),
        (("--threshold", "2"), "threshold must lie in [0, 1)"),
        (("--pool", "max"), "pool must be one of 'sum', 'log'; got 'max'"),
        (("--top-k", "4"), "top_k must be from 1 to 3, got 4"),
        (("--vote", "diagonal", "--pool", "log"), "vote must be 'distribution' where pool is 'log'"),
        (("--method", "CAN"), "method must be one of 'unguided', 'paper[method=CAM]'"),
        (("--method", "unguided"), "no maps that can be swept"),
    ):
        assert message in error_of("sweep", "run", *arguments)


def test_a_sweep_says_what_is_missing():
    evaluate("run", "--recipe", "unguided", "--keep-maps")
    assert "no method with maps, only unguided" in error_of("sweep", "run")
    run = evaluate("maps", "--method", "CAM", "--keep-maps")
    file = run.part_file("maps", "CAM", 2)
    pd.read_parquet(file).iloc[:-1].to_parquet(file)
    assert "its maps are missing; make the part anew" in error_of("sweep", "maps", "--threshold", "0.2")
    evaluate("plain", "--method", "CAM")
    assert "keeps no maps; run it with --keep-maps" in error_of("sweep", "plain")


def test_a_run_of_several_recipes_is_compared_and_reported(tmp_path):
    """Of a run as it is, not of a table made by hand."""
    evaluate("run", "--recipe", "zoom", "--recipe", "unguided", "--recipe", OTHER, "--thumbnails", "5")
    compared = maskcorrect("compare", "run")
    assert compared.exit_code == 0, compared.output
    assert all(name in compared.stdout for name in ("zoom", "unguided"))
    reported = maskcorrect("report", "run", "-o", "page.html")
    assert reported.exit_code == 0, reported.output
    assert "unguided" in (tmp_path / "page.html").read_text()
