"""``maskcorrect evaluate`` as its user sees it: what it refuses, says, writes and estimates."""

import json
import signal
import sys

import pandas as pd
import pytest
import torch
from lively_factory import NAMES, write_images
from typer.testing import CliRunner

from maskcorrect_plugin import RunFolder, load_model
from maskcorrect_plugin.cli import app
from maskcorrect_plugin.commands import run_progress
from maskcorrect_plugin.commands.evaluate import EvaluateOptions, _default_readers, plain_options
from maskcorrect_plugin.commands.run_progress import EVERY, ProgressLines
from maskcorrect_plugin.commands.stopping import TERMINATED, ending_on_sigterm
from maskcorrect_plugin.evaluation.estimate import Estimate, MethodEstimate
from maskcorrect_plugin.evaluation.worker import Worker

MODEL = ("-m", "lively_factory:network")
SMALL = ("-k", "3", "--images-per-part", "7")
TABLE = "exact McNemar p  "


@pytest.fixture
def maskcorrect(tmp_path, monkeypatch):
    """Runs ``maskcorrect evaluate data`` in a folder with images, one of which is broken."""
    write_images(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments, data="data", model=MODEL):
        return CliRunner().invoke(app, ["evaluate", data, *model, *SMALL, *map(str, arguments)])

    return run


def error_of(result):
    assert result.exit_code == 2, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return line


# --- refused before the long work -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "output must name the folder of the run"),
        (("-o", "run", "--method", "control:hfilp"), "did you mean 'control:hflip'"),
        (("-o", "run", "--method", "CAN"), "unknown attribution method 'CAN'"),
        (("-o", "run", "--method", "CAM", "--method", "CAM"), "'CAM' twice"),
        (("-o", "run", "--subset", "p1<0.5"), "'p1-p2', 'p1-p5'"),
        (("-o", "run", "--worker", "2/2"), "worker"),
        (("-o", "data"), "is not empty (it holds 'crow', for one) and is no run"),
        (("-o", "data/crow/000.png"), "output must be a folder"),
        (("-o", "run", "--preset", "grad_cam", "--method", "CAM"), "preset is an option of the native ScoreCAM alone"),
        (("-o", "run", "--method", "CAM[threshold=2]"), "threshold must lie in [0, 1), got 2"),
        (("-o", "run", "--method", "CAM[threshold=2]", "--method", "CAM"), "threshold must lie in [0, 1), got 2"),
        (("-o", "run", "--method", "CAM[model=3]"), "'model'"),
        (("-o", "run", "--method", "CAM[method=ScoreCAM]"), "got 'method' in 'CAM[method=ScoreCAM]'"),
        (("-o", "run", "--recipe", "zoo"), "got 'zoo'; did you mean 'zoom'?"),
        (("-o", "run", "--recipe", "missing.json"), "recipe file missing.json"),
        (("-o", "run", "--recipe", "zoom", "--recipe", "zoom"), "'zoom' twice"),
        (("-o", "run", "--recipe", "zoom", "--threshold", "0.2"), "the recipe has 4"),
        (("-o", "run", "--recipe", "zoom[pol=log]"), "has no option 'pol'; did you mean 'pool'?"),
        (("-o", "run", "--views", "hflip+zom"), "got 'zom'; did you mean 'zoom'?"),
        (("-o", "run", "--method", "CAM[tresh=1]"), "CAM has no option tresh"),
        (
            ("-o", "run", "--recipe", "zoom[method=control:other_image[off=CAM]]"),
            "has no option off; it takes of, seed",
        ),
        (("-o", "run", "--recipe", "zoom[method=control:hfilp]"), "did you mean 'control:hflip'"),
        (("-o", "run", "--recipe", "unguided", "--method", "CAM"), "where no view follows a map, as in unguided"),
        (("-o", "run", "--method", "control:hflip[views=mask]"), "is a view itself, so it takes no views"),
        (("-o", "run", "--method", "control:random_crops[m=3]"), "view 'random_crops' has no option 'm'"),
        (("-o", "run", "--method", "control:single_mask[seed=3]"), "has no option 'seed'; it takes of"),
        (("-o", "run", "--method", "CAM", "--method", "control:other_image", "--preset", "grad_cam"), "are CAM, con"),
    ],
)
def test_wrong_usage_is_one_line_before_the_model_is_loaded(maskcorrect, tmp_path, arguments, message):
    assert message in error_of(maskcorrect(*arguments, model=("-m", "no_such_module:network")))
    assert not (tmp_path / "run").exists()


def test_a_model_must_be_given(maskcorrect):
    assert "model must be given" in error_of(maskcorrect("-o", "run", model=()))


def test_another_run_is_refused_with_what_differs(maskcorrect):
    assert maskcorrect("-o", "run", "--method", "CAM").exit_code == 0
    message = error_of(maskcorrect("-o", "run", "--method", "CAM", "--threshold", "0.2"))
    assert "run holds another run: methods.CAM.views was [" in message and "threshold=0.2" in message
    message = error_of(maskcorrect("-o", "run", "--method", "CAM", "--method", "control:hflip"))
    assert "run holds another run: methods.control:hflip was nothing and is given now." in message


def test_options_in_brackets_may_be_those_of_the_corrector(maskcorrect, tmp_path):
    both = ("--method", "CAM", "--method", "CAM[threshold=0.4, view=crop, pool=log]")
    assert maskcorrect("-o", "run", *both).exit_code == 0
    methods = RunFolder.open(tmp_path / "run").manifest.identity["methods"].values()
    crop = "crop[threshold=0.4,margin=0.05,map=candidates]"
    assert [method["pool"] for method in methods] == ["sum", "log"]
    assert [method["views"] for method in methods] == [["mask[threshold=0.1,fill=zero,map=candidates]"], [crop]]


# --- said and written -------------------------------------------------------------------------------------------------


def test_a_run_prints_its_tables_and_writes_what_it_says(maskcorrect, tmp_path):
    result = maskcorrect("-o", "run", "--method", "CAM", "--method", "control:hflip", "--keep-maps")
    assert result.exit_code == 0, result.output
    first = result.stdout.splitlines()[0]
    assert first == "lively_factory:network on 30 images of data: CAM, control:hflip"
    assert result.stdout.count(TABLE) == 2 and "1 of 30 images failed and are left out." in result.stdout
    assert "worker" not in result.stdout and result.stderr == ""
    folder = RunFolder.open(tmp_path / "run")
    assert sorted(path.name for path in folder.path.iterdir()) == [
        *("maps", "records", "run.json", "summary.json", "thumbnails")
    ]
    about = folder.manifest.about
    assert about["source"] == "data" and about["options"]["data"] == str(tmp_path / "data")
    assert folder.manifest.class_names == NAMES
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["methods"]["CAM"]["images"] == 30 and summary["methods"]["CAM"]["failed"] == 1


def test_the_same_command_again_computes_nothing_and_tells_the_same(maskcorrect, tmp_path):
    first = maskcorrect("-o", "run", "--method", "CAM")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "records").rglob("*.parquet")}
    again = maskcorrect("-o", "run", "--method", "CAM")
    assert "going on: 5 of 5 parts are there" in again.stdout
    assert first.stdout.splitlines()[1:] == again.stdout.splitlines()[2:]
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "run" / "records").rglob("*.parquet")}
    other = maskcorrect("-o", "run", "--method", "CAM", "--subset", "p1-p2<0.05")
    assert "p1 - p2 < 0.05" in other.stdout


def test_json_is_the_summary_and_nothing_else(maskcorrect, tmp_path):
    result = maskcorrect("-o", "run", "--method", "CAM", "--json")
    assert json.loads(result.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_quiet_prints_nothing(maskcorrect, tmp_path):
    result = maskcorrect("-o", "run", "--method", "CAM", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "run" / "summary.json").exists()


def test_a_share_says_how_much_is_there(maskcorrect, tmp_path):
    result = maskcorrect("-o", "run", "--method", "CAM", "--worker", "1/2")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "worker 1 of 2 (option)",
        "worker 1 of 2 has done its share; 2 of 5 parts of the run are in run",
    ]
    assert not (tmp_path / "run" / "summary.json").exists()
    rest = maskcorrect("-o", "run", "--method", "CAM")
    assert "going on: 2 of 5 parts are there" in rest.stdout and rest.stdout.count(TABLE) == 1


def test_a_summary_does_not_outlive_a_part_that_is_removed(maskcorrect, tmp_path):
    assert maskcorrect("-o", "run", "--method", "CAM").exit_code == 0
    (tmp_path / "run" / "records" / "CAM" / "part-00001.parquet").unlink()
    assert maskcorrect("-o", "run", "--method", "CAM", "--worker", "0/2").exit_code == 0
    assert not (tmp_path / "run" / "summary.json").exists()
    assert TABLE in maskcorrect("-o", "run", "--method", "CAM", "--worker", "1/2").stdout


def test_a_damaged_part_is_named_with_what_to_do(maskcorrect, tmp_path):
    assert maskcorrect("-o", "run", "--method", "CAM").exit_code == 0
    damaged = tmp_path / "run" / "records" / "CAM" / "part-00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert "part-00001.parquet cannot be read" in error_of(maskcorrect("-o", "run", "--method", "CAM"))
    damaged.unlink()
    assert maskcorrect("-o", "run", "--method", "CAM").exit_code == 0


def test_some_images_can_be_drawn_by_the_seed(maskcorrect, tmp_path):
    drawn = {}
    for seed in (0, 0, 1):
        folder = f"run{len(drawn)}-{seed}"
        methods = ("--method", "control:random_crops", "--limit", 10, "--seed", seed)
        assert maskcorrect("-o", folder, *methods, "--quiet").exit_code == 0
        run = RunFolder.open(tmp_path / folder)
        assert "seed=0" in run.recipe("control:random_crops").views[0]
        drawn[folder] = run.records("control:random_crops")
    first, again, other = drawn.values()
    assert first["id"].tolist() == again["id"].tolist() != other["id"].tolist() and len(other) == 10
    assert all(map(torch.equal, *(map(torch.tensor, table["probs_after"].dropna()) for table in (first, again))))


# --- dry run ----------------------------------------------------------------------------------------------------------


def numbers_of(line):
    """Method and numbers of a line of the estimate."""
    name, *values = line.split()
    return name, [float(value) for value in values[:3]]


def test_a_dry_run_writes_nothing_and_counts_forwards_exactly(maskcorrect, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    result = maskcorrect("--dry-run", "--method", "CAM", "--method", "control:hflip", "--method", "ScoreCAM")
    assert result.exit_code == 0 and sorted(tmp_path.rglob("*")) == before
    lines = result.stdout.splitlines()
    forwards = {name: values[0] for name, values in map(numbers_of, lines[1:4])}
    assert forwards == {"CAM": 4.0, "control:hflip": 2.0, "ScoreCAM": pytest.approx(9.0, abs=0.9)}
    assert "30 images in 5 parts a method" in result.stdout


def test_a_dry_run_tells_the_size_on_disk(maskcorrect, tmp_path):
    options = ("--method", "CAM", "--keep-maps", "--thumbnails", "0")
    text = maskcorrect("--dry-run", *options).stdout
    assert maskcorrect("-o", "run", *options).exit_code == 0
    size = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*.parquet"))
    told = float(text.split(" kB of disk")[0].split()[-1]) * 1000
    assert told == pytest.approx(size, rel=0.1)


def test_a_dry_run_with_max_gap_weighs_the_images_that_pass(maskcorrect, tmp_path):
    gap = 0.12
    text = maskcorrect("--dry-run", "--method", "CAM", "--max-gap", gap).stdout
    assert maskcorrect("-o", "run", "--method", "CAM", "--max-gap", gap, "--quiet").exit_code == 0
    records = RunFolder.open(tmp_path / "run").records("CAM").dropna(subset=["forwards"])
    assert 0.2 < records["corrected"].mean() < 0.8
    assert numbers_of(text.splitlines()[1])[1][0] == pytest.approx(records["forwards"].mean(), abs=0.06)
    assert f"Of 29 images {100 * records['corrected'].mean():.0f} % are below max-gap" in text


def test_a_dry_run_of_images_that_all_fail_is_an_estimate_too(maskcorrect, tmp_path):
    for file in (tmp_path / "data").rglob("*.png"):
        file.write_bytes(b"no picture")
    for options in ((), ("--max-gap", "0.5")):
        result = maskcorrect("--dry-run", "--method", "CAM", *options)
        assert result.exit_code == 0 and "0 images" in result.stdout


def test_workers_share_the_time(maskcorrect):
    text = maskcorrect("--dry-run", "--method", "CAM", "--worker", "0/8").stdout
    assert "for each of 8 workers like this one" in text
    assert "3 of the 8 workers have none" in text  # of 5 parts
    assert "have none" not in maskcorrect("--dry-run", "--method", "CAM", "--worker", "0/5").stdout


def test_the_time_is_that_of_the_worker_with_most_to_do():
    method = MethodEstimate("CAM", 8, 0, 2.0, 6.0, 0.0, 0.0)
    assert Estimate(30, 5, 8, 7, "cpu", (method,)).seconds == 14.0


# --- progress ---------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_a_minute_with_the_time_left():
    said, clock = [], Clock()
    lines = ProgressLines(said.append, done=100, total=1100, unit="image", name="worker 3 of 8: ", clock=clock)
    for _ in range(10):
        clock.now += EVERY / 4
        lines.update(10)
    assert said == [
        "worker 3 of 8: 140 of 1,100 images (12.7 %), 0.667 a second, about 24.0 min left",
        "worker 3 of 8: 180 of 1,100 images (16.4 %), 0.667 a second, about 23.0 min left",
    ]


def progress_of(monkeypatch, terminal, worker, quiet=False, methods=2):
    """What a run shows on a terminal or in a log."""

    class Evaluation:
        def __init__(self):
            self.worker, self.correctors = worker, dict.fromkeys(range(methods))

        def progress(self, folder):
            return 3, 10

    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with run_progress.run_progress(Evaluation(), None, quiet=quiet) as progress:
        return progress


def test_of_several_workers_in_one_terminal_only_the_first_has_a_bar(monkeypatch):
    first, second = Worker(0, 2, 0, 2, "torchrun"), Worker(1, 2, 1, 2, "torchrun")
    bar = progress_of(monkeypatch, True, first)
    assert (bar.total, bar.initial, bar.desc, bar.unit) == (10, 3, "worker 0 of 2", "correction")
    assert progress_of(monkeypatch, True, second) is None
    assert progress_of(monkeypatch, True, Worker(), methods=1).unit == "image"
    assert progress_of(monkeypatch, True, Worker(), quiet=True) is None
    assert progress_of(monkeypatch, False, second).name == "worker 1 of 2: "
    assert progress_of(monkeypatch, False, Worker()).name == ""


# --- small things -----------------------------------------------------------------------------------------------------


def test_sigterm_ends_as_an_exit_and_only_inside():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, ending_on_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == TERMINATED == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_recorded_options_mean_the_same_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "demo", "DEFAULT", "weights.pt"):
        (tmp_path / name).mkdir()
    names = EvaluateOptions.__dataclass_fields__
    for data, weights, expected in (
        ("data", "weights.pt", (str(tmp_path / "data"), str(tmp_path / "weights.pt"))),
        ("demo", "DEFAULT", ("demo", "DEFAULT")),
        ("hf:org/name", "none", ("hf:org/name", "none")),
    ):
        plain = plain_options(EvaluateOptions(**{**dict.fromkeys(names), "data": data, "weights": weights}))
        assert (plain["data"], plain["weights"]) == expected
        json.dumps(plain)


def test_images_are_read_in_the_background_beside_a_gpu_and_originals_always(device, monkeypatch):
    loaded = load_model("demo", device=device)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1}, raising=False)
    readers, for_originals = (_default_readers(loaded, Worker(), pictures=wanted) for wanted in (False, True))
    assert (readers, for_originals) == (0, 1) if device.type == "cpu" else 1 <= readers == for_originals <= 8


def test_the_tables_of_a_run_are_those_of_its_records(maskcorrect, tmp_path):
    assert maskcorrect("-o", "run", "--method", "CAM", "--quiet").exit_code == 0
    records = pd.read_parquet(tmp_path / "run" / "records" / "CAM").dropna(subset=["classes_after"])
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())["methods"]["CAM"]["overall"]
    right = (records["label_rank_before"] == 1), (records["label_rank_after"] == 1)
    assert summary["accuracy"] == {"before": right[0].mean(), "after": right[1].mean()}
    assert summary["outcome"]["fixed"] == (~right[0] & right[1]).sum()
    assert summary["changed"] == records["changed"].sum()
