"""The page of finished runs in a real browser, from a file: no error, no request, and everything works by hand."""

import time

import pytest
from browser import open_browser, require_browser
from records import random_records
from report_runs import CAM, FLIP, ORACLE, write_run

from maskcorrect_plugin.report import write_report

pytest.importorskip("selenium", reason="selenium drives the browser; it is in the extra dev")
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

pytestmark = pytest.mark.browser
NAMES = ["ringed perch", "barred perch", "ringed finch", "barred finch", "moth", "beetle", "<b>ant</b>"]
SIZES = {"desktop": (1280, False), "phone": (390, True)}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    require_browser()
    folder = tmp_path_factory.mktemp("page")
    records = random_records(80, 7, 1)
    methods = {"CAM": (CAM, records), "control:hflip": (FLIP, random_records(80, 7, 1))}
    path = folder / "a report.html"
    write_report([write_run(folder / "run", methods, NAMES, pictures=40)], path, pictures=30)
    return path, records


@pytest.fixture(scope="module")
def window(page):
    with open_browser(1280, 900) as browser:
        yield browser


@pytest.fixture
def browser(window, page):
    """The page, freshly opened; whatever a test does, the console stays clean and nothing is asked of anybody."""
    window.open(page[0].as_uri())
    window.wait_for(lambda: cards(window), "the images")
    yield window
    assert window.errors() == []
    assert {url.partition(":")[0] for url in window.requests()} <= {"file", "data", "chrome", "chrome-untrusted"}


def cards(browser):
    return browser.driver.find_elements("css selector", "#gallery .case")


def names(browser):
    return [card.find_element("css selector", "h3").text for card in cards(browser)]


def choose(browser, field, value):
    Select(browser.driver.find_element("id", field)).select_by_value(value)


def click(browser, selector):
    element = browser.driver.find_element("css selector", selector)
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()


def style(browser, name, selector="body"):
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    return browser.driver.execute_script(script, selector, name)


def painted(browser):
    """Whether every map of the displayed images has been drawn: a canvas begins at 300 by 150, and blank."""
    script = """return [...document.querySelectorAll('canvas[data-map]')].every(
        (canvas) => canvas.width === 40 && canvas.getContext('2d').getImageData(20, 15, 1, 1).data[3] === 255)"""
    return browser.driver.execute_script(script)


def test_the_page_opens_from_a_file_with_its_pictures(browser):
    assert "demo on demo:60" in browser.text("h1")
    assert len(cards(browser)) == 12
    browser.wait_for(lambda: painted(browser), "the maps")
    loaded = "return [...document.querySelectorAll('img.picture')].every((image) => image.naturalWidth === 40)"
    assert browser.driver.execute_script(loaded)


def test_filters_and_counts(browser, page):
    records = page[1]
    choose(browser, "method", "0")
    click(browser, "#pictured")
    counts = [element.text for element in browser.driver.find_elements("css selector", "#filters .n")]
    right = [records[f"label_rank_{side}"].to_numpy() == 1 for side in ("before", "after")]
    fixed, broken = int((~right[0] & right[1]).sum()), int((right[0] & ~right[1]).sum())
    changed = int(records["changed"].sum())
    assert counts == [str(count) for count in (changed, fixed, broken, changed - fixed - broken)]
    click(browser, "input[name=kind][value=broken]")
    assert f"{broken} images" in browser.text("#status")
    badges = browser.driver.find_elements("css selector", "#gallery .badge")
    assert {badge.text for badge in badges} == {"broken"} and len(badges) == min(12, broken)
    choose(browser, "method", "1")
    assert all("control:hflip" in card.text for card in cards(browser))


def test_search_by_class_and_by_file_name(browser):
    choose(browser, "method", "")
    search = browser.driver.find_element("id", "search")
    search.send_keys("MOTH")
    assert cards(browser)
    assert all("moth" in card.text for card in cards(browser))
    search.clear()
    search.send_keys("<b>ant")
    assert all("<b>ant</b>" in card.text for card in cards(browser))
    assert not browser.driver.find_elements("css selector", "#gallery b")
    search.clear()
    search.send_keys("no such image")
    assert "No changed image is like that." in browser.text("#status") and not cards(browser)
    search.clear()
    first = next(iter(page_names(browser)))
    search.send_keys(first)
    assert first in names(browser)


def page_names(browser):
    search = browser.driver.find_element("id", "search")
    search.send_keys(" ")
    search.send_keys(Keys.BACKSPACE)
    return names(browser)


def test_orders(browser):
    def gaps():
        return [float(card.text.partition("gap ")[2][:4]) for card in cards(browser)]

    choose(browser, "order", "unsure")
    smallest = gaps()
    assert smallest == sorted(smallest)
    choose(browser, "order", "sure")
    assert gaps() == sorted(gaps(), reverse=True) and gaps()[0] > smallest[0]
    choose(browser, "order", "name")
    numbers = [int(name.removeprefix("folder/").removesuffix(".png")) for name in names(browser)]
    assert numbers == sorted(numbers)  # 2 before 10


def test_what_was_asked_again_is_redrawn(browser):
    browser.wait_for(lambda: painted(browser), "the maps")
    before = pixels(browser)
    choose(browser, "view", "again")
    browser.wait_for(lambda: painted(browser), "the masked pictures")
    hidden = pixels(browser)
    assert hidden != before
    # Where the map is 0, the masked picture has the data set's mean colour: 0.4, 0.5, 0.6 of 255.
    found = {tuple(hidden[at : at + 3]) for at in range(0, len(hidden), 4)}
    assert any(all(abs(one - other) <= 1 for one, other in zip(color, (102, 128, 153), strict=True)) for color in found)
    assert "approximation" in browser.text("#legend")


def pixels(browser):
    script = """const canvas = document.querySelector('canvas[data-map]');
        return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""
    return browser.driver.execute_script(script)


def test_more_images_come_on_demand_and_the_keyboard_follows(browser):
    choose(browser, "method", "")
    click(browser, "#pictured")
    browser.driver.find_element("id", "more").send_keys(Keys.ENTER)
    assert len(cards(browser)) == 24
    focused = browser.driver.switch_to.active_element
    assert focused.find_element("css selector", "h3").text == names(browser)[12]


def test_tables_are_sorted_by_their_heads(browser):
    script = """const table = [...document.querySelectorAll('table.sortable')].find(
        (one) => one.caption.textContent === 'Gains by class');
        table.closest('details').open = true; table.id = 'gains'"""
    browser.driver.execute_script(script)

    def column(place):
        cells = browser.driver.find_elements("css selector", f"#gains tbody tr > :nth-child({place})")
        return [cell.text for cell in cells]

    head = "#gains thead th:nth-child(2)"
    for order, reverse in (("descending", True), ("ascending", False)):
        click(browser, f"{head} button")
        assert browser.driver.find_element("css selector", head).get_attribute("aria-sort") == order
        counts = [int(text) for text in column(2)]
        assert counts == sorted(counts, reverse=reverse) and len(set(counts)) > 1
    click(browser, "#gains thead th:nth-child(1) button")
    assert column(1) == sorted(column(1), key=str.lower)


def test_everything_is_reached_by_the_keyboard_and_seen_in_focus(browser):
    body = browser.driver.find_element("css selector", "body")
    body.send_keys(Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert skip.text == "Skip to the summary" and skip.rect["y"] >= 0
    skip.send_keys(Keys.ENTER)
    assert browser.driver.switch_to.active_element.get_attribute("id") == "main"
    reached, outlines = set(), set()
    for _ in range(80):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        active = browser.driver.switch_to.active_element
        reached.add(active.get_attribute("id") or active.get_attribute("name") or active.tag_name)
        if active.tag_name != "body":
            outlines.add(active.value_of_css_property("outline-style"))
    assert {"kind", "method", "search", "order", "view", "pictured", "more", "summary"} <= reached
    assert outlines == {"solid"}


def test_light_and_dark_follow_the_system_until_the_button_is_pressed(page):
    with open_browser(1280, 900) as browser:
        background = {}
        for dark in (False, True):
            browser.emulate(dark=dark)
            browser.open(page[0].as_uri())
            background[dark] = style(browser, "background-color")
            assert (sum(map(int, background[dark][4:-1].split(","))) < 384) == dark
            button = browser.driver.find_element("id", "theme")
            assert button.get_attribute("aria-pressed") == str(dark).lower()
        button.click()  # light now, although the system is dark
        assert style(browser, "background-color") == background[False]
        assert style(browser, "fill", ".drawing svg") == style(browser, "color")
        browser.open(page[0].as_uri())  # remembered
        assert style(browser, "background-color") == background[False]
        browser.driver.find_element("id", "theme").click()
        assert style(browser, "background-color") == background[True] and browser.errors() == []


def test_a_dark_page_is_printed_on_white_paper(page):
    with open_browser(1280, 900, dark=True) as browser:
        browser.open(page[0].as_uri())
        light = "rgb(26, 26, 26)"
        assert style(browser, "color") != light
        browser.emulate(dark=True, media="print")
        assert style(browser, "color") == light and style(browser, "background-color") == "rgb(255, 255, 255)"
        assert style(browser, "background-color", ".outcome") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("size", SIZES)
def test_nothing_is_wider_than_the_window_and_figures_fit(page, tmp_path, size):
    width, mobile = SIZES[size]
    with open_browser(width, 900, mobile=mobile) as browser:
        browser.open(page[0].as_uri())
        browser.wait_for(lambda: painted(browser), "the maps")
        for dark in (False, True):
            browser.emulate(dark=dark)
            assert browser.overflow() <= 0
            assert browser.screenshot(tmp_path / f"{size}-{dark}.png").stat().st_size > 50_000
        widths = browser.driver.execute_script(
            """return [...document.querySelectorAll('.drawing svg')].filter((one) => one.checkVisibility())
            .map((one) => one.getBoundingClientRect().width)"""
        )
        assert len(widths) == len(browser.driver.find_elements("css selector", ".drawing"))
        assert all(0.6 * min(width, 600) < one <= width for one in widths)
        assert browser.errors() == [] and browser.foreign_requests() == []


LONG_NAMES = {
    "CAM": CAM,
    "pytorch_grad_cam:GradCAMPlusPlus": {**CAM, "method": "pytorch_grad_cam:GradCAMPlusPlus"},
    "ScoreCAM[max_masks=64]": {**CAM, "method": "ScoreCAM", "max_masks": 64},
    "control:hflip": FLIP,
    "control:oracle_class": ORACLE,
}


def test_the_table_of_methods_is_as_wide_as_its_box_on_a_screen_and_on_paper(tmp_path):
    require_browser()
    methods = {name: (settings, random_records(60, 7, 1)) for name, settings in LONG_NAMES.items()}
    path = tmp_path / "report.html"
    write_report([write_run(tmp_path / "run", methods, NAMES)], path)
    # 718 pixels are A4 between Chromium's own margins.
    with open_browser(1280, 900) as browser:
        browser.open(path.as_uri())
        for width, media in ((1280, "screen"), (1280, "print"), (718, "print")):
            browser.resize(width, 900)
            browser.emulate(dark=False, media=media)
            script = """return [...document.querySelectorAll('#methods .scroll')].filter((one) => one.checkVisibility())
                .map((one) => [one.scrollWidth, one.clientWidth])"""
            boxes = browser.driver.execute_script(script)
            assert len(boxes) == 2 and all(needed <= given for needed, given in boxes), (width, media, boxes)
        # What is scrolled sideways on a phone keeps the name of its row.
        browser.resize(390, 900, mobile=True)
        browser.emulate(dark=False)
        script = """const box = document.querySelector('#methods .scroll'); box.scrollLeft = 300;
            return [box.scrollLeft, box.querySelector('tbody th').getBoundingClientRect().left
                - box.getBoundingClientRect().left]"""
        moved, left = browser.driver.execute_script(script)
        assert moved == 300 and abs(left) < 1


def test_without_scripts_everything_but_the_pictures_is_there(page, tmp_path):
    with open_browser() as browser:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.open(page[0].as_uri())
        said = browser.text()
        assert "The images are displayed by a script" in said and "How sure is that?" in said


def test_a_hostile_page_runs_nothing(tmp_path):
    require_browser()
    names = [f"<img src=x onerror=document.title='owned{row}'>" for row in range(7)]
    records = random_records(40, 7, 1)
    records["id"] = [f"</script><script>document.title='owned'</script>{row}" for row in range(40)]
    path = tmp_path / "report.html"
    write_report([write_run(tmp_path / "run", {"CAM": (CAM, records)}, names, pictures=9)], path)
    with open_browser() as browser:
        browser.open(path.as_uri())
        browser.wait_for(lambda: cards(browser), "the images")
        time.sleep(0.2)
        assert browser.driver.title == "demo on demo:60: correction report"
        assert "<img src=x onerror=" in cards(browser)[0].text and "</script><script>" in cards(browser)[0].text
        assert browser.errors() == [] and browser.foreign_requests() == []
