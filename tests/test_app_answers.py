"""What the live page answers: the corrector's own results, messages without tracebacks, an end when it is stopped."""

import base64
import io
import re
import threading

import pytest
import torch
from live_page import SLOW_MODEL, form, model_of
from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, load_model
from maskcorrect_plugin.app import answering, corrections, markup
from maskcorrect_plugin.app.answering import Desk
from maskcorrect_plugin.app.choices import SCENES, write_scenes
from maskcorrect_plugin.app.corrections import correct_photo
from maskcorrect_plugin.app.form import read_form
from maskcorrect_plugin.app.job import note
from maskcorrect_plugin.app.shelf import ModelShelf
from maskcorrect_plugin.app.watch import Watch
from maskcorrect_plugin.commands.terminal import warnings_to
from maskcorrect_plugin.demo.scenes import make_scene
from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.images import read_image

MODELS = (
    SLOW_MODEL
    + """

def flat():
    body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=32), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 3))
    return body, None, ["<b>bold</b>", "a & b", "${1 + 1} {{ 2 }}"]


def probabilities():
    return nn.Sequential(Slow(), nn.Softmax(dim=1)), None, ["a", "b", "c", "d"]
"""
)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with photos and a module of models, as a user would have."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "page_models.py").write_text(MODELS)
    write_scenes(folder)
    return folder


@pytest.fixture(autouse=True)
def at_work(workplace, monkeypatch):
    monkeypatch.chdir(workplace)


@pytest.fixture
def photo(workplace):
    path = workplace / f"scene-{SCENES[0]}.png"
    return {"path": str(path), "orig_name": "my moth.png"}


def said(photo, desk=None, **changes):
    """Everything that the page says, step by step."""
    return list((desk or Desk(ModelShelf())).answer("browser", photo, form(**changes)))


def test_the_page_shows_what_the_corrector_itself_gives(photo):
    request = read_form(form(second="ScoreCAM", threshold=0.3, views="crop", top_k=3, true_class="barred moth"))
    watch = Watch()
    outcome = correct_photo(photo["path"], request, ModelShelf(), watch)
    loaded = load_model("demo")
    inputs = loaded.transform(read_image(photo["path"])).unsqueeze(0)
    assert outcome.label == loaded.class_names.index("barred moth")
    for shown, method in zip(outcome.corrections, ("CAM", "ScoreCAM"), strict=True):
        expected = ProbabilityCorrector(loaded.model, method, top_k=3, threshold=0.3, view="crop").correct(inputs)
        assert shown.name == f"paper by {method}"
        assert torch.equal(shown.result.candidates, expected.candidates)
        torch.testing.assert_close(shown.result.corrected_probs, expected.corrected_probs)
        assert torch.equal(shown.result.forwards, expected.forwards)
        assert Image.open(io.BytesIO(shown.figure)).format == "PNG"
        assert 0 < shown.seconds < watch.seconds


def test_a_zoom_is_cut_from_the_photo_itself(photo):
    request = read_form(form(recipe="zoom", second="unguided"))
    outcome = correct_photo(photo["path"], request, ModelShelf(), Watch())
    loaded = load_model("demo")
    image = read_image(photo["path"])
    for shown, choice in zip(outcome.corrections, request.choices, strict=True):
        corrector = ProbabilityCorrector(loaded.model, recipe=choice.recipe, preprocessing=loaded.preprocessing)
        expected = corrector.correct([image])
        torch.testing.assert_close(shown.result.corrected_probs, expected.corrected_probs)
        assert Image.open(io.BytesIO(shown.figure)).format == "PNG"


def test_the_scenes_are_what_they_are_said_to_be(workplace):
    paths = [path for path, _ in write_scenes(workplace)]
    loaded = load_model("demo")
    inputs = torch.stack([loaded.transform(read_image(path)) for path in paths])
    labels = torch.tensor([make_scene("test", index).label for index in SCENES])
    result = ProbabilityCorrector(loaded.model).correct(inputs)
    before, after = result.prediction == labels, result.corrected_prediction == labels
    assert before.tolist() == [False, False, True, True, True, False]
    assert after.tolist() == [True, True, False, False, True, False]


def test_a_photo_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(corrections, "MAX_PIXELS", 199)
    file = tmp_path / "large.png"
    Image.new("RGB", (20, 10)).save(file)
    with pytest.raises(ImageError, match=r"large\.png: 20 x 10 pixels, 200 in all; at most 199 are read here"):
        correct_photo(file, read_form(form()), ModelShelf(), Watch())
    assert read_image(file, max_pixels=200).size == (20, 10)
    file.write_bytes(file.read_bytes()[:45])  # no pixels any more: the size alone was looked at
    with pytest.raises(ImageError, match="at most 199"):
        read_image(file, max_pixels=199)


def test_a_result_has_the_answer_its_cost_the_figure_and_the_probabilities(photo):
    text = said(photo, second="ScoreCAM", true_class="barred moth")[-1]
    plain = re.sub(r"\s+", " ", re.sub(r"<[^>]+>|data:image[^\"]+", " ", text))
    assert "demo, 16 classes, on cpu" in plain
    assert "paper by ScoreCAM : answer changed, mooned moth → barred moth 70 forwards" in plain
    assert re.search(r"paper by CAM : answer changed, .* 6 forwards, \d+\.\d\d s", plain)
    assert re.search(r"barred moth true class 0\.322 0\.\d{3} 0\.603", plain)
    pictures = [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]
    assert [Image.open(io.BytesIO(data)).format for data in pictures] == ["PNG", "PNG"]
    assert len(re.findall(r'<img alt="[^"]{40,}"', text)) == 2


def test_the_answer_of_each_column_is_the_one_in_bold(photo):
    text = said(photo, method="ScoreCAM")[-1]
    rows = re.findall(r'<th scope="row">([\w ]+).*?</th>(.*?)</tr>', text, flags=re.DOTALL)
    bold = {name.strip(): [bool(cell) for cell in re.findall(r"<td( class=\"mc-top\")?>", row)] for name, row in rows}
    assert {name: cells for name, cells in bold.items() if any(cells)} == {
        "mooned moth": [True, False],
        "barred moth": [False, True],
    }


def test_names_from_outside_are_text_and_never_markup(workplace, photo):
    nasty = {"path": photo["path"], "orig_name": "<img src=x onerror=alert(1)>.png"}
    text = said(nasty, model="page_models:flat", method="ScoreCAM", top_k=3)[-1]
    assert "mc-result" in text and "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text and "a &amp; b" in text
    (workplace / "text.png").write_text("no image")
    text = said({**nasty, "path": str(workplace / "text.png")})[-1]
    assert "&lt;img src=x onerror=alert(1)&gt;.png: not an image" in text and "<img" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_k": 17}, "Candidates K must be from 1 to 16, got 17"),
        ({"model": "torchvision:resnet5"}, "torchvision has no classification network &#x27;resnet5&#x27;"),
        ({"model": "resnet50"}, "Model must be one of"),
        ({"model": "no_such_module:net"}, "there is no module &#x27;no_such_module&#x27;"),
        ({"weights": "nowhere.pt"}, "there is no weights file nowhere.pt"),
        ({"classes": "nowhere.txt"}, "nowhere.txt"),
        ({"target_layer": "nothing"}, "target_layer &#x27;nothing&#x27; is not a module of DemoNet"),
        ({"model": "page_models:flat", "top_k": 3}, "CAM"),
        ({"true_class": "penguin"}, "True class must be one of the model"),
    ],
)
def test_what_is_wrong_is_one_message(photo, changes, message):
    steps = said(photo, **changes)
    assert message in steps[-1] and "mc-notice" in steps[-1]
    assert "Traceback" not in steps[-1] and "unexpected" not in steps[-1]
    assert all("mc-progress" in step for step in steps[:-1])


def test_a_missing_library_is_one_message_with_the_command_that_installs_it(photo, monkeypatch):
    monkeypatch.setattr("maskcorrect_plugin.registry.is_installed", lambda backend: backend.name != "torchcam")
    assert "pip install &quot;maskcorrect-plugin[torchcam]&quot;" in said(photo, method="torchcam:LayerCAM")[-1]


def test_without_a_photo_the_page_asks_for_one():
    for nothing in (None, {}, {"path": None}):
        assert "there is no photo yet" in said(nothing)[-1]


def test_a_photo_that_cannot_be_read_is_called_by_its_own_name(workplace):
    (workplace / "upload").write_bytes(b"")
    text = said({"path": str(workplace / "upload"), "orig_name": "holiday.jpg"})[-1]
    assert "This photo cannot be used" in text and "holiday.jpg: the file is empty" in text
    assert str(workplace) not in text


def test_what_nobody_expected_is_a_message_too_and_goes_to_the_log(photo, caplog):
    desk = Desk(ModelShelf())
    said(photo, desk, model="page_models:slow", method="CAM", top_k=1)
    with desk.shelf.borrow(model_of(model="page_models:slow")) as loaded:
        loaded.model.forward = lambda inputs: {}["nothing"]
    text = said(photo, desk, model="page_models:slow", method="CAM", top_k=1)[-1]
    assert "Something unexpected went wrong" in text and "KeyError" in text and "Traceback" not in text
    assert "Traceback" in caplog.text
    assert "mc-result" in said(photo, desk)[-1]  # the page stays usable


@pytest.mark.filterwarnings("always")
def test_a_model_that_returns_probabilities_is_noted_on_the_page(photo):
    with warnings_to(lambda text: note(text, lambda other: None)):
        text = said(photo, model="page_models:probabilities", method="captum:LayerGradCam", top_k=2)[-1]
    assert "mc-result" in text and '<p class="mc-note">' in text and "probabilities" in text


def test_progress_says_how_far_the_work_is():
    watch = Watch()
    watch.begin("Correcting by <CAM>")
    watch.forwards = 1234
    assert "Correcting by &lt;CAM&gt;, 1234 forwards, 0 s" in markup.progress(watch)


SLOW = {"model": "page_models:slow", "method": "ScoreCAM", "top_k": 1}


def slow_steps(desk, photo):
    """The answer to a request that takes long, begun."""
    steps = desk.answer("browser", photo, form(**SLOW))
    for step in steps:
        assert "mc-progress" in step
        if "Correcting" in step:
            return steps
    raise AssertionError("it ended before it could be stopped")


@pytest.fixture
def slow_desk(monkeypatch):
    monkeypatch.setattr(answering, "TICK", 0.02)
    desk = Desk(ModelShelf())
    yield desk
    desk.close()


def running():
    return [thread for thread in threading.enumerate() if thread.name == "maskcorrect-job"]


def test_stop_ends_the_work_of_that_browser_and_says_so(slow_desk, photo):
    steps = slow_steps(slow_desk, photo)
    slow_desk.stop("another browser")
    assert "mc-progress" in next(steps)
    slow_desk.stop("browser")
    assert "Stopped" in list(steps)[-1]
    slow_desk.stop("browser")  # nothing to stop


def test_closing_the_answer_as_a_closed_page_does_ends_the_work(slow_desk, photo):
    steps = slow_steps(slow_desk, photo)
    jobs = running()
    steps.close()
    for thread in jobs:
        thread.join(10)
    assert jobs and not any(thread.is_alive() for thread in jobs)
    with slow_desk.shelf.borrow(model_of(model=SLOW["model"])) as loaded:
        assert not loaded.model._forward_pre_hooks


def test_the_next_request_of_a_browser_stops_the_one_before(slow_desk, photo):
    steps = slow_steps(slow_desk, photo)
    assert "mc-result" in said(photo, slow_desk)[-1]
    assert "Stopped" in list(steps)[-1]


def test_closing_the_desk_leaves_no_work_behind(slow_desk, photo):
    steps = slow_steps(slow_desk, photo)
    assert running()
    slow_desk.close()
    assert not running()
    steps.close()
    other = slow_steps(slow_desk, photo)
    other.close()  # the page is gone, the thread may not be yet
    slow_desk.close()
    assert not running()
