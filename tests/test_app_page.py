"""The live page as its user meets it: started by its command, in a real browser."""

import io
import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from browser import open_browser, require_browser
from conftest import ROOT
from live_page import SLOW_MODEL
from PIL import Image

pytestmark = pytest.mark.browser

PATIENCE = 120
"""Seconds: a busy machine takes long to start Python, torch, gradio and a browser."""
WATCHER = """
import os, sys

def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = args[1][0] if event == "socket.connect" and isinstance(args[1], tuple) else args[0]
        if isinstance(host, str) and host not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["MASKCORRECT_CALLS"], "a") as file:
                file.write(f"{event} {host}\\n")

sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page is started: with photos, a file that is none, and a slow model."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "page_models.py").write_text(SLOW_MODEL)
    (folder / "watcher").mkdir()
    (folder / "watcher" / "sitecustomize.py").write_text(WATCHER)
    (folder / "temporary").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo <b>&.png")
    (folder / "holiday.jpg").write_text("this is no photo\n" * 100)
    (folder / "large.jpg").write_bytes(b"\xff\xd8" + bytes(21 * 2**20))
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """The page, served by its command; when it ends, nothing is left of it and it has asked nobody for anything."""
    require_browser()
    pytest.importorskip("gradio", reason="gradio makes the page; it is in the extra app")
    path = os.pathsep.join(
        [str(folder / "watcher"), str(ROOT), str(ROOT / "adapters"), os.environ.get("PYTHONPATH", "")]
    )
    places = {"TMPDIR": str(folder / "temporary"), "MASKCORRECT_CALLS": str(folder / "calls.txt")}
    command = [sys.executable, "-m", "maskcorrect_plugin", "app", "--port", "0"]
    with (folder / "errors.txt").open("w") as errors:
        environment = {**os.environ, **places, "PYTHONPATH": path}
        served = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=environment
        )
    late = threading.Timer(PATIENCE, served.kill)
    late.start()
    line = served.stdout.readline()
    late.cancel()
    assert "http://127.0.0.1:" in line, (folder / "errors.txt").read_text()
    yield re.search(r"http://[\d.:]+", line)[0]
    served.send_signal(signal.SIGINT)
    rest, _ = served.communicate(timeout=PATIENCE)
    assert (served.returncode, rest, (folder / "errors.txt").read_text()) == (0, "", "")
    assert not [*(folder / "temporary").glob("maskcorrect-app-*")]
    assert not (folder / "calls.txt").exists(), (folder / "calls.txt").read_text()


class Page:
    """The page with names for what its user does."""

    def __init__(self, browser, address):
        self.browser, self.driver, self.address = browser, browser.driver, address
        self.open()

    def open(self):
        self.browser.open(self.address)
        self.browser.wait_for(lambda: "Correct" in self.browser.text("button.primary"), "the button", PATIENCE)
        self.browser.wait_for(lambda: len(self.scenes()) == 6, "the scenes", PATIENCE)

    def scenes(self):
        return self.driver.find_elements("css selector", ".mc-scenes button")

    def click(self, element):
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, name):
        self.click(self.driver.find_element("xpath", f"//button[normalize-space(.)='{name}']"))

    def unfold(self, name):
        self.click(self.driver.find_element("xpath", f"//button[contains(., '{name}')]"))

    def upload(self, file):
        for button in self.driver.find_elements("css selector", "button[aria-label='Remove Image']"):
            self.click(button)
        field = self.browser.wait_for(
            lambda: self.driver.find_elements("css selector", "input[type=file]"), "the field for a photo", PATIENCE
        )
        field[0].send_keys(str(file))

    def upload_and_correct(self, file):
        self.upload(file)
        self.browser.wait_for(
            lambda: self.driver.find_elements("css selector", "button[aria-label='Remove Image']"), "upload", PATIENCE
        )
        self.press("Correct")

    def field(self, label):
        typed = f"//label[.//span[normalize-space()='{label}']]//*[self::input or self::textarea]"

        def found():
            chosen = self.driver.find_elements("css selector", f"input[aria-label='{label}']")
            return chosen or self.driver.find_elements("xpath", typed)

        return self.browser.wait_for(found, f"the field {label}", PATIENCE)[0]

    def fill(self, label, text):
        from selenium.webdriver.common.keys import Keys

        field = self.field(label)
        self.click(field)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.click(self.driver.find_element("css selector", "h1"))

    def choose(self, label, option):
        self.click(self.field(label))
        item = f"ul[role=listbox] li[aria-label='{option}']"
        found = self.browser.wait_for(lambda: self.driver.find_elements("css selector", item), option, PATIENCE)
        found[0].click()

    def said(self, *words):
        """Waits until the page says all of these words."""
        here = lambda: self.browser.text("#mc-said")  # noqa: E731
        return self.browser.wait_for(lambda: all(word in here() for word in words) and here(), words, PATIENCE)

    def figures(self):
        """Width in pixels of each figure that is displayed; 0 for one that is broken."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll('#mc-said img')].map(i => i.complete ? i.naturalWidth : 0)"
        )


@pytest.fixture(scope="module")
def browser(address):
    with open_browser(1280, 900) as browser:
        yield browser


@pytest.fixture
def page(browser, address):
    page = Page(browser, address)
    yield page
    assert browser.errors() == []
    assert browser.foreign_requests() == []


def test_a_click_on_a_scene_shows_what_correction_does(page):
    page.click(page.scenes()[0])
    text = page.said("paper: answer changed, mooned moth → barred moth 70 forwards", "0.603")
    assert "demo, 16 classes" in text and "true class" in text
    assert page.figures()[0] > 1000
    assert page.browser.overflow() <= 0


def test_a_photo_is_corrected(page, folder):
    page.upload_and_correct(folder / "photo <b>&.png")
    text = page.said("Probabilities", "Before", "After paper")
    assert re.search(r"\d\d forwards, \d+\.\d\d s", text) and "true class" not in text
    assert "nothing but the creatures of the scenes" in text  # so that nobody wonders what it says of a cat
    assert page.figures()[0] > 1000


def test_a_file_that_is_no_photo_is_a_message_and_the_page_stays_usable(page, folder):
    page.upload_and_correct(folder / "holiday.jpg")
    text = page.said("This photo cannot be used")
    assert "holiday.jpg: not an image in a format that is read here" in text
    assert "Traceback" not in page.browser.text() and str(folder) not in page.browser.text()
    page.click(page.scenes()[1])
    page.said("Probabilities")


def test_a_file_that_is_too_large_is_refused_with_its_limit(page, folder):
    page.upload(folder / "large.jpg")
    page.browser.wait_for(lambda: "maximum allowed size of 20.0 Mb" in page.browser.text(), "the limit", PATIENCE)


def test_more_candidates_than_classes_are_a_message(page):
    page.fill("Candidates K", "99")
    page.click(page.scenes()[0])
    page.said("Candidates K must be from 1 to 16, got 99")
    page.fill("Candidates K", "2")
    page.press("Correct")
    page.said("Probabilities", "67 forwards")


def test_an_unknown_model_is_a_message(page):
    page.unfold("Another model")
    page.fill("Model", "torchvision:resnet5")
    page.click(page.scenes()[0])
    page.said("torchvision has no classification network 'resnet5'; did you mean 'resnet50'")


def test_two_methods_are_compared(page):
    page.choose("Compare with", "CAM")
    page.click(page.scenes()[0])
    text = page.said("After paper", "After paper by CAM")
    assert re.search(r"paper: .*70 forwards", text) and re.search(r"\npaper by CAM: .*6 forwards", text)
    assert len(page.figures()) == 2 and min(page.figures()) > 1000


def test_a_long_name_of_a_method_ends_before_the_arrow_of_its_field(page):
    page.fill("Method", "pytorch_grad_cam:GradCAMPlusPlus")
    script = """const style = getComputedStyle(arguments[0]); return [style.paddingRight, style.textOverflow]"""
    assert page.driver.execute_script(script, page.field("Method")) == ["28px", "ellipsis"]


def test_stop_ends_a_long_correction(page):
    page.unfold("Another model")
    page.fill("Model", "page_models:slow")
    page.fill("Candidates K", "1")
    page.click(page.scenes()[0])
    page.said("Correcting by paper")
    page.press("Stop")
    page.said("Stopped")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(("width", "mobile"), [(1280, False), (390, True)], ids=["desktop", "phone"])
def test_it_fits_the_screen_in_light_and_dark(address, tmp_path, width, mobile, dark):
    with open_browser(width, 844, dark=dark, mobile=mobile) as browser:
        page = Page(browser, address)
        page.choose("Compare with", "CAM")
        page.click(page.scenes()[0])
        page.said("After paper by CAM")
        assert browser.overflow() <= 0
        assert browser.errors() == [] and browser.foreign_requests() == []
        top = "return document.getElementById('mc-said').getBoundingClientRect().top"
        browser.wait_for(lambda: -50 < browser.driver.execute_script(top) < 422, "the result in view", PATIENCE)
        shot = Image.open(io.BytesIO(browser.screenshot(tmp_path / "page.png").read_bytes())).convert("L")
        paper = np.asarray(shot)[:, :8]  # the margin
        assert (paper < 64).all() if dark else (paper > 192).all()
