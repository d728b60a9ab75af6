"""The built site: complete, and in a browser quiet, within a phone's width and without a request to other computers."""

import os
import re

import pytest
from browser import open_browser
from conftest import ROOT

SITE = ROOT / "docs" / "_build" / "html"

pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(),
    reason="the site is not built: python -m sphinx -W -b html docs docs/_build/html",
)


def pages():
    return sorted(
        path for path in SITE.rglob("*.html") if path.relative_to(SITE).parts[0] not in ("_static", "_downloads")
    )


def test_every_script_of_the_gallery_ran_and_has_a_picture():
    scripts = sorted((ROOT / "docs" / "gallery").glob("*.py"))
    assert len(scripts) >= 7
    for script in scripts:
        page = (SITE / "auto_gallery" / f"{script.stem}.html").read_text()
        assert "sphx-glr-single-img" in page, script.name
        thumbnail = SITE / "_images" / f"sphx_glr_{script.stem}_thumb.png"
        assert thumbnail.stat().st_size > 1000


def test_every_public_name_is_in_the_reference():
    import maskcorrect_plugin

    reference = "".join(page.read_text() for page in (SITE / "api").glob("*.html"))
    documented = set(re.findall(r'id="maskcorrect_plugin\.(\w+)"', reference))
    assert set(maskcorrect_plugin.__all__) - {"__version__"} <= documented


def test_links_to_other_files_lead_to_pages():
    getting_started = (SITE / "getting-started.html").read_text()
    assert 'href="set-up.html"' in getting_started  # ../README.md in the repository
    assert 'href="examples.html#cifar-resnet20-py"' in getting_started  # ../examples/cifar_resnet20.py


def test_nothing_of_the_machine_that_built_it_is_on_a_page():
    """Signatures show defaults as the source has them, not os.environ's value; outputs show no folder of ours."""
    for page in pages():
        text = page.read_text()
        assert os.environ["PATH"] not in text and str(ROOT) not in text, page.name


@pytest.mark.browser
def test_no_page_scrolls_sideways_complains_or_asks_another_computer():
    with open_browser(390, 800, mobile=True) as browser:
        wide = {}
        for page in pages():
            browser.open(page.as_uri())
            if browser.overflow() > 0:
                wide[page.relative_to(SITE).as_posix()] = browser.overflow()
        assert wide == {}
        assert browser.errors() == []
        assert browser.foreign_requests() == []


@pytest.mark.browser
def test_the_search_finds_a_name():
    with open_browser(1280, 900) as browser:
        browser.open((SITE / "search.html").as_uri() + "?q=ProbabilityCorrector")
        browser.wait_for(lambda: "api/correction" in browser.driver.page_source, "results of the search")
        assert browser.foreign_requests() == []
