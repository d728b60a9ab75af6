"""What the page says in words: the verdict whichever way it falls, how sure it is, and what was done."""

import math

import pytest
from markup import Page
from records import random_records, records_of
from report_runs import CAM, FLIP, write_run

from maskcorrect_plugin.comparison import compare
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.report.families import families_of
from maskcorrect_plugin.report.setup import facts, lead, steps
from maskcorrect_plugin.report.svg import inline_svg
from maskcorrect_plugin.report.verdicts import beside_controls, finding, often, verdict_on
from maskcorrect_plugin.visualization import draw_fixed_broken

NAMES = ["cat", "dog", "cow"]
RIGHT, WRONG = [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]


def outcome_records(both_right, fixed, broken, both_wrong):
    """Records with that table: the label is always 0."""
    counts = {(0, 0): both_right, (1, 0): fixed, (0, 1): broken, (1, 1): both_wrong}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    sides = [RIGHT, WRONG]
    return records_of([sides[was] for was, _ in pairs], [sides[now] for _, now in pairs], [0] * len(pairs))


def family_of(folder, **methods):
    run = write_run(folder / "run", methods, NAMES)
    return families_of(compare([run]))[0]


@pytest.mark.parametrize(
    ("table", "kind", "said"),
    [
        (
            (5, 12, 1, 5),
            "helped",
            "fixed more answers than it broke (12 against 1): a difference that chance alone would",
        ),
        ((5, 1, 12, 5), "hurt", "fixed fewer answers than it broke (1 against 12)"),
        ((5, 3, 2, 5), "unclear", "chance alone could well make (p = 1.000)"),
        ((5, 4, 4, 5), "unclear", "as many answers as it broke (4): no net effect"),
        ((5, 0, 0, 5), "unchanged", "neither fixed nor broke an answer"),
    ],
)
def test_the_verdict_whichever_way_it_falls(tmp_path, table, kind, said):
    family = family_of(tmp_path, CAM=(CAM, outcome_records(*table)))
    verdict = verdict_on(family, family.headline, "overall")
    assert verdict.kind == kind and said in verdict.sentence and "Correction by CAM" in verdict.sentence
    assert (table[1] == table[2]) == (verdict.certainty == "")


def test_several_methods_are_judged_by_the_adjusted_value(tmp_path):
    good, other = outcome_records(5, 9, 1, 5), outcome_records(5, 3, 7, 5)
    alone = PairedOutcome(5, 9, 1, 5).mcnemar_p
    assert alone < 0.05 < 2 * alone + 0.02
    family = family_of(tmp_path, CAM=(CAM, good), **{"control:hflip": (FLIP, other)})
    verdict = verdict_on(family, family.headline, "overall")
    assert verdict.kind == ("helped" if 2 * alone < 0.05 else "unclear")
    assert f"Holm p = {2 * alone:.3f}" in verdict.sentence
    assert "2 methods were tried" in verdict.certainty and f"p = {alone:.3f}" in verdict.certainty


def test_a_p_value_as_a_frequency():
    assert often(1.0) == "practically always"
    assert often(0.5) == "50 times in 100"
    assert often(0.0211) == "21 times in 1,000"
    assert often(0.001) == "once in 1,000 times"
    assert often(0.0005) == "less than once in 1,000 times"
    assert finding(PairedOutcome(1, 3, 2, 1), math.nextafter(0.05, 0)) == "helped"
    assert finding(PairedOutcome(1, 3, 2, 1), 0.05) == "unclear"


def test_the_best_control_is_compared_image_by_image(tmp_path):
    ours, theirs = outcome_records(4, 2, 2, 2), outcome_records(4, 4, 0, 2)
    family = family_of(tmp_path, CAM=(CAM, ours), **{"control:hflip": (FLIP, theirs)})
    said = beside_controls(family)
    assert (
        "control:hflip (it follows no map: hflip; no explanation)" in said
        and "+40.00 points" in said
        and "CAM comes to 0.00" in said
    )
    # Rows 4 and 5 both fix; rows 6, 7: ours breaks, theirs fixes; rows 8, 9 differ not.
    assert "it alone is right 2 times, CAM alone 0 times" in said
    assert "No control was run" in beside_controls(family_of(tmp_path / "other", CAM=(CAM, ours)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "map values at or below 0.1 counting as 0: what the network did not use"),
        ({"views": ["mask[threshold=0.3,fill=black]"]}, "at or below 0.3 counting as 0"),
        ({"views": ["mask[threshold=0.3,fill=black]"]}, "did not use for the class gives way to black"),
        ({"views": ["crop[threshold=0.1]"]}, "cropped to where the map exceeds 0.1"),
        ({"views": ["zoom[threshold=0.3,map=merged]"]}, "cut to where their weighted mean exceeds 0.3"),
        ({"views": ["mask", "hflip"]}, "It was shown the network's input mirrored left to right."),
        ({"views": ["mask", "center[scale=0.85]"]}, "the middle of the input, in the original picture (scale 0.85)"),
        ({"views": ["mask", "hflip"]}, "weighted for pictures of a candidate by the probability of the candidate"),
        ({"views": ["mask", "hflip"], "view_weights": [0.5, 1.0]}, "The views weigh mask 0.5, hflip 1."),
        ({"views": ["mine.Ring[map=candidates]"]}, "the view 'Ring' made another image"),
        ({"candidate_weights": "uniform"}, "weighted by 1/K"),
        ({"pool": "log"}, "The logarithm of what it said"),
        ({"temperature": 1.3}, "Temperature 1.3."),
        ({"vote": "diagonal"}, "for the candidate's own class only"),
        ({"max_gap": 0.5}, "Only images whose first answer lies less than 0.5 above the fifth were corrected"),
    ],
)  # fmt: skip
def test_what_was_done_is_said_of_every_setting(tmp_path, changes, said):
    family = family_of(tmp_path, CAM=({**CAM, **changes}, random_records(8, 3)))
    text = " ".join(steps(family))
    assert said in text and "Its 5 most probable classes" in text and "Nothing was trained" in text


def test_a_control_at_the_head_is_called_one(tmp_path):
    family = family_of(tmp_path, **{"control:hflip": (FLIP, random_records(8, 3))})
    assert "it explains nothing" in " ".join(steps(family)) and "it follows no map: hflip" in lead(family)
    assert beside_controls(family) == ""


def test_the_facts_name_model_data_and_versions(tmp_path):
    family = family_of(tmp_path, CAM=(CAM, random_records(8, 3)))
    found = dict(facts(family))
    assert found["Images"].startswith("8 of demo:60 (folder)") and "torch 2.14.1" in found["Versions"]
    assert "fingerprint model demo" in found["Model"] and found["Methods"] == "CAM"


def test_figures_take_the_colours_of_the_page_and_keep_their_texts():
    svg = inline_svg(draw_fixed_broken({"<CAM> & #1a1a1a": PairedOutcome(3, 2, 1, 4)}), "f1", 'a "figure" <b>')
    page = Page(str(svg))
    assert "<CAM> & #1a1a1a" in page.text("text")  # texts are no colours
    assert page.all("svg")[0]["aria-label"] == 'a "figure" <b>'
    styles = " ".join(found["style"] for _, found in page.elements if "style" in found)
    assert {"var(--ink)", "var(--fixed)", "var(--broken)"} <= set(styles.replace(";", " ").split())
    assert "#" not in styles.replace("url(#f1-", "")
    names = [found["id"] for _, found in page.elements if "id" in found]
    assert names and all(name.startswith("f1-") for name in names)
    used = {reference for _, found in page.elements for value in found.values() for reference in _references(value)}
    assert used <= set(names)


def _references(value):
    return [part.split(")")[0] for part in value.split("url(#")[1:]]
