"""`evaluate` in Python: any data, any corrector, any grouping; what fails is written down and the rest goes on."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Counter
from lively import COUNT, correctors_of, lively_data, lively_inputs, lively_net, run_lively
from pictures import picture, write_pictures
from torch import nn
from torch.utils.data import TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from maskcorrect_plugin import (
    LoadedModel,
    Preprocessing,
    ProbabilityCorrector,
    Recipe,
    RunFolder,
    evaluate,
    load_dataset,
    make_correctors,
)
from maskcorrect_plugin.datasets import as_image_dataset
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError, RunError
from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.results import CorrectionResult

TRANSFORM = v2.Compose([v2.PILToTensor(), v2.Resize((16, 20)), v2.ToDtype(torch.float32, scale=True)])
NAMES = ("jay", "robin", "wren", "owl", "kite", "crow")


def loaded(net, transform=TRANSFORM):
    return LoadedModel(net, Preprocessing(transform), NAMES, "mine", None)


def parts_of(size, **options):
    return RecordOptions(images_per_part=size, **options)


def assert_same_records(first, second, but=("seconds",)):
    """Equal as runs are: names exactly, numbers within 1e-5."""
    assert len(first) == len(second)
    for name in first.columns.difference(but):
        for one, other in zip(first[name], second[name], strict=True):
            if isinstance(one, np.ndarray | float):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-3 if name[-5:] == "probs" else 1e-5)
            else:
                assert (one is pd.NA and other is pd.NA) or one == other, name


def test_records_are_those_of_correcting_each_image_alone():
    net, data, records = run_lively(None, ("CAM", "control:hflip"))
    for method, corrector in correctors_of(net).items():
        for index, (image, label) in enumerate(data):
            result = corrector.correct(image[None], labels=[label], ids=[str(index)])
            row = records[method].iloc[index]
            assert row["label"] == label and row["forwards"] == int(result.forwards[0])
            np.testing.assert_allclose(row["probs_after"][0], float(result.corrected_probs.max()), atol=1e-5)
            assert row["classes_after"][0] == int(result.corrected_prediction)


@pytest.mark.parametrize("size", [1, 3, COUNT, 1000])
def test_the_size_of_parts_changes_nothing_but_the_parts(size, tmp_path):
    net, data, expected = run_lively(None)
    records = evaluate(correctors_of(net), data, net, tmp_path / "run", options=parts_of(size))
    for method, table in records.items():
        assert_same_records(table, expected[method])
    assert len(list((tmp_path / "run" / "records" / "CAM").iterdir())) == -(-COUNT // size)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_one_image_in_a_batch_gives_what_many_give(batch_size):
    net, data, expected = run_lively(None)
    records = evaluate(correctors_of(net, batch_size=batch_size), data, net, options=parts_of(7))
    for method, table in records.items():
        assert_same_records(table, expected[method])


def test_groups_hold_one_batch_and_no_more(tmp_path):
    net = lively_net()
    corrector, data = correctors_of(net, batch_size=4)["control:hflip"], lively_data(net)
    counter = Counter(net)
    evaluate(corrector, data, net, options=parts_of(10))
    assert counter.inputs == 2 * COUNT + 1 + 1  # one forward counts the classes, one is the probe
    assert [counter.batches.count(size) for size in (4, 2)] == [16, 8] and max(counter.batches) == 4


def test_tensors_pictures_and_folders_of_the_same_images_agree(tmp_path):
    net = lively_net()
    pictures = [v2.functional.to_pil_image(image.sigmoid()) for image in lively_inputs(18)]
    for index, image in enumerate(pictures):
        file = tmp_path / "data" / NAMES[index // 3] / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
    tensors = torch.stack([TRANSFORM(image) for image in pictures])
    labels = torch.arange(18) // 3
    by_name = {name: index for index, name in enumerate(sorted(NAMES))}
    folder = ImageFolder(tmp_path / "data", target_transform=lambda index: NAMES.index(sorted(NAMES)[index]))
    order = [index for name in by_name for index in range(18) if NAMES[index // 3] == name]
    corrector = correctors_of(net)["CAM"]
    expected = evaluate(corrector, TensorDataset(tensors, labels), net)["CAM"]
    pil = evaluate(corrector, list(zip(pictures, labels.tolist(), strict=True)), loaded(net))["CAM"]
    assert_same_records(pil, expected)
    for data in (folder, load_dataset(tmp_path / "data", class_names=NAMES), tmp_path / "data"):
        records = evaluate(corrector, data, loaded(net))["CAM"]
        assert_same_records(records, expected.iloc[order], but=("seconds", "index", "id"))
    assert records["id"].tolist() == [f"{NAMES[index // 3]}/{index:02}.png" for index in order]


# --- what fails -------------------------------------------------------------------------------------------------------


class Moody(nn.Module):
    """Answers with NaN, or raises, on images whose first pixel says so."""

    def __init__(self):
        super().__init__()
        self.net = lively_net()

    def forward(self, inputs):
        moods = inputs[:, 0, 0, 0]
        if (moods == 252).any():
            raise RuntimeError("shapes do not fit")
        if (moods == 253).any():
            raise ZeroDivisionError("of somebody's own")
        if (moods == 254).any():
            raise RuntimeError("CUDA out of memory")
        return torch.where((moods == 251)[:, None], torch.nan, self.net(inputs))


def moody(data, moods):
    """The data with some first pixels set."""
    images = [(image.clone(), label) for image, label in data]
    for index, mood in moods.items():
        images[index][0][0, 0, 0] = mood
    return images


def evaluate_moody(moods, size=7, methods=("CAM",), output=None, only=None):
    net = Moody()
    data = moody(lively_data(net.net), moods)
    correctors = {name: ProbabilityCorrector(net, name, "net.act", top_k=3) for name in methods}
    return evaluate(correctors, data[only] if only else data, net, output, options=parts_of(size))


def failures(records):
    return {int(row["index"]): row["failure"] for _, row in records[records["failure"].notna()].iterrows()}


@pytest.mark.parametrize("size", [1, 3, COUNT])
def test_an_image_that_the_model_stumbles_over_fails_alone(size):
    moods = {0: 251, 4: 252, 5: 253, 20: 252, 21: 252, 22: 252, COUNT - 1: 253}
    records = evaluate_moody(moods, size)["CAM"]
    failed = failures(records)
    assert failed.keys() == moods.keys()
    assert "NaN" in failed[0]
    assert failed[4] == "RuntimeError: shapes do not fit"
    assert failed[5] == "ZeroDivisionError: of somebody's own"
    expected = run_lively(None, ("CAM",))[2]["CAM"]
    good = [index for index in range(COUNT) if index not in moods]
    assert_same_records(records.iloc[good], expected.iloc[good])
    assert records.iloc[4].drop(["index", "id", "label", "failure"]).isna().all()


def test_recipes_that_share_their_work_fail_on_the_same_images_and_no_others():
    net = Moody()
    data = moody(lively_data(net.net), {0: 251, 4: 252, 20: 252, 21: 252})
    data[9] = (data[9][0], None)
    recipes = {
        name: Recipe(method=name, target_layer="net.act", top_k=3) for name in ("CAM", "control:oracle_class[of=CAM]")
    }
    records = evaluate(make_correctors(net, recipes), data, net, options=parts_of(7))
    cam, oracle = (failures(table) for table in records.values())
    assert cam.keys() == {0, 4, 20, 21} and oracle.keys() == {*cam, 9}
    assert {index: oracle[index] for index in cam} == cam and "labels must be given" in oracle[9]
    expected = run_lively(None, ("CAM",))[2]["CAM"]
    good = [index for index in range(COUNT) if index not in oracle]
    assert_same_records(records["CAM"].iloc[good], expected.iloc[good])


def test_an_error_on_every_image_stops_the_run_and_names_itself(tmp_path):
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        evaluate_moody(dict.fromkeys(range(COUNT), 252), output=tmp_path / "run")
    assert not (tmp_path / "run" / "records").exists()


def test_memory_that_runs_out_is_never_an_images_fault(tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate_moody({30: 254}, output=tmp_path / "run")
    assert RunFolder.open(tmp_path / "run").done("CAM") == [0, 1, 2, 3]


def test_a_model_that_answers_nan_everywhere_is_a_run_of_failures():
    records = evaluate_moody(dict.fromkeys(range(COUNT), 251))["CAM"]
    assert len(failures(records)) == COUNT


def test_a_run_stopped_by_an_error_goes_on_when_it_is_gone(tmp_path):
    """The data changes under the run here, which a real one must not do; its fingerprint knows ids and labels only."""
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate_moody({30: 254}, output=tmp_path / "run")
    records = evaluate_moody({}, output=tmp_path / "run")["CAM"]
    assert_same_records(records, run_lively(None, ("CAM",))[2]["CAM"])


def test_corrupt_files_are_recorded_with_a_reason_wherever_they_lie(tmp_path):
    net = lively_net()
    write_pictures(tmp_path, [f"jay/{index:02}.png" for index in range(12)])
    (tmp_path / "jay" / "00.png").write_bytes(b"no picture")
    (tmp_path / "jay" / "05.png").write_bytes((tmp_path / "jay" / "05.png").read_bytes()[:45])
    (tmp_path / "jay" / "11.png").write_bytes(b"")
    records = evaluate(correctors_of(net), tmp_path, loaded(net), options=parts_of(4))
    for table in records.values():
        failed = failures(table)
        assert failed.keys() == {0, 5, 11} and all(failed.values())
        assert table["label"].tolist() == [0] * 12
        assert table["classes_after"].notna().sum() == 9


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_images_read_by_other_processes_give_the_same_records(tmp_path):
    net = lively_net()
    write_pictures(tmp_path, [f"jay/{index:02}.png" for index in range(12)])
    (tmp_path / "jay" / "05.png").write_bytes(b"")
    here, there = (
        evaluate(correctors_of(net), tmp_path, loaded(net), options=parts_of(5), num_workers=count)["CAM"]
        for count in (0, 2)
    )
    assert_same_records(here, there)


def test_all_images_may_fail(tmp_path):
    net = lively_net()
    for index in range(10):
        (tmp_path / f"{index}.png").write_bytes(b"no picture")
    records = evaluate(correctors_of(net), tmp_path, loaded(net), options=parts_of(4))["CAM"]
    assert len(failures(records)) == 10 and records["classes_before"].isna().all()


def test_a_transform_that_fails_on_the_first_image_fails_on_that_one_only(tmp_path):
    def transform(image):
        if image.getpixel((0, 0))[0] == 0:
            raise ZeroDivisionError("too dark")
        return TRANSFORM(image)

    write_pictures(tmp_path, [f"{index:02}.png" for index in range(6)])
    net = lively_net()
    assert failures(evaluate(correctors_of(net), tmp_path, loaded(net, transform))["CAM"]) == {
        0: "the transform failed: ZeroDivisionError: too dark"
    }


def test_images_without_labels_have_no_ranks(tmp_path):
    net = lively_net()
    inputs = lively_inputs(10)
    records = evaluate(correctors_of(net), [(image, None) for image in inputs], net)["CAM"]
    assert (
        records["label"].isna().all()
        and records["label_rank_after"].isna().all()
        and records["brier_after"].isna().all()
    )
    assert records["classes_after"].notna().all() and failures(records) == {}


def test_a_control_that_needs_labels_fails_where_there_are_none():
    net = lively_net()
    data = [(image, index if index % 2 else None) for index, image in enumerate(lively_inputs(6))]
    oracle = ProbabilityCorrector(net, "control:oracle_class", "act", top_k=3, of="CAM")
    failed = failures(evaluate(oracle, data, net, options=parts_of(6))["control:oracle_class"])
    assert failed.keys() == {0, 2, 4} and all("labels must be given" in reason for reason in failed.values())


def test_sizes_may_differ_where_each_image_is_a_part_of_its_own():
    net = lively_net()
    data = [torch.randn(3, 16 + index, 20) for index in range(4)]
    records = evaluate(correctors_of(net)["CAM"], data, net, options=parts_of(1))["CAM"]
    assert failures(records) == {}
    assert len(failures(evaluate(correctors_of(net)["CAM"], data, net, options=parts_of(4))["CAM"])) == 3


# --- one's own --------------------------------------------------------------------------------------------------------


class Bystander:
    """Has `correct` and nothing else: says what the model says."""

    def __init__(self, net):
        self.net = net
        self.asked = []

    def correct(self, images, labels=None, ids=None):
        self.asked.append((len(images), None if labels is None else labels.tolist(), list(ids)))
        with torch.no_grad():
            probs = self.net(images).softmax(-1)
        top = probs.topk(5).values
        nothing, none = torch.zeros(len(images), 0), torch.zeros(len(images), dtype=torch.bool)
        return CorrectionResult(
            probs=probs,
            candidates=probs.topk(2).indices,
            correction=torch.zeros_like(probs),
            corrected_probs=probs,
            gap=top[:, 0] - top[:, 4],
            corrected=none,
            changed=none,
            flat=nothing.bool(),
            weights=nothing,
            forwards=torch.ones(len(images), dtype=torch.int64),
            saved=torch.zeros(len(images), dtype=torch.int64),
            seconds=torch.zeros(len(images)),
        )


def test_anything_with_correct_can_be_evaluated(tmp_path):
    net = lively_net()
    own = Bystander(net)
    data = lively_data(net)
    records = evaluate(own, data, net, tmp_path / "run", options=parts_of(7, thumbnails=5, keep_maps=True))["Bystander"]
    assert [count for count, _, _ in own.asked] == [7] * 5 + [5]
    assert [name for _, _, ids in own.asked for name in ids] == [str(index) for index in range(COUNT)]
    assert [label for _, labels, _ in own.asked for label in labels] == [label for _, label in data]
    assert (records["forwards"] == 1).all() and records["view_probs"].isna().all() and not records["changed"].any()
    assert [row.tolist() for row in records["classes_before"]] == [row.tolist() for row in records["classes_after"]]
    folder = RunFolder.open(tmp_path / "run")
    assert len(folder.maps("Bystander")) == len(folder.thumbnails("Bystander")) == 0
    with pytest.raises(RunError, match=r"'Bystander' .* is no recipe"):
        folder.recipe("Bystander")


def test_one_of_ones_own_that_gives_something_else_is_refused():
    net = lively_net()

    class Wrong(Bystander):
        def correct(self, images, labels=None, ids=None):
            return super().correct(images, labels, ids).probs

    class Short(Bystander):
        def correct(self, images, labels=None, ids=None):
            return super().correct(images[:-1], labels, ids)

    with pytest.raises(ArgumentTypeError, match="correct must give a CorrectionResult, got Tensor"):
        evaluate(Wrong(net), lively_data(net), net)
    with pytest.raises(ArgumentError, match=r"correct must give one row per image \(7\), got 6"):
        evaluate(Short(net), lively_data(net), net, options=parts_of(7))


def test_one_of_ones_own_may_have_settings_which_must_match(tmp_path):
    net = lively_net()
    own = Bystander(net)
    own.settings = {"method": "mine", "function": print, "strength": 2}
    data = lively_data(net)
    assert list(evaluate(own, data, net, tmp_path / "run")) == ["mine"]
    own.settings["strength"] = 3
    with pytest.raises(RunError, match=r"methods\.mine\.strength was 2 and is 3 now"):
        evaluate(own, data, net, tmp_path / "run")


# --- arguments --------------------------------------------------------------------------------------------------------


def test_wrong_arguments_are_refused_before_anything_is_corrected(tmp_path):
    net = lively_net()
    data = lively_data(net)
    correctors = correctors_of(net)
    counter = Counter(net)
    for arguments, error, message in (
        (({}, data, net), ArgumentError, "correctors must hold at least one"),
        (({"a:b": correctors["CAM"], "A.b": correctors["CAM"]}, data, net), ArgumentError, "names that differ"),
        (({"mine": 3}, data, net), ArgumentTypeError, "'mine' is int"),
        ((correctors, [], net), ArgumentError, "at least one item"),
        ((correctors, data, "demo"), ArgumentTypeError, "loaded must be a LoadedModel or a torch.nn.Module, got str"),
        ((correctors, data, lively_net()), ArgumentError, "'CAM' corrects another one"),
        ((correctors, [(picture(), 0)], net), ArgumentError, "dataset must give tensors"),
        ((correctors, [*data, (data[0][0], 6)], net), ArgumentError, "from 0 to 5; image 40 of 'list' has 6"),
        ((correctors, data, net, tmp_path, "no"), TypeError, "positional"),
    ):
        with pytest.raises(error, match=message):
            evaluate(*arguments)
    assert counter.inputs <= 9  # to count the classes
    for options in ({"images_per_part": 0}, {"distributions": "float8"}, {"thumbnails": -1}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            RecordOptions(**options)
    with pytest.raises(ArgumentError, match="num_workers"):
        evaluate(correctors, data, net, num_workers=-1)
    assert not list(tmp_path.iterdir())


def test_what_can_never_work_is_found_before_the_folder_is_made(tmp_path):
    net = lively_net()
    for corrector in (ProbabilityCorrector(net, "CAM", "act", top_k=7), ProbabilityCorrector(net, "CAM", "stem")):
        with pytest.raises(ArgumentError):
            evaluate(corrector, lively_data(net), net, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_read_without_asking_the_model(tmp_path):
    net, data, records = run_lively(tmp_path / "run")
    counter = Counter(net)
    again = evaluate(correctors_of(net), data, net, tmp_path / "run", options=parts_of(7))
    assert counter.inputs == 1 + 2  # counting the classes, and one probe for each method
    for method, table in again.items():
        pd.testing.assert_frame_equal(table, records[method])


def test_a_part_that_is_missing_is_made_again_and_nothing_else(tmp_path):
    net, data, records = run_lively(tmp_path / "run")
    files = sorted((tmp_path / "run").rglob("part-*"))
    times = {file: file.stat().st_mtime_ns for file in files}
    gone = tmp_path / "run" / "records" / "control.hflip" / "part-00002.parquet"
    gone.unlink()
    again = evaluate(correctors_of(net), data, net, tmp_path / "run", options=parts_of(7))
    assert_same_records(again["control:hflip"], records["control:hflip"])
    assert {file for file in files if file.stat().st_mtime_ns != times[file]} == {gone}


def test_shares_of_several_workers_make_one_run(tmp_path):
    net, data, expected = run_lively(None)
    seen = [
        evaluate(
            correctors_of(net),
            data,
            net,
            tmp_path / "run",
            options=parts_of(7),
            worker=Worker(rank, 3, source="option"),
        )
        for rank in (1, 0, 2)
    ]
    assert [len(records["CAM"]) for records in seen] == [14, 28, COUNT]
    for method, table in seen[-1].items():
        assert_same_records(table, expected[method])


def test_a_worker_without_parts_gets_what_is_there(tmp_path):
    net, data, _ = run_lively(None)
    arguments = correctors_of(net), data, net, tmp_path / "run"
    assert evaluate(*arguments, options=parts_of(COUNT), worker=Worker(1, 2)) == {}
    assert len(evaluate(*arguments, options=parts_of(COUNT), worker=Worker(0, 2))["CAM"]) == COUNT


def test_progress_counts_images_of_the_own_share(tmp_path):
    net, data, _ = run_lively(None)
    evaluation = Evaluation(correctors_of(net), as_image_dataset(data), loaded(net), parts_of(7), Worker(1, 2))
    evaluation.probe()
    folder = evaluation.open(tmp_path / "run")
    assert evaluation.progress(folder) == (0, 2 * (7 + 7 + 5))
    counted = []

    class Bar:
        def update(self, n):
            counted.append(n)

    evaluation.run(folder, Bar())
    assert sum(counted) == 38 and evaluation.progress(folder) == (38, 38) and evaluation.missing(folder) == []


def test_the_model_is_left_as_it_was(tmp_path):
    net = lively_net().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run = evaluate(correctors_of(net), lively_data(net), net, options=parts_of(7, keep_maps=True, thumbnails=9))
    assert net.training and all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules()) and len(run) == 2
