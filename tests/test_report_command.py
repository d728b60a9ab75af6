"""``maskcorrect report`` on the command line."""

import pytest
from records import random_records
from report_runs import CAM, write_run
from typer.testing import CliRunner

from maskcorrect_plugin.cli import app
from maskcorrect_plugin.commands.report import report_text
from maskcorrect_plugin.report import Report
from maskcorrect_plugin.report.rendering import GENERATOR

NAMES = [f"class {index}" for index in range(7)]


def run(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", {"CAM": (CAM, random_records(40, 7, 1))}, NAMES, pictures=9)


def test_it_writes_the_page_and_says_how_large_it_is(folder, tmp_path):
    page = tmp_path / "report.html"
    done = run(folder, "-o", page, "--images", 3, "--title", "My <runs>", "--subset", "p1-p2<0.3")
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert GENERATOR in text and "<h1>My &lt;runs&gt;</h1>" in text and "gap p1 − p2 &lt; 0.3" in text
    changed = int(random_records(40, 7, 1)["changed"].sum())
    assert f"1 method, 3 of {changed} changed answers with a picture" in done.stdout
    assert f"{page.stat().st_size / 1e3:.0f} kB" in done.stdout or f"{page.stat().st_size / 1e6:.1f} MB" in done.stdout


def test_what_is_not_listed_is_said(tmp_path):
    text = report_text(Report(tmp_path / "a\x1b.html", 3_210_000, 2, 17_270, 10_000, 200))
    assert "3.2 MB, 2 methods, 200 of 17,270 changed answers" in text and "\x1b" not in text
    assert "7,270 changed answers are not listed" in text


def test_wrong_usage_is_one_line(folder, tmp_path):
    foreign = tmp_path / "notes.txt"
    foreign.write_text("mine")
    for arguments, message in (
        ([tmp_path / "nothing"], "is no run of an evaluation"),
        ([folder, "--subset", "p1"], "subset must be a gap and its bound"),
        ([folder, folder], "runs must name each folder once"),
        ([folder, "--images", -1], "--images"),
        ([folder, "-o", foreign], "pass --overwrite"),
    ):
        arguments = arguments if "-o" in arguments else [*arguments, "-o", tmp_path / "report.html"]
        done = run(*arguments)
        assert done.exit_code == 2 and message in done.stderr and "Traceback" not in done.output, arguments
        assert done.stderr.count("\n") == 1
    assert foreign.read_text() == "mine" and not (tmp_path / "report.html").exists()
