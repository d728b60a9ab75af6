"""A real browser for tests: Debian's Chromium, headless, driven by selenium. Nothing is downloaded.

with open_browser(width=1280, height=900, dark=True) as browser:
    browser.open("http://127.0.0.1:7860")           # or a file: path.as_uri()
    browser.driver.find_element("id", "filter").send_keys("perch")
    browser.wait_for(lambda: "3 images" in browser.text(), "the filtered list")
    browser.screenshot(path)
    assert browser.errors() == [] and browser.foreign_requests() == []
"""

import json
import shutil
import tempfile
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
LOCAL_SCHEMES = ("data", "blob", "file", "about", "chrome", "devtools", "chrome-extension", "chrome-untrusted")
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def require_browser():
    """Skips the test, saying why, where there is no browser to drive."""
    if CHROMIUM is None or CHROMEDRIVER is None:
        pytest.skip("no chromium and chromedriver; on Debian: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="selenium drives the browser; it is in the extra dev")


class Browser:
    """One window.

    Attributes:
        driver: Selenium's own, for everything that is not here.
    """

    def __init__(self, driver):
        self.driver = driver
        self._console = []
        self._requests = []

    def open(self, url):
        self.driver.get(url)

    def text(self, selector="body"):
        """What a reader sees of the first element of that CSS selector; empty where there is none."""
        found = self.driver.find_elements("css selector", selector)
        return found[0].text if found else ""

    def wait_for(self, condition, what, seconds=30):
        """Waits until `condition()` holds and gives what it gave; elements that are being replaced do not count."""
        from selenium.common.exceptions import StaleElementReferenceException

        end = time.monotonic() + seconds
        while True:
            try:
                if found := condition():
                    return found
            except StaleElementReferenceException:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s for {what}; the page says: {self.text()[-2000:]}")
            time.sleep(0.1)

    def resize(self, width, height, *, mobile=False):
        """The size of the viewport in CSS pixels; `mobile` also takes the page's viewport meta and touch seriously."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def emulate(self, *, dark, media="screen"):
        """Light or dark, as the reader's system would ask for it, on a screen or in print."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})

    def screenshot(self, path, *, whole_page=True):
        """Writes a PNG file: the whole page, or what is in view."""
        import base64

        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole_page})
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def overflow(self):
        """By how many pixels the page is wider than the window: more than 0 means sideways scrolling."""
        return self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")

    def errors(self):
        """Errors and warnings of security policies in the console since the browser was opened."""
        self._console += self.driver.get_log("browser")
        return [entry["message"] for entry in self._console if entry["level"] == "SEVERE"]

    def requests(self):
        """Every URL that was asked for since the browser was opened."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                params = message["params"]
                self._requests.append(params["request"]["url"] if "request" in params else params["url"])
        return list(self._requests)

    def foreign_requests(self):
        """Those of them that would leave this computer."""
        parts = [(url, urlsplit(url)) for url in self.requests()]
        return [url for url, part in parts if part.scheme not in LOCAL_SCHEMES and part.hostname not in LOCAL_HOSTS]


@contextmanager
def open_browser(width=1280, height=900, *, dark=False, mobile=False):
    """A browser with a fresh profile; skips the test where there is none."""
    require_browser()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    with tempfile.TemporaryDirectory(prefix="maskcorrect-browser-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=CHROMEDRIVER))
        try:
            browser = Browser(driver)
            browser.resize(width, height, mobile=mobile)
            browser.emulate(dark=dark)
            yield browser
        finally:
            driver.quit()
