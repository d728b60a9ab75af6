"""Groups of images, in order, by any number of workers: what cannot be used is a failure, what kills is an error."""

import gc
import multiprocessing
import os
import pickle
import signal
import time

import numpy as np
import pytest
import torch
from pictures import picture, write_pictures
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision.transforms import v2

from maskcorrect_plugin import Preprocessing, load_dataset
from maskcorrect_plugin.datasets import ImageDataset, ImageRecord, as_image_dataset, iterate_groups, worker_deaths
from maskcorrect_plugin.errors import ArgumentError, LoadingError
from maskcorrect_plugin.images import load_batch
from maskcorrect_plugin.models.preprocessing import ResizeCrop

TO_TENSOR = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])

# From Python 3.12 on, forking a process with threads is warned about; torch's workers are forked.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

WORKERS = [0, 2]


@pytest.fixture
def folder(tmp_path):
    """Twelve images of shades 0 to 11 in sorted order, with five bad ones among them."""
    write_pictures(tmp_path, [f"{index:02}.png" for index in range(12)])
    (tmp_path / "02.png").write_bytes(b"text")
    (tmp_path / "05.png").write_bytes((tmp_path / "05.png").read_bytes()[:45])
    picture(7, (9, 9)).save(tmp_path / "07.png")
    picture(250).save(tmp_path / "08.png")  # the transform below refuses it
    (tmp_path / "10.png").unlink()
    (tmp_path / "10.png").symlink_to("gone.png")
    return tmp_path


def refusing(image):
    if image.getpixel((0, 0))[0] == 250:
        raise ZeroDivisionError("too bright")
    return TO_TENSOR(image)


GROUPS = [(0, 1, 2, 3), (11,), (4, 7, 6, 5), (), (10, 2), (9, 8, 9)]


@pytest.mark.parametrize("num_workers", WORKERS)
def test_bad_images_are_failures_with_a_reason_and_the_others_go_on(folder, num_workers):
    loaded = list(iterate_groups(load_dataset(folder), refusing, GROUPS, num_workers))
    assert [group.indices for group in loaded] == GROUPS
    assert [group.kept for group in loaded] == [[0, 1, 3], [0], [0, 2], [], [], [0, 2]]
    for group in loaded:
        shades = [round(float(row[0, 0, 0]) * 255) for row in group.inputs]
        assert shades == [group.indices[position] for position in group.kept]
        assert group.inputs.shape[1:] == ((3, 4, 6) if group.kept else (3, 0, 0))
    reasons = {group.indices[position]: reason for group in loaded for position, reason in group.failures.items()}
    assert reasons[2].startswith("not an image in a format that is read here")
    assert reasons[10] == "no such file"
    assert reasons[8] == "the transform failed: ZeroDivisionError: too bright"
    assert reasons[7] == "the transform gave (3, 9, 9) torch.float32, others (3, 4, 6) torch.float32"
    assert sorted(reasons) == [2, 5, 7, 8, 10]
    assert all(sorted([*group.kept, *group.failures]) == list(range(len(group.indices))) for group in loaded)


def test_the_reasons_are_those_of_load_batch(folder):
    dataset = load_dataset(folder)
    [group] = iterate_groups(dataset, refusing, [range(12)])
    batch = load_batch([dataset.path(index) for index in range(12)], refusing)
    assert torch.equal(group.inputs, batch.inputs)
    assert (group.kept, [dataset.path(index) for index in group.failures]) == (
        batch.kept,
        [f for f, _ in batch.failures],
    )
    assert list(group.failures.values()) == [reason for _, reason in batch.failures]


@pytest.mark.parametrize("num_workers", WORKERS)
def test_tensors_of_a_wrapped_data_set_pass_as_they_stand(num_workers):
    inputs = torch.randn(5, 3, 4, 4)
    inputs[3] = float("nan")
    dataset = as_image_dataset(TensorDataset(inputs, torch.arange(5)))
    [group] = iterate_groups(dataset, pytest.fail, [(4, 3, 0)], num_workers)
    assert torch.equal(group.inputs, inputs[[4, 0]])
    assert group.failures == {1: "the transform gave NaN or infinite values"}


@pytest.mark.parametrize("num_workers", WORKERS)
def test_the_random_state_of_the_caller_is_left_alone(folder, num_workers):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(iterate_groups(load_dataset(folder), TO_TENSOR, [(0, 1)], num_workers))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


@pytest.mark.parametrize("groups", [[(0, 12)], [(-1,)]])
def test_positions_outside_the_data_are_refused_at_once(folder, groups):
    with pytest.raises(ArgumentError, match="groups must be from 0 to 11"):
        iterate_groups(load_dataset(folder), TO_TENSOR, groups)
    with pytest.raises(ArgumentError, match="num_workers must be at least 0, got -1"):
        iterate_groups(load_dataset(folder), TO_TENSOR, [(0,)], -1)


# --- pictures ---------------------------------------------------------------------------------------------------------

PREPROCESSING = ResizeCrop(16, 20).prepare()


@pytest.fixture
def photos(tmp_path):
    """Seven files of different sizes and noise, the third damaged; the last one is reduced when it is read."""
    sizes = [(30, 20), (20, 30), (9, 9), (1, 1), (64, 65), (33, 17), (300, 200)]
    for index, (width, height) in enumerate(sizes):
        values = np.random.default_rng(index).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{index}.png")
    (tmp_path / "2.png").write_bytes(b"text")
    return tmp_path


def same(first, second):
    return (
        torch.equal(first.inputs, second.inputs)
        and torch.equal(first.pixels, second.pixels)
        and (first.box, first.size) == (second.box, second.size)
    )


@pytest.mark.parametrize("num_workers", WORKERS)
def test_pictures_of_any_size_are_loaded_with_their_inputs(photos, num_workers):
    dataset = load_dataset(photos)
    groups = [(0, 1, 2, 3), (), (2,), (6, 5, 4, 6)]
    loaded = list(iterate_groups(dataset, PREPROCESSING, groups, num_workers, pictures=True))
    plain = list(iterate_groups(dataset, PREPROCESSING, groups, num_workers))
    assert [group.kept for group in loaded] == [[0, 1, 3], [], [], [0, 1, 2, 3]]
    assert all(group.pictures is None for group in plain)
    for group, tensors in zip(loaded, plain, strict=True):
        assert torch.equal(group.inputs, tensors.inputs) and group.failures == tensors.failures
        assert len(group.pictures) == len(group.inputs)
        for row, position, each in zip(group.inputs, group.kept, group.pictures, strict=True):
            assert same(each, dataset.load(group.indices[position], PREPROCESSING.picture))
            assert each.inputs.data_ptr() == row.data_ptr()  # in memory once
    assert loaded[0].pictures[0].pixels.tolist() == v2.functional.pil_to_tensor(dataset.image(0)).tolist()
    assert loaded[3].pictures[0].pixels.shape == (3, 64, 96)


def test_pictures_of_a_group_are_sent_as_one_piece(photos):
    [group] = iterate_groups(load_dataset(photos), PREPROCESSING, [(0, 1, 4, 6)], 2, pictures=True)
    assert len({picture.pixels.untyped_storage().data_ptr() for picture in group.pictures}) == 1


@pytest.mark.parametrize("num_workers", WORKERS)
def test_tensors_have_no_pictures_and_say_so(num_workers):
    items = [(torch.zeros(3, 16, 16), 0), (Image.new("RGB", (40, 30)), 1)]
    [group] = iterate_groups(as_image_dataset(items), PREPROCESSING, [(0, 1)], num_workers, pictures=True)
    assert group.kept == [1] and group.pictures[0].size == (30, 40)
    assert group.failures == {0: "a tensor has no picture behind it, and the original pictures are needed"}


def test_pictures_need_a_preprocessing(photos):
    with pytest.raises(TypeError, match="transform must be a Preprocessing where pictures are asked for, got Compose"):
        iterate_groups(load_dataset(photos), TO_TENSOR, [(0,)], pictures=True)


def test_a_picture_whose_place_is_not_found_is_a_failure(photos):
    padding = Preprocessing.of(v2.Compose([v2.Resize(16), v2.Pad(2), v2.CenterCrop(18), TO_TENSOR]))
    [group] = iterate_groups(load_dataset(photos), padding, [(0,)], pictures=True)
    assert "the transform pads: some of what it gives" in group.failures[0]
    assert group.pictures == []


def test_load_batch_gives_pictures_in_the_order_of_its_rows(photos):
    files = [photos / f"{index}.png" for index in (2, 0, 6)]
    batch = load_batch(files, PREPROCESSING.picture, pictures=True)
    assert batch.kept == [1, 2] and [file.name for file, _ in batch.failures] == ["2.png"]
    for row, each, file in zip(batch.inputs, batch.pictures, files[1:], strict=True):
        assert same(each, PREPROCESSING.picture(Image.open(file))) and torch.equal(row, each.inputs)


@pytest.mark.slow
def test_workers_that_are_started_afresh_load_the_same_pictures(photos, spawning):
    arguments = load_dataset(photos), PREPROCESSING, [(0, 1), (6,)]
    for fresh, own in zip(
        iterate_groups(*arguments, 1, pictures=True), iterate_groups(*arguments, pictures=True), strict=True
    ):
        assert all(same(a, b) for a, b in zip(fresh.pictures, own.pictures, strict=True))


# --- workers ----------------------------------------------------------------------------------------------------------


def gone_within(seconds, children):
    deadline = time.monotonic() + seconds
    while any(child.is_alive() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(child.is_alive() for child in children)


@pytest.mark.parametrize("how", ["exhausted", "closed", "thrown away", "raised"])
def test_workers_stop_however_the_loading_ends(folder, how):
    before = set(multiprocessing.active_children())
    loading = iterate_groups(load_dataset(folder), TO_TENSOR, [(index,) for index in range(12)], 2)
    next(loading)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    if how == "exhausted":
        assert len(list(loading)) == 11
    elif how == "closed":
        loading.close()
    elif how == "raised":
        with pytest.raises(KeyboardInterrupt):
            loading.throw(KeyboardInterrupt())
    del loading
    gc.collect()
    assert gone_within(10, workers)


class Deadly(ImageDataset):
    """Kills the process that reads a certain image, as the system does when memory runs out."""

    kind = "deadly"
    source = "deadly"

    def __init__(self, deadly, parent):
        self.deadly, self.parent = deadly, parent

    def __len__(self):
        return 20

    def record(self, index):
        return ImageRecord(str(index), 0)

    def image(self, index):
        if index == self.deadly and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return picture(index)


def test_a_killed_worker_is_an_error_and_no_hang():
    loading = iterate_groups(Deadly(6, os.getpid()), TO_TENSOR, [(index,) for index in range(20)], 2)
    started = time.monotonic()
    with pytest.raises(LoadingError, match=r"a process that loads images died: .*fewer workers") as caught:
        list(loading)
    assert isinstance(caught.value, RuntimeError)
    assert time.monotonic() - started < 30


def test_the_death_of_a_worker_while_the_caller_works_is_the_same_error():
    loading = iterate_groups(Deadly(None, os.getpid()), TO_TENSOR, [(index,) for index in range(20)], 1)
    before = set(multiprocessing.active_children())
    next(loading)
    [worker] = set(multiprocessing.active_children()) - before
    with pytest.raises(LoadingError, match=r"died: DataLoader worker \(pid \d+\) is killed"), worker_deaths():
        os.kill(worker.pid, signal.SIGKILL)
        for _ in range(1000):
            time.sleep(0.01)
    loading.close()


def test_other_errors_pass_untouched():
    with pytest.raises(RuntimeError, match="out of memory") as caught, worker_deaths():
        raise RuntimeError("CUDA out of memory")
    assert not isinstance(caught.value, LoadingError)


@pytest.fixture
def spawning():
    """Workers are started afresh, as on macOS and Windows, and get a pickle of what they need."""
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(None, force=True)


@pytest.mark.filterwarnings("ignore:Got pickle error:UserWarning")
def test_what_cannot_be_sent_to_workers_is_told(folder, spawning):
    with pytest.raises(ArgumentError, match="num_workers must be 0 for a data set or a transform that cannot be pick"):
        next(iterate_groups(load_dataset(folder), lambda image: TO_TENSOR(image), [(0,)], 1))


@pytest.mark.slow
def test_workers_that_are_started_afresh_load_the_same(folder, spawning):
    fresh = list(iterate_groups(load_dataset(folder), TO_TENSOR, [(0, 2), (3,)], 1))
    own = list(iterate_groups(load_dataset(folder), TO_TENSOR, [(0, 2), (3,)]))
    assert all(torch.equal(a.inputs, b.inputs) and a.failures == b.failures for a, b in zip(fresh, own, strict=True))


@pytest.mark.parametrize("kind", ["folder", "manifest", "demo", "python", "hf"])
def test_every_kind_can_be_sent_to_workers(tmp_path, kind):
    write_pictures(tmp_path / "images", ["a.png", "b.png"])
    (tmp_path / "list.csv").write_text("path,label\nimages/a.png,0\nimages/b.png,1\n")
    if kind == "hf":
        library = pytest.importorskip("datasets")
        rows = {"image": [picture(0), picture(1)]}
        library.Dataset.from_dict(rows, library.Features({"image": library.Image()})).save_to_disk(str(tmp_path / "hf"))
    data = {
        "folder": tmp_path / "images",
        "manifest": tmp_path / "list.csv",
        "demo": "demo:2",
        "python": [(Image.new("RGB", (4, 4)), 1), (Image.new("RGB", (4, 4)), 0)],
        "hf": f"hf:{tmp_path / 'hf'}",
    }[kind]
    dataset = as_image_dataset(data)
    copied = pickle.loads(pickle.dumps(dataset))
    assert dataset.kind == copied.kind == kind
    assert copied.describe() == dataset.describe()
    assert (np.asarray(copied.image(1)) == np.asarray(dataset.image(1))).all()
