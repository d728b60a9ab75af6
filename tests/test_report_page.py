"""The page of finished runs: it says what the records say, it is safe whatever they hold, and odd runs are sensible."""

import base64
import hashlib
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from markup import Page
from markupsafe import Markup
from records import fail, random_records, records_of
from report_runs import CAM, FLIP, ORACLE, write_run

from maskcorrect_plugin.comparison import compare
from maskcorrect_plugin.evaluation.intervals import holm
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.report import figures, write_report
from maskcorrect_plugin.report.rendering import GENERATOR

NAMES = ["ringed perch", "barred perch", "ringed finch", "barred finch", "moth, a night flyer", "beetle", "ant"]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!-- <script>",
    "\"quote' & amp; {{ 7 * 7 }}",
    "\u202egnp.exe",
    "a\x00b\x1b[31m\ud800",
    "한국어 ネコ \u2028 line",
    "javascript:alert(3)//" + "long_" * 60,
]


def report(tmp_path, *runs, **options):
    path = tmp_path / "report.html"
    made = write_report(runs, path, **options)
    text = path.read_text(encoding="utf-8")
    assert made.size == path.stat().st_size == len(text.encode())
    return made, Page(text), text


@pytest.fixture
def without_figures(monkeypatch):
    """Figures take most of a page's time: tests of other things go without."""
    blank = figures.Drawing("a figure", *[Markup('<svg role="img" aria-label="a figure"></svg>')] * 2)
    monkeypatch.setattr(figures, "_drawing", lambda *arguments: blank)


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    folder = tmp_path_factory.mktemp("usual")
    methods = {
        "CAM": (CAM, random_records(60, 7, 1)),
        "control:hflip": (FLIP, random_records(60, 7, 1, top_k=3)),
        "control:oracle_class": (ORACLE, random_records(60, 7, 1)),
    }
    run = write_run(folder / "run", methods, NAMES, pictures=8)
    return run, methods, *report(folder, run)


def test_the_summary_holds_the_table_and_the_p_value_of_the_records(usual):
    _, methods, _, page, _ = usual
    table = PairedOutcome.from_records(methods["CAM"][1])
    text = page.text("table", "td")
    for count, kind in ((table.fixed, "fixed"), (table.broken, "broken")):
        assert f"{count} {kind}" in text
    said = page.text()
    adjusted = holm({name: PairedOutcome.from_records(methods[name][1]).mcnemar_p for name in ("CAM", "control:hflip")})
    assert f"{100 * table.accuracy_before:.2f} % → {100 * table.accuracy_after:.2f} %" in said
    assert f"({table.fixed} against {table.broken})" in said
    assert f"Holm p = {adjusted['CAM']:.3f}" in said
    assert "2 methods were tried on these images" in said  # the one that looks at the labels is no try


def test_every_method_has_its_row_and_those_that_leak_say_so(usual):
    run, _, _, page, _ = usual
    heads = page.text("th")
    for row in compare([run]).rows:
        assert row.method in heads
    assert "looks at the labels" in page.text("th", "span") and "control" in page.text("th", "span")
    assert "no result" in page.text("td")


def test_figures_give_no_p_value_to_what_looks_at_the_labels(usual):
    page = usual[3]
    said = [text for around, text in page.texts if "svg" in around and "Holm p" in text]
    assert len(said) == 2 * 2 * 2  # of two methods, on all and on the difficult images, wide and narrow


def test_the_gallery_holds_what_changed(usual):
    _, methods, made, page, _ = usual
    data = page.data()
    changed = {name: int(records["changed"].sum()) for name, (_, records) in methods.items()}
    assert made.changed == made.listed == sum(changed.values()) == len(data["cases"])
    assert made.pictured == sum("picture" in case for case in data["cases"])
    records = methods["CAM"][1]
    for case in (case for case in data["cases"] if case["m"] == 0):
        row = records[records["id"] == case["n"]].iloc[0]
        assert case["a"] == [row["classes_before"][0], row["classes_after"][0]]
        right = [answer == row["label"] for answer in case["a"]]
        assert case["k"] == {(False, True): "fixed", (True, False): "broken", (False, False): "changed"}[tuple(right)]
        assert data["families"][0]["classes"][str(case["l"])] == NAMES[row["label"]]
        probs = dict(zip(row["classes_before"], row["probs_before"], strict=True))
        for index, before, _ in case["c"]:
            known = probs.get(index, row["label_prob_before"] if index == case["l"] else None)
            assert before == pytest.approx(known, abs=1e-4) if known is not None else before <= 0


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_only(usual):
    *_, page, text = usual
    assert page.all("meta")[1]["name"] == "generator" and GENERATOR in text[:2000]
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "form-action 'none'" in policy
    scripts = [data for around, data in page.texts if around[-1:] == ("script",) and data[:1] != "{"]
    assert len(scripts) == 2
    for script in scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    links = [value for _, found in page.elements for key, value in found.items() if key in ("href", "src", "action")]
    assert all(link.startswith(("#", "data:")) for link in links)
    style = page.text("style")
    assert "url(" not in style and "@import" not in style


def test_names_and_headings_are_in_order(usual):
    *_, page, _ = usual
    names = [found["id"] for _, found in page.elements if "id" in found]
    assert len(names) == len(set(names))
    targets = {link["href"][1:] for link in page.all("a")}
    assert targets <= set(names)
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(found.get("aria-label") for name, found in page.elements if name == "svg")
    labels = [found for found in page.all("input") if "aria-label" not in found]
    assert len(labels) <= len(page.all("label"))
    assert page.all("html")[0]["lang"] == "en"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    records = random_records(48, 8, 2)
    records["id"] = [f"{HOSTILE[row % 8].encode('utf-8', 'replace').decode()} {row}" for row in range(48)]
    failed = fail(records, [7], "</td><script>alert(4)</script>")
    methods = {"<b>CAM</b>": ({**CAM, "fill": "</dd><script>alert(5)</script>"}, failed)}
    names = {"model": "</title><script>alert(6)</script>", "data": "<svg onload=alert(7)>"}
    run = write_run(folder / "run", methods, HOSTILE, pictures=6, **names)
    return report(folder, run, title=None)


def test_whatever_names_hold_stands_as_text(hostile):
    _, page, text = hostile
    assert len(page.all("script")) == 3  # the theme, the data, the page's own
    assert not page.all("img") and len(page.all("title")) == 1 and not page.all("b")[6:]
    assert all(not key.startswith("on") for _, found in page.elements for key in found)
    said = page.text()
    for name in HOSTILE[:3]:
        assert name in said
    assert "{{ 7 * 7 }}" in said and "</td><script>alert(4)</script>" in said
    assert "</title><script>alert(6)</script> on <svg onload=alert(7)>" in page.text("h1")
    for sign in ("\x00", "\x1b", "\u202e", "\u2028", "<!-- <script>", "\ufffe"):
        assert sign not in text.replace("&lt;", "")


def test_names_inside_the_embedded_data_end_nothing(hostile):
    _, page, text = hostile
    block = text[text.index('id="cases">') :]
    block = block[: block.index("</script>")]
    assert "<" not in block.partition(">")[2]
    names = page.data()["families"][0]["classes"].values()
    assert {HOSTILE[0], HOSTILE[1], HOSTILE[2]} & set(names)
    assert all(sign not in name for name in names for sign in "\x00\x1b\u202e\u2028")


def test_a_run_without_labels_says_that_it_cannot_tell(tmp_path):
    records = random_records(40, 7, 3, unlabelled=40)
    _, page, _ = report(tmp_path, write_run(tmp_path / "run", {"CAM": (CAM, records)}, NAMES))
    said = page.text()
    assert "No labels, so no verdict" in said and f"changed {records['changed'].sum()} of 40 answers" in said
    assert "true class unknown" not in said and "McNemar test, p =" not in said
    assert {case["k"] for case in page.data()["cases"]} == {"changed"}
    assert all(case["l"] is None for case in page.data()["cases"])


def test_some_labels_and_some_failures_are_counted(tmp_path, without_figures):
    records = fail(random_records(40, 7, 3, unlabelled=10), [20, 21])
    _, page, _ = report(tmp_path, write_run(tmp_path / "run", {"CAM": (CAM, records)}, NAMES))
    said = page.text()
    assert "10 images have no label and count for neither" in said
    assert "2 of 40 images could not be done" in said and "folder/20.png" in said and "cannot be read" in said


def test_a_run_that_failed_throughout_says_so(tmp_path):
    records = fail(random_records(30, 7, 3), range(30))
    made, page, _ = report(tmp_path, write_run(tmp_path / "run", {"CAM": (CAM, records)}, NAMES))
    said = page.text()
    assert "All 30 images failed" in said and "The first 20 of 30." in said and "nan" not in said.lower()
    assert (made.changed, made.pictured) == (0, 0)


def test_a_correction_that_changes_nothing_says_so(tmp_path):
    probs = np.random.default_rng(0).dirichlet(np.ones(7), 30)
    records = records_of(probs, probs, [0] * 30)
    made, page, _ = report(tmp_path, write_run(tmp_path / "run", {"CAM": (CAM, records)}, NAMES))
    said = page.text()
    assert made.changed == 0 and "No answer was changed" in said
    assert "neither fixed nor broke an answer" in said and "How sure is that?" not in said


def test_a_run_without_pictures_lists_its_images_in_numbers(tmp_path, without_figures):
    records = random_records(40, 7, 3)
    made, page, _ = report(tmp_path, write_run(tmp_path / "run", {"CAM": (CAM, records)}, NAMES))
    assert made.pictured == 0 and made.listed == records["changed"].sum()
    assert "the run kept none" in page.text() and page.data()["pictures"] == {}


def test_pictures_that_were_thrown_away_are_not_missed(tmp_path, without_figures):
    run = write_run(tmp_path / "run", {"CAM": (CAM, random_records(40, 7, 3))}, NAMES, pictures=5)
    shutil.rmtree(run / "thumbnails")
    assert report(tmp_path, run)[0].pictured == 0


def test_two_classes_and_few_images_make_a_page(tmp_path):
    before = np.array([[0.55, 0.45]] * 4 + [[0.9, 0.1]] * 2)
    after = np.array([[0.45, 0.55]] * 4 + [[0.9, 0.1]] * 2)
    records = records_of(before, after, [1, 1, 0, 1, 0, 0])
    run = write_run(tmp_path / "run", {"CAM": ({**CAM, "top_k": 2}, records)}, ["cat", "dog"], pictures=2)
    _, page, _ = report(tmp_path, run)
    assert "(3 against 1)" in page.text() and "3 fixed" in page.text("td")


def test_several_models_and_runs_stand_in_one_page(tmp_path, without_figures):
    runs = [
        write_run(tmp_path / "one", {"CAM": (CAM, random_records(40, 7, 1))}, NAMES, pictures=3),
        write_run(tmp_path / "two", {"CAM": (CAM, random_records(40, 7, 1))}, NAMES, pictures=3),
        write_run(tmp_path / "three", {"CAM": (CAM, random_records(30, 7, 2))}, NAMES, model="resnet", data="birds"),
    ]
    made, page, _ = report(tmp_path, *runs)
    assert made.methods == 3 and len(page.data()["families"]) == 2
    assert {"CAM (one)", "CAM (two)", "CAM"} == {entry["name"] for entry in page.data()["methods"]}
    assert page.text("h3").count("resnet on birds") == 5 and "demo on demo:60" in page.text("h1")
    names = [found["id"] for _, found in page.elements if "id" in found]
    assert len(names) == len(set(names))


def test_pictures_are_limited_and_the_rest_is_in_numbers(tmp_path, without_figures):
    run = write_run(tmp_path / "run", {"CAM": (CAM, random_records(80, 7, 1))}, NAMES, pictures=20)
    few, page, _ = report(tmp_path, run, pictures=4)
    assert few.pictured == len(page.data()["pictures"]) == 4 and few.listed == few.changed
    none, page, _ = report(tmp_path, run, pictures=0)
    assert none.pictured == 0 and page.data()["pictures"] == {} and none.size < few.size


def test_unfinished_runs_are_refused_before_anything_is_written(tmp_path):
    run = write_run(tmp_path / "run", {"CAM": (CAM, random_records(40, 7, 1))}, NAMES)
    (run / "records" / "CAM" / "part-00001.parquet").unlink()
    with pytest.raises(ValueError, match=r"runs must be finished, but .*run has 1 of 2 parts of 'CAM'"):
        write_report([run], tmp_path / "report.html")
    with pytest.raises(ValueError, match="no run of an evaluation"):
        write_report([tmp_path], tmp_path / "report.html")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_a_report_replaces_a_report_and_nothing_else(tmp_path, without_figures):
    run = write_run(tmp_path / "run", {"CAM": (CAM, random_records(20, 7, 1))}, NAMES)
    page = tmp_path / "deep" / "report.html"
    for _ in range(2):
        write_report([run], page)
    foreign = tmp_path / "thesis.html"
    foreign.write_text("<!doctype html><p>three years of work</p>")
    with pytest.raises(ValueError, match=r"thesis.html' exists and is no report of this program"):
        write_report([run], foreign)
    assert "three years" in foreign.read_text()
    write_report([run], foreign, overwrite=True)
    assert GENERATOR in foreign.read_text()
    with pytest.raises(ValueError, match="is a folder"):
        write_report([run], tmp_path)
    with pytest.raises(ValueError, match="pictures must be at least 0"):
        write_report([run], page, pictures=-1)
    assert {file.name for file in page.parent.iterdir()} == {"report.html"}
