"""``run.json`` and the folder of a run: made once, the same run found again, any other refused by name."""

import json
import multiprocessing
import re
from dataclasses import replace
from functools import partial

import pytest
import torch
from lively import correctors_of, lively_data, lively_net
from pictures import write_pictures
from torch import nn

from maskcorrect_plugin import LoadedModel, Preprocessing, RunFolder, load_dataset, load_model
from maskcorrect_plugin.datasets import as_image_dataset
from maskcorrect_plugin.describing import model_fingerprint
from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.atomic import TEMPORARY
from maskcorrect_plugin.evaluation.description import describe_run
from maskcorrect_plugin.evaluation.manifest import FORMAT, NAME, Manifest, check_output, plain_settings
from maskcorrect_plugin.evaluation.run_folder import folder_name
from maskcorrect_plugin.printable import stable_text

IDENTITY = {
    "model": {"spec": "demo", "fingerprint": "a" * 64},
    "data": {"count": 10, "fingerprint": "b" * 64},
    "methods": {"CAM": {"top_k": 5, "threshold": 0.1}, "control:hflip": {"top_k": 5}},
    "records": {"images_per_part": 4, "keep_maps": False, "thumbnails": 0, "distributions": "float16"},
    "versions": {"torch": "2.14"},
}


def changed(identity, path, value):
    """The identity with another value at a dotted path."""
    copy = json.loads(json.dumps(identity))
    inner = copy
    *above, last = path.split(".")
    for name in above:
        inner = inner[name]
    inner[last] = value
    return copy


def test_parts_cover_every_image_once_in_order():
    manifest = Manifest(IDENTITY)
    assert manifest.num_parts == 3
    assert [list(manifest.part(part)) for part in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert Manifest(changed(IDENTITY, "data.count", 8)).num_parts == 2


def test_the_same_run_is_found_again_and_keeps_what_was_there(tmp_path):
    folder = tmp_path / "runs" / "one"
    first = Manifest(IDENTITY, {"created": "yesterday"}, ("a", "b"))
    assert first.create_or_match(folder) == first == Manifest.read(folder)
    again = Manifest(IDENTITY, {"created": "today", "device": "another"}, ("a", "b")).create_or_match(folder)
    assert again.about == {"created": "yesterday"}
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.fingerprint", "c", f'model.fingerprint was "{"a" * 64}" and is "c" now'),
        ("methods.CAM.threshold", 0.2, "methods.CAM.threshold was 0.1 and is 0.2 now"),
        ("records.keep_maps", True, "records.keep_maps was false and is true now"),
        ("versions.torch", None, 'versions.torch was "2.14" and is nothing now'),
        ("methods.ScoreCAM", {"top_k": 5}, "methods.ScoreCAM was nothing and is given now"),
    ],
)
def test_another_run_is_refused_naming_what_differs(tmp_path, path, value, message):
    Manifest(IDENTITY).create_or_match(tmp_path)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(RunError, match=re.escape(message)) as raised:
        Manifest(changed(IDENTITY, path, value)).create_or_match(tmp_path)
    assert str(tmp_path) in str(raised.value) and "choose another folder" in str(raised.value)
    assert (tmp_path / NAME).read_bytes() == before


def test_many_differences_are_counted(tmp_path):
    Manifest(IDENTITY).create_or_match(tmp_path)
    other = changed(IDENTITY, "versions", {f"library{index}": "1" for index in range(20)})
    with pytest.raises(RunError, match="; and 15 more"):
        Manifest(other).create_or_match(tmp_path)


def start(folder, identity, barrier, outcomes):
    barrier.wait()
    try:
        found = Manifest(identity, {"by": multiprocessing.current_process().name}).create_or_match(folder)
        outcomes.put(found.about["by"])
    except RunError as error:
        outcomes.put(f"refused: {error}")


def start_together(folder, identities):
    context = multiprocessing.get_context("fork")
    barrier, outcomes = context.Barrier(len(identities)), context.SimpleQueue()
    processes = [context.Process(target=start, args=(folder, each, barrier, outcomes)) for each in identities]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(identities)
    return [outcomes.get() for _ in identities]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_of_many_workers_one_creates_the_run_and_all_others_match(tmp_path):
    for attempt in range(5):
        found = start_together(tmp_path / str(attempt), [IDENTITY] * 8)
        assert len(set(found)) == 1 and not found[0].startswith("refused")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_of_two_different_runs_in_one_folder_one_is_refused(tmp_path):
    other = changed(IDENTITY, "methods.CAM.threshold", 0.2)
    for attempt in range(5):
        found = start_together(tmp_path / str(attempt), [IDENTITY, other])
        (refused,) = (text for text in found if text.startswith("refused"))
        assert "methods.CAM.threshold" in refused


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(RunError, match=r"is not empty \(it holds 'thesis.tex', for one\) and is no run"):
        Manifest(IDENTITY).create_or_match(tmp_path)
    with pytest.raises(RunError, match=r"has no run\.json"):
        RunFolder.open(tmp_path)


def test_what_a_run_that_was_killed_at_once_leaves_is_no_hindrance(tmp_path):
    (tmp_path / f"{TEMPORARY}host-1-abcd").write_bytes(b"{")
    check_output(tmp_path)
    Manifest(IDENTITY).create_or_match(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as the description of a run"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"a": 1}', "cannot be read"),
        (json.dumps({"format": FORMAT}), "cannot be read"),
        ('{"format": "maskcorrect_plugin.evaluation/1"}', "runs of earlier versions.* must be run again"),
        ('{"format": "other/1"}', "has the format 'other/1', this version reads"),
    ],
)
def test_a_run_json_that_is_not_ours_is_refused_and_left_alone(tmp_path, text, message):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(RunError, match=message):
        Manifest(IDENTITY).create_or_match(tmp_path)
    assert (tmp_path / NAME).read_text() == text


# --- what goes into it ------------------------------------------------------------------------------------------------


def loaded_demo(**changes):
    return replace(load_model("demo"), **changes)


def described(data="demo:6", loaded=None):
    return describe_run({"mine": object()}, load_dataset(data), loaded or loaded_demo(), {"images_per_part": 4}, {})


def test_the_source_may_be_spelled_differently(tmp_path, monkeypatch):
    write_pictures(tmp_path / "data", ["a/1.png", "b/2.png"])
    monkeypatch.chdir(tmp_path)
    same = [described(source) for source in ("data", f"{tmp_path}/data", "./data/../data/", tmp_path / "data")]
    assert len({json.dumps(manifest.identity) for manifest in same}) == 1
    assert same[0].about["source"] == "data"
    write_pictures(tmp_path / "data", ["a/3.png"])
    assert described("data").identity != same[0].identity


def test_the_description_is_the_same_in_every_process_and_depends_on_every_part():
    first = described()
    assert first.identity == described().identity
    assert first.identity["data"]["count"] == 6 and "source" not in first.identity["data"]
    assert "python" not in first.identity["versions"] and first.about["python"]
    other = loaded_demo()
    with torch.no_grad():
        next(other.model.parameters()).view(-1)[0] += 1e-3
    different = [
        described("demo:7"),
        described(loaded=other),
        described(loaded=loaded_demo(preprocessing=Preprocessing(print))),
    ]
    texts = {json.dumps(manifest.identity) for manifest in (first, *different)}
    assert len(texts) == 4


def test_settings_name_what_a_method_depends_on():
    net = lively_net()
    data = lively_data(net)
    loaded = LoadedModel(net, Preprocessing(print), tuple("abcdef"), "mine", None)
    methods = [
        describe_run(correctors_of(net, ("CAM",), **options), as_image_dataset(data), loaded, {}, {}).identity[
            "methods"
        ]
        for options in (
            *({}, {"threshold": 0.2}, {"candidate_weights": "uniform"}, {"max_gap": 0.5}),
            *({"views": "mask+hflip"}, {"pool": "log"}, {"temperature": 2.0}, {"precision": "bfloat16"}),
        )
    ]
    assert len({json.dumps(each) for each in methods}) == len(methods)


def test_fingerprints_tell_values_types_and_names_apart():
    def net(**changes):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        for name, change in changes.items():
            change(getattr(model[1], name) if name != "half" else model)
        return model

    models = [
        net(),
        net(weight=lambda weight: weight.data.mul_(1.0001)),
        net(running_var=lambda buffer: buffer.add_(1e-6)),
        net(num_batches_tracked=lambda count: count.add_(1)),
        net(half=lambda model: model.half()),
        nn.ModuleDict({"a": net()}),
        nn.Identity(),
    ]
    prints = [model_fingerprint(model) for model in models]
    assert len(set(prints)) == len(models) and prints[0] == model_fingerprint(net())
    assert all(re.fullmatch(r"[0-9a-f]{64}", each) for each in prints)


def test_extra_state_of_a_module_counts_too():
    class Extra(nn.Module):
        def __init__(self, state):
            super().__init__()
            self.state = state

        def get_extra_state(self):
            return self.state

    assert model_fingerprint(Extra({"scale": 1})) != model_fingerprint(Extra({"scale": 2}))


def test_addresses_in_memory_are_left_out():
    assert stable_text(partial(print, 1)) == "functools.partial(<built-in function print>, 1)"
    first, second = (stable_text(lambda image: image) for _ in range(2))
    assert first == second and "0x" not in first


def test_settings_become_plain_json():
    plain = plain_settings("mine", {"a": (1, 2), "b": None, "c": print, "d": {"e": torch.float16}})
    assert plain == {"a": [1, 2], "b": None, "c": "<built-in function print>", "d": {"e": "torch.float16"}}
    for settings in ({"a": float("nan")}, {("a", 1): 2}):
        with pytest.raises(ArgumentError, match="settings of 'mine' must be plain values"):
            plain_settings("mine", settings)


# --- folders of methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("control:hflip", "control.hflip"),
        ("captum:LayerGradCam", "captum.LayerGradCam"),
        ("ScoreCAM[preset=grad_cam, x=1.5]", "ScoreCAM-preset-grad_cam-x-1.5"),
        ("../../etc", "etc"),
        ("..", "method"),
        ("a/b\\c*d?e", "a-b-c-d-e"),
    ],
)
def test_folders_of_methods_have_plain_names(method, expected):
    assert folder_name(method) == expected


def test_long_names_are_cut_and_stay_different():
    names = [folder_name("x" * 300 + str(index)) for index in range(3)]
    assert len(set(names)) == 3 and all(len(name) < 120 for name in names)


def test_a_run_folder_knows_what_is_done(tmp_path):
    Manifest(IDENTITY).create_or_match(tmp_path)
    folder = RunFolder.open(tmp_path)
    assert folder.methods == ("CAM", "control:hflip")
    assert folder.done("CAM") == [] and not folder.complete and not folder.has("CAM", 0)
    with pytest.raises(RunError, match="no records of 'CAM': no part is done yet"):
        folder.records("CAM")
    for method in folder.methods:
        for part in range(3):
            file = folder.part_file("records", method, part)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"")
    folder.part_file("records", "CAM", 1).unlink()
    folder.part_file("records", "CAM", 3).write_bytes(b"of nobody")
    assert folder.done("CAM") == [0, 2] and not folder.complete and folder.has("control:hflip", 1)
    folder.part_file("records", "CAM", 1).write_bytes(b"")
    assert folder.complete
    with pytest.raises(ArgumentError, match="method must be one of 'CAM', 'control:hflip'"):
        folder.records("ScoreCAM")
