"""Models on the shelf of the live page, and the work that borrows them: loaded once, one at a time, stopped at once."""

import logging
import time
import warnings

import pytest
import torch
from live_page import model_of
from torch import nn

from maskcorrect_plugin import load_model
from maskcorrect_plugin.app import shelf
from maskcorrect_plugin.app.job import Job, note
from maskcorrect_plugin.app.shelf import ModelShelf
from maskcorrect_plugin.app.watch import Stopped, Watch
from maskcorrect_plugin.commands.terminal import warnings_to
from maskcorrect_plugin.errors import ArgumentError


def test_a_model_is_loaded_once_and_the_one_not_used_for_longest_goes(monkeypatch):
    loads = []
    real = shelf.load_model
    monkeypatch.setattr(
        shelf, "load_model", lambda spec, weights, **more: loads.append(weights) or real(spec, weights, **more)
    )
    kept = ModelShelf(capacity=2)

    def use(weights):
        with kept.borrow(model_of(weights=weights)) as loaded:
            return loaded

    first = use("DEFAULT")
    assert use("DEFAULT") is first and loads == ["DEFAULT"]
    use("none"), use("DEFAULT")  # DEFAULT was used last
    use("None")  # a third one: none has to go
    assert use("DEFAULT") is first
    use("none")
    assert loads == ["DEFAULT", "none", "None", "none"]


def test_a_weights_file_that_has_changed_is_read_again(tmp_path):
    file = tmp_path / "weights.pt"
    models = [load_model("demo", None).model for _ in range(2)]
    kept = ModelShelf()
    for model in models:
        torch.save(model.state_dict(), file)
        with kept.borrow(model_of(weights=str(file))) as loaded:
            assert all(map(torch.equal, loaded.model.state_dict().values(), model.state_dict().values()))
        file.write_bytes(file.read_bytes() + b"\0")  # so that it differs, however coarse the clock of the disk


def test_loading_that_failed_is_tried_again(tmp_path):
    file, kept = tmp_path / "late.pt", ModelShelf()
    with pytest.raises(ArgumentError, match=r"no weights file .*late\.pt"), kept.borrow(model_of(weights=str(file))):
        pass
    torch.save(load_model("demo").model.state_dict(), file)
    with kept.borrow(model_of(weights=str(file))) as loaded:
        assert loaded.num_classes == 16


def test_a_shelf_with_one_model_refuses_all_others():
    kept = ModelShelf(model_of())
    with kept.borrow(model_of()) as loaded:
        assert loaded.spec == "demo"
    for changes in ({"model": "torchvision:vgg16"}, {"weights": "none"}, {"classes": "names.txt"}):
        with pytest.raises(ArgumentError, match="model must be 'demo' as this page was started with it"):
            kept.borrow(model_of(**changes)).__enter__()


def test_a_model_is_lent_to_one_at_a_time_and_waiting_can_be_given_up():
    kept, at_work = ModelShelf(), []

    def work(watch):
        with kept.borrow(model_of(), watch.begin):
            at_work.append(len(at_work))
            while not watch.stopped:
                time.sleep(0.01)

    first, second, third = (Job(work) for _ in range(3))
    deadline = time.monotonic() + 30
    while sum(job.watch.stage == "Waiting for the model" for job in (first, second, third)) < 2 or not at_work:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(at_work) == 1
    waiting = [job for job in (first, second, third) if job.watch.stage == "Waiting for the model"]
    waiting[0].stop()
    with pytest.raises(Stopped):
        waiting[0].result()
    for job in (first, second, third):
        job.stop()
        assert job.wait(10)


def test_a_watch_counts_inputs_and_stops_between_two_forwards():
    net, watch = nn.Linear(2, 2), Watch()
    with watch.on(net):
        net(torch.zeros(3, 2))
        net(torch.zeros(4, 2))
        assert watch.forwards == 7
        watch.stop()
        with pytest.raises(Stopped):
            net(torch.zeros(1, 2))
    net(torch.zeros(1, 2))
    assert watch.forwards == 7 and not net._forward_pre_hooks


def test_a_job_gives_what_its_work_gives_and_raises_what_it_raises():
    assert Job(lambda watch: 3).result() == 3
    with pytest.raises(ZeroDivisionError):
        Job(lambda watch: 1 / 0).result()


@pytest.mark.filterwarnings("always")
def test_warnings_of_a_job_become_its_notes_and_others_go_elsewhere():
    elsewhere = []

    def work(watch):
        warnings.warn("of the job", stacklevel=1)
        logging.getLogger("maskcorrect_plugin").warning("logged by the job")
        logging.getLogger("maskcorrect_plugin").warning("logged by the job")

    with warnings_to(lambda text: note(text, elsewhere.append)):
        job = Job(work)
        job.result()
        logging.getLogger("maskcorrect_plugin").warning("of somebody else")
    assert job.notes == ["of the job", "logged by the job"]
    assert elsewhere == ["of somebody else"]
