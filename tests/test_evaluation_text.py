import pytest
from records import fail, random_records

from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.evaluation.text import p_text, percent, summary_text, verdict


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (
            PairedOutcome(10, 20, 2, 3),
            "more answers than it broke (20 against 2): a difference that chance alone would",
        ),
        (
            PairedOutcome(10, 2, 20, 3),
            "fewer answers than it broke (2 against 20): a difference that chance alone would",
        ),
        (PairedOutcome(10, 3, 2, 3), "more answers than it broke (3 against 2): a difference that chance alone could"),
        (PairedOutcome(10, 4, 4, 3), "fixed as many answers as it broke (4): no net effect"),
        (PairedOutcome(10, 0, 0, 3), "neither fixed nor broke an answer"),
        (PairedOutcome(0, 0, 0, 0), "nothing can be said of right and wrong"),
        (
            PairedOutcome(3553, 538, 464, 7936),
            "(538 against 464): a difference that chance alone would rarely make (p = 0.021)",
        ),
    ],
)
def test_the_verdict_says_what_came_out_whichever_way_it_falls(table, text):
    assert text in verdict(table)


def test_p_values_as_they_are_written():
    assert [p_text(value) for value in (1.0, 0.0214, 0.0009)] == ["1.000", "0.021", "<0.001"]
    assert [p_text(value, equals=True) for value in (0.5, 0.0)] == ["= 0.500", "< 0.001"]
    assert [p_text(value, places=4) for value in (0.02111, 0.00001)] == ["0.0211", "<0.0001"]
    assert percent(0.32159) == "32.16 %" and percent(float("nan")) == "-"


def row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"{name}  ")]
    return line.removeprefix(name).strip()


def test_the_table_holds_the_numbers_of_both_groups():
    summary = summarise(fail(random_records(300, unlabelled=5), [7, 9]))
    text = summary_text(summary, "MobileNetV2 by CAM")
    table, part = summary.overall.outcome, summary.subset.outcome
    assert text.splitlines()[0] == "MobileNetV2 by CAM"
    assert row(text, "fixed").split() == [str(table.fixed), str(part.fixed)]
    assert row(text, "broken").split() == [str(table.broken), str(part.broken)]
    assert row(text, "both wrong").split() == [str(table.both_wrong), str(part.both_wrong)]
    assert row(text, "exact McNemar p").split() == [p_text(table.mcnemar_p), p_text(part.mcnemar_p)]
    low, high = summary.overall.interval_before.low, summary.overall.interval_before.high
    expected = f"{percent(table.accuracy_before)} [{100 * low:.2f}, {100 * high:.2f}]"
    assert row(text, "accuracy before").startswith(expected)
    assert f"{100 * table.difference:+.2f} [" in row(text, "difference in points")
    nll = summary.overall.nll
    assert row(text, "negative log-likelihood").startswith(f"{nll.before:.4f} -> {nll.after:.4f}")
    assert "2 of 300 images failed and are left out." in text
    said = " ".join(text.split())
    assert f"all images: {verdict(table)}" in said and f"p1 - p5 < 0.5: {verdict(part)}" in said


def test_columns_are_aligned_and_lines_fit_a_terminal():
    records = random_records(40)
    text = summary_text(summarise(records, Subset("p1-p3", 0.123456)), "a title " * 30)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    table = lines[3 : lines.index(next(line for line in lines if line.startswith("In brackets")))]
    assert len({len(line) for line in table}) == 1
    assert "p1 - p3 < 0.123456" in table[0]


def test_without_labels_no_count_looks_like_a_result():
    lines = summary_text(summarise(random_records(20, unlabelled=20))).splitlines()
    for name in ("right before -> after", "fixed", "broken", "both wrong", "exact McNemar p", "top-5 accuracy"):
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        assert line.removeprefix(name).split() == ["-", "-"]
