import json
import os
import stat
import sys
from pathlib import Path

import pytest
import torch

from maskcorrect_plugin.commands.outcomes import ImageOutcome
from maskcorrect_plugin.commands.outputs import OutputFolder
from maskcorrect_plugin.commands.result_json import FORMAT, ResultStream, image_record, versions
from maskcorrect_plugin.errors import ArgumentError
from maskcorrect_plugin.results import CorrectionResult

HEADER = {"settings": {"top_k": 2}}
FOOTER = {"summary": {"done": 1}}


def write(content=b"picture"):
    return lambda path: path.write_bytes(content)


def run(folder, *stems, content=b"picture", **options):
    """A whole run that writes one figure per stem."""
    output = OutputFolder(folder, **options)
    output.open(HEADER)
    names = [output.add_figure(stem, write(content)) for stem in stems]
    for name in names:
        output.add({"path": name, "figure": name})
    output.finish(FOOTER)
    return names


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# --- the state of the folder ------------------------------------------------------------------------------------------


def test_checking_creates_nothing_and_opening_creates_parents(tmp_path):
    folder = tmp_path / "a" / "b"
    output = OutputFolder(folder)
    assert names_in(tmp_path) == []
    output.open(HEADER)
    assert folder.is_dir()
    output.finish(FOOTER)


def test_an_empty_folder_is_fine(tmp_path):
    run(tmp_path, "photo")
    assert names_in(tmp_path) == ["photo.png", "result.json"]


def test_a_folder_with_results_is_refused(tmp_path):
    run(tmp_path, "photo")
    with pytest.raises(ArgumentError, match=r"not empty.*earlier run.*--overwrite"):
        OutputFolder(tmp_path)


def test_a_folder_with_anything_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(ArgumentError, match=r"not empty.*'thesis\.tex'"):
        OutputFolder(tmp_path)


def test_overwrite_removes_our_files_and_no_others(tmp_path):
    run(tmp_path, "old", "both")
    (tmp_path / "thesis.tex").write_text("ten years")
    (tmp_path / "mine.png").write_text("not a figure of ours")
    run(tmp_path, "both", "mine", overwrite=True)
    assert names_in(tmp_path) == ["both.png", "mine-2.png", "mine.png", "result.json", "thesis.tex"]
    assert (tmp_path / "mine.png").read_text() == "not a figure of ours"
    assert (tmp_path / "thesis.tex").read_text() == "ten years"


def test_checking_with_overwrite_removes_nothing(tmp_path):
    run(tmp_path, "old")
    OutputFolder(tmp_path, overwrite=True)
    assert names_in(tmp_path) == ["old.png", "result.json"]


@pytest.mark.parametrize("content", ["{}", "[]", "not json", '{"format": "other", "images": []}', '{"images": 3}'])
@pytest.mark.parametrize("name", ["result.json", "interrupted.json"])
def test_somebody_elses_result_json_is_never_replaced(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ArgumentError, match=rf"{name} that is not this program's"):
        OutputFolder(tmp_path, overwrite=True)
    assert (tmp_path / name).read_text() == content


def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path):
    victim = tmp_path / "victim.png"
    victim.write_text("precious")
    folder = tmp_path / "out"
    folder.mkdir()
    images = [{"figure": name} for name in ("../victim.png", str(victim), "..", "", 3, None, "gone.png")]
    (folder / "result.json").write_text(json.dumps({"format": FORMAT, "images": images}))
    run(folder, "new", overwrite=True)
    assert victim.read_text() == "precious"
    assert names_in(folder) == ["new.png", "result.json"]


@pytest.mark.parametrize("path", ["file", "file/below/it"])
def test_a_file_is_no_folder(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match=r"output must be a folder, but .*file is not one"):
        OutputFolder(tmp_path / path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that refuses everybody, such as /proc")
@pytest.mark.parametrize("path", ["/proc/self", "/proc/self/below"])
def test_an_unwritable_folder_is_refused_also_for_root(path):
    with pytest.raises(ArgumentError, match=r"output folder .* cannot be written to"):
        OutputFolder(path, overwrite=True)


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ArgumentError, match="cannot be written to"):
            OutputFolder(tmp_path / "out")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_was_filled_meanwhile_is_refused(tmp_path):
    output = OutputFolder(tmp_path)
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(ArgumentError, match="not empty"):
        output.open(HEADER)


# --- while a run goes on, and after it --------------------------------------------------------------------------------


def test_result_json_comes_last_and_nothing_temporary_stays(tmp_path):
    output = OutputFolder(tmp_path)
    output.open(HEADER)
    output.add_figure("a", write())
    output.add({"figure": "a.png"})
    assert not (tmp_path / "result.json").exists()
    output.finish(FOOTER)
    assert names_in(tmp_path) == ["a.png", "result.json"]
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "format": FORMAT,
        **HEADER,
        "images": [{"figure": "a.png"}],
        **FOOTER,
    }


def test_a_figure_that_cannot_be_drawn_leaves_nothing(tmp_path):
    output = OutputFolder(tmp_path)
    output.open(HEADER)

    def half(path):
        path.write_bytes(b"half")
        raise RuntimeError("no more ink")

    with pytest.raises(RuntimeError, match="ink"):
        output.add_figure("a", half)
    assert "a.png" not in names_in(tmp_path)
    assert not [name for name in names_in(tmp_path) if name.endswith(".png")]
    output.abandon(FOOTER)


def test_a_stopped_run_leaves_no_result_but_says_what_it_wrote(tmp_path):
    output = OutputFolder(tmp_path)
    output.open(HEADER)
    output.add({"figure": output.add_figure("a", write())})
    assert output.abandon(FOOTER)
    assert names_in(tmp_path) == ["a.png", "interrupted.json"]
    assert json.loads((tmp_path / "interrupted.json").read_text())["images"] == [{"figure": "a.png"}]
    with pytest.raises(ArgumentError, match="not empty"):
        OutputFolder(tmp_path)
    run(tmp_path, "b", overwrite=True)
    assert names_in(tmp_path) == ["b.png", "result.json"]


def test_a_run_that_stops_before_it_writes_leaves_nothing(tmp_path):
    assert not OutputFolder(tmp_path / "out").abandon(FOOTER)
    assert names_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_files_have_ordinary_permissions(tmp_path):
    previous = os.umask(0o022)
    try:
        run(tmp_path, "a")
    finally:
        os.umask(previous)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}


# --- names of figures -------------------------------------------------------------------------------------------------


def test_figures_are_named_after_their_images_each_its_own(tmp_path):
    names = run(tmp_path, "cat", "cat", "Cat", "cat-2", "dog.v2", ".hidden", "...")
    assert names == ["cat.png", "cat-2.png", "Cat-3.png", "cat-2-2.png", "dog.v2.png", "hidden.png", "image.png"]
    assert len({name.casefold() for name in names}) == len(names)


def test_long_names_are_cut_in_bytes(tmp_path):
    (name,) = run(tmp_path, "猫" * 84)  # 252 bytes: with .jpg a file of its own could not be longer
    assert len(name.encode()) <= 210
    assert (tmp_path / name).exists()


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_stream_is_one_json_document(count):
    parts = []
    stream = ResultStream(parts.append, HEADER)
    records = [{"path": f'"{index}"\n\udcff'} for index in range(count)]
    for record in records:
        stream.add(record)
    stream.close(FOOTER)
    text = "".join(parts)
    assert json.loads(text) == {"format": FORMAT, **HEADER, "images": records, **FOOTER}
    text.encode("ascii")


def test_image_record_of_a_hand_made_result(tmp_path):
    result = CorrectionResult(
        probs=torch.tensor([[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]]),
        candidates=torch.tensor([[2, 0], [0, 1]]),
        correction=torch.zeros(2, 3),
        corrected_probs=torch.tensor([[0.625, 0.25, 0.125], [0.5, 0.25, 0.25]]),
        gap=torch.tensor([0.25, 0.25]),
        corrected=torch.tensor([True, False]),
        changed=torch.tensor([True, False]),
        flat=torch.tensor([[False, True], [False, False]]),
        weights=torch.tensor([[0.5, 0.25], [0.0, 0.0]]),
        forwards=torch.tensor([3, 1]),
        saved=torch.tensor([1, 0]),
        seconds=torch.tensor([0.5, 0.25]),
        columns=(("crop", 1), ("hflip", 1)),
    )
    path = tmp_path / "x.jpg"
    assert image_record(ImageOutcome(path, None, result, 0), "abc", "x.png") == {
        "path": str(path),
        "failure": None,
        "figure": "x.png",
        "gap": 0.25,
        "corrected": True,
        "changed": True,
        "before": [
            {"class_index": 2, "class_name": "c", "probability": 0.5, "probability_after": 0.125},
            {"class_index": 0, "class_name": "a", "probability": 0.25, "probability_after": 0.625},
        ],
        "after": [
            {"class_index": 0, "class_name": "a", "probability": 0.625, "probability_before": 0.25},
            {"class_index": 1, "class_name": "b", "probability": 0.25, "probability_before": 0.25},
        ],
        "forwards": 3,
        "saved": 1,
        "views": [{"view": "crop", "flat": [False]}, {"view": "hflip", "flat": [True]}],
    }
    kept = image_record(ImageOutcome(path, None, result, 1), "abc")
    assert [entry["probability"] for entry in kept["before"]] == [entry["probability"] for entry in kept["after"]]
    assert (kept["corrected"], kept["changed"], kept["figure"]) == (False, False, None)


def test_the_record_of_a_failure_has_the_same_keys(tmp_path):
    pairs, ones = torch.ones(1, 2), torch.ones(1)
    result = CorrectionResult(
        pairs, torch.tensor([[0, 1]]), pairs, pairs, ones, ones, ones, pairs, pairs, ones, ones, ones
    )
    done = image_record(ImageOutcome(tmp_path, None, result), "ab")
    failed = image_record(ImageOutcome(tmp_path, "truncated"), "ab")
    assert done.keys() == failed.keys()
    assert failed["failure"] == "truncated"
    assert failed["changed"] is None
    assert failed["before"] == failed["after"] == failed["views"] == []


def test_versions_are_those_in_use():
    import maskcorrect_plugin

    found = versions()
    assert found["maskcorrect_plugin"] == maskcorrect_plugin.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
