import pytest
from records import empty_records, fail, random_records, records_of

from maskcorrect_plugin.evaluation.paired_methods import compare_corrected
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.subset import Subset

BEFORE = [[0.6, 0.4], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.7, 0.3]]
LABELS = [0, 0, 1, 1, None]
FIRST = records_of(BEFORE, [[0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]], LABELS)
SECOND = records_of(BEFORE, [[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]], LABELS)


def test_by_hand():
    found = compare_corrected(FIRST, SECOND)
    assert found.outcome == PairedOutcome(both_right=1, fixed=2, broken=1, both_wrong=0)
    assert (found.only_first, found.only_second) == (1, 2)
    assert (found.images, found.changed, found.left_out) == (5, 4, 0)
    assert found.outcome.mcnemar_p == 1.0  # 2 against 1


def test_the_other_way_round():
    there, back = compare_corrected(FIRST, SECOND), compare_corrected(SECOND, FIRST)
    assert (there.only_first, there.only_second) == (back.only_second, back.only_first)
    assert there.outcome.mcnemar_p == back.outcome.mcnemar_p


def test_images_are_paired_by_id_not_by_place():
    shuffled = SECOND.sample(frac=1, random_state=2)
    assert shuffled["id"].tolist() != SECOND["id"].tolist()
    assert compare_corrected(FIRST, shuffled) == compare_corrected(FIRST, SECOND)


def test_images_that_one_of_them_failed_on_are_left_out():
    found = compare_corrected(fail(FIRST, [0]), fail(SECOND, [0, 1]))
    assert found.outcome == PairedOutcome(both_right=0, fixed=1, broken=1, both_wrong=0)
    assert (found.images, found.left_out) == (3, 2)


def test_a_subset_by_the_gap():
    found = compare_corrected(FIRST, SECOND, Subset("p1-p2", 0.3))
    assert found.images == 3 and found.outcome == PairedOutcome(both_right=1, fixed=1, broken=1, both_wrong=0)


def test_a_method_against_itself_and_no_images_at_all():
    records = random_records(30)
    same = compare_corrected(records, records)
    assert same.changed == 0 and same.outcome.mcnemar_p == 1.0
    assert compare_corrected(empty_records(), empty_records()).images == 0


def test_other_images_are_refused():
    with pytest.raises(ValueError, match=r"1 of first are not in second \('folder/4.png'\) and 0 of second .*\(none\)"):
        compare_corrected(FIRST, SECOND.iloc[:4])


def test_other_labels_are_refused():
    other = SECOND.assign(label=[0, 1, 1, 1, 0])
    with pytest.raises(ValueError, match=r"same labels, but 2 differ \('folder/1.png', 'folder/4.png'\)"):
        compare_corrected(FIRST, other)


def test_an_image_twice_is_refused():
    with pytest.raises(ValueError, match=r"second must hold each image once, but 'folder/0.png' occur"):
        compare_corrected(FIRST, SECOND.assign(id=["folder/0.png"] * 2 + SECOND["id"].tolist()[2:]))
