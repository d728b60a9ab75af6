"""Which images the gallery displays, what it says of each, and how pictures are packed."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from records import fail, random_records, records_of
from report_runs import picture

from maskcorrect_plugin.report.changed_images import changed_images, fair_shares, most_telling
from maskcorrect_plugin.report.gallery import MAP_SIDE, pack_maps


def one_image(before, after, label, **changes):
    records = records_of([before], [after], [label])
    for name, value in changes.items():
        records[name] = [value]
    return changed_images(records)


def test_what_is_said_of_an_image():
    (image,) = one_image([0.5, 0.3, 0.2], [0.2, 0.7, 0.1], 1)
    assert (image.kind, image.label, image.old, image.new) == ("fixed", 1, 0, 1)
    assert image.gap == pytest.approx(0.3) and image.moved == pytest.approx(0.4)
    assert [entry.index for entry in image.classes] == [0, 1, 2]
    assert [entry.after for entry in image.classes] == pytest.approx([0.2, 0.7, 0.1])


@pytest.mark.parametrize(
    ("label", "kind", "moved"), [(0, "broken", -0.3), (1, "fixed", 0.4), (2, "changed", -0.1), (None, "changed", 0.4)]
)
def test_the_kind_of_a_change_and_whose_probability_moved(label, kind, moved):
    (image,) = one_image([0.5, 0.3, 0.2], [0.2, 0.7, 0.1], label)
    assert image.kind == kind and image.moved == pytest.approx(moved)


def test_probabilities_that_the_records_do_not_hold_are_bounded_by_those_they_do():
    before = np.array([0.4, 0.2, 0.15, 0.1, 0.08, 0.04, 0.03])
    after = before[::-1]
    (image,) = one_image(before, after, 4)
    listed = {entry.index: (entry.before, entry.after) for entry in image.classes}
    assert list(listed) == [0, 1, 2, 3, 4, 6]  # five candidates, and the new answer
    assert listed[6] == (pytest.approx(-0.08), pytest.approx(0.4))  # below the fifth before
    assert listed[0] == (pytest.approx(0.4), pytest.approx(-0.08))
    assert listed[4] == (pytest.approx(0.08), pytest.approx(0.15))
    (image,) = one_image(before, after, 5)
    assert {entry.index: entry.before for entry in image.classes}[5] == pytest.approx(0.04)  # the truth is always known


def test_unchanged_and_failed_images_are_left_out_and_the_largest_change_comes_first():
    records = random_records(60, 7, 1)
    changed = np.flatnonzero(records["changed"]).tolist()
    found = changed_images(fail(records, [changed[0]]))
    assert sorted(image.index for image in found) == changed[1:]
    moved = [abs(image.moved) for image in found]
    assert moved == sorted(moved, reverse=True)


def test_pictures_are_of_every_kind():
    images = changed_images(random_records(200, 7, 1))
    kinds = [image.kind for image in images]
    chosen = most_telling(images, 9)
    assert [image.kind for image in chosen] == ["fixed", "broken", "changed"] * 3
    assert chosen[0] == images[kinds.index("fixed")]
    assert sorted(image.index for image in most_telling(images, 1000)) == sorted(image.index for image in images)


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 200))
def test_shares_use_the_limit_up_and_are_as_even_as_can_be(available, limit):
    shares = fair_shares(available, limit)
    assert all(0 <= share <= most for share, most in zip(shares, available, strict=True))
    assert sum(shares) == min(limit, sum(available))
    left_wanting = [share for share, most in zip(shares, available, strict=True) if share < most]
    assert not left_wanting or max(shares) <= min(left_wanting) + 1


def test_maps_are_packed_one_below_the_other_and_keep_their_values():
    maps = [picture(seed, "PNG", "L", size=(160, 120)) for seed in range(3)]
    strip = np.asarray(Image.open(io.BytesIO(pack_maps(maps))), dtype=float)
    assert strip.shape == (3 * MAP_SIDE, MAP_SIDE)
    for position, content in enumerate(maps):
        whole = np.asarray(Image.open(io.BytesIO(content)).resize((MAP_SIDE, MAP_SIDE)), dtype=float)
        part = strip[position * MAP_SIDE : (position + 1) * MAP_SIDE]
        assert np.abs(part - whole).mean() < 3 and np.corrcoef(part.ravel(), whole.ravel())[0, 1] > 0.99
    assert pack_maps([]) == b""
