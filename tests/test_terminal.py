import io
import logging
import warnings

import pytest

from maskcorrect_plugin.commands.terminal import (
    Style,
    columns,
    header_text,
    image_text,
    percent,
    plain_warnings,
    printable,
    shorten,
    summary_text,
    terminal_width,
)

PLAIN, COLOR = Style(False), Style(True)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def entry(index, name, probability, other):
    """An entry of before or after, with its probability at the other time under both names."""
    others = {"probability_before": other, "probability_after": other}
    return {"class_index": index, "class_name": name, "probability": probability, **others}


def record(**changes):
    values = {
        "path": "a/photo.jpg",
        "failure": None,
        "figure": None,
        "gap": 0.25,
        "corrected": True,
        "changed": True,
        "before": [entry(3, "jay", 0.5, 0.4), entry(7, "robin", 0.3, 0.45), entry(1, "wren", 0.05, 0.01)],
        "after": [entry(7, "robin", 0.45, 0.3), entry(3, "jay", 0.4, 0.5), entry(9, "owl", 0.06, 0.02)],
        "views": [{"view": "mask", "flat": [False, False, False]}, {"view": "hflip", "flat": [False]}],
    }
    return {**values, **changes}


def test_every_class_stands_once_in_the_order_after_the_correction():
    lines = image_text(record(), 80, PLAIN).splitlines()
    assert [line.split() for line in lines[3:]] == [
        ["1", "2", "30.0", "%", "45.0", "%", "robin"],
        ["2", "1", "50.0", "%", "40.0", "%", "jay"],
        ["3", "new", "2.0", "%", "6.0", "%", "owl"],
        ["-", "3", "5.0", "%", "1.0", "%", "wren"],
    ]
    starts = {line.rindex(name) for line, name in zip(lines[3:], ["robin", "jay", "owl", "wren"], strict=True)}
    assert starts == {lines[2].index("class")}  # aligned


def test_a_changed_answer_is_marked_without_colour():
    changed = image_text(record(), 80, PLAIN)
    assert "CHANGED  jay -> robin" in changed
    same = image_text(record(changed=False, after=record()["before"]), 80, PLAIN)
    assert "CHANGED" not in same
    assert "kept     jay" in same
    assert "new" not in same


def test_colour_adds_nothing_but_escape_codes():
    import re

    colored = image_text(record(), 80, COLOR)
    assert "\x1b[" in colored
    assert re.sub("\x1b\\[[0-9;]*m", "", colored) == image_text(record(), 80, PLAIN)


def test_an_image_that_max_gap_left_alone_says_so():
    text = image_text(record(corrected=False, changed=False, after=record()["before"]), 80, PLAIN)
    assert "not corrected" in text
    assert "gap 0.25" in text


@pytest.mark.parametrize(
    ("flat", "said"), [([False, True, False], "for: robin"), ([True], "the map says nothing, so zoom shows the image")]
)
def test_flat_maps_are_named(flat, said):
    assert said in image_text(record(views=[{"view": "zoom", "flat": flat}]), 80, PLAIN)
    assert "no map" not in image_text(record(), 80, PLAIN)


def test_a_failure_has_its_reason():
    text = image_text(record(failure="truncated", before=[], after=[], views=[]), 80, PLAIN)
    assert text.splitlines() == ["a/photo.jpg", "  FAILED   truncated"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_tables_fit_the_width(width):
    names = ["a rather long class name " * 4, "长的类名" * 20, "x"]
    before = [entry(index, name, 1.0, 1.0) for index, name in enumerate(names)]
    lines = image_text(record(before=before, after=before, changed=False), width, PLAIN).splitlines()[2:]
    assert max(map(columns, lines)) <= width


def test_names_cannot_steer_the_terminal():
    assert "\x1b" not in printable("\x1b[31mred\x07")
    assert printable("two\nlines") == "two lines"
    assert printable("\u202egnp.exe") == "\ufffdgnp.exe"
    printable("\ud800\udfff").encode("utf-8")
    assert printable("\udcff.jpg").endswith(".jpg")
    printable("\udcff").encode("utf-8")


def test_shorten_and_columns_know_wide_signs():
    assert columns("ab") == 2
    assert columns("猫") == 2
    assert columns("e\u0301") == 1
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abc..."
    assert columns(shorten("猫猫猫猫", 6)) <= 6


def test_percent_keeps_its_columns():
    assert percent(0.41) == " 41.0 %"
    assert percent(1.0) == "100.0 %"
    assert len({len(percent(value)) for value in (0.0, 0.005, 1.0)}) == 1


@pytest.mark.parametrize(
    ("stream", "environment", "color"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"NO_COLOR": ""}, True),  # no-color.org: present and not empty
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_where_it_is_welcome(stream, environment, color):
    assert Style.of(stream, environment).color is color


def test_width_is_that_of_the_terminal_within_limits(monkeypatch):
    for given, expected in (("80", 80), ("20", 40), ("500", 120)):
        monkeypatch.setenv("COLUMNS", given)
        assert terminal_width() == expected


def test_summary_says_what_happened():
    summary = {"images": 10, "done": 8, "failed": 2, "changed": 3, "corrected": 5, "seconds": 1.5}
    assert summary_text(summary, PLAIN) == ("8 of 10 images done, 3 answers changed, 3 not corrected, 2 failed; 1.5 s")
    assert summary_text({**summary, "failed": 0, "corrected": 8}, PLAIN) == (
        "8 of 10 images done, 3 answers changed; 1.5 s"
    )


def test_header_names_model_and_settings():
    header = {
        "model": {"spec": "torchvision:vgg16", "num_classes": 1000},
        "settings": {
            "device": "cpu",
            "method": "CAM",
            "target_layer": None,
            "top_k": 5,
            "views": ["mask[threshold=0.3,fill=zero]", "mine.View[a=1]"],
            "pool": "log",
        },
    }
    text = header_text(header, PLAIN)
    for part in ("torchvision:vgg16", "1000 classes", "cpu", "CAM", "5 candidates", "mask[threshold=0.3] +"):
        assert part in text
    assert "+ mine.View[a=1], log pool" in text and "None" not in text and "fill" not in text
    unguided = {"device": "cpu", "method": None, "top_k": 5, "views": ["hflip"], "pool": "sum"}
    text = header_text({**header, "settings": unguided}, PLAIN)
    assert "hflip" in text and "None" not in text and "candidates" not in text


def test_warnings_and_log_become_one_line_and_everything_is_put_back(capsys):
    shown, handlers = warnings.showwarning, list(logging.getLogger("maskcorrect_plugin").handlers)
    with plain_warnings(PLAIN):
        warnings.simplefilter("always")
        warnings.warn("something\nodd", stacklevel=1)
        logging.getLogger("maskcorrect_plugin").warning("memory is %s", "short")
        logging.getLogger("maskcorrect_plugin").info("not shown")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["warning: something odd", "warning: memory is short"]
    assert captured.out == ""
    assert warnings.showwarning is shown
    assert logging.getLogger("maskcorrect_plugin").handlers == handlers
    assert logging.getLogger("maskcorrect_plugin").propagate
