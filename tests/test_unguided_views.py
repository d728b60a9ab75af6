"""Views without a map: boxes computed by hand, from the documented rule, and by Pillow and torchvision."""

import math

import numpy as np
import pytest
import torch
from conftest import make_tiny_net
from core_data import MEAN, STD, answers, photo, photos, preprocessing, seeded
from PIL import Image

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.pictures import Box, Picture
from maskcorrect_plugin.views import ImageBatch, Region, create_view
from maskcorrect_plugin.views.unguided import random_boxes


def batch(*pictures, ids=None):
    inputs = torch.stack([picture.inputs for picture in pictures])
    return ImageBatch(inputs, tuple(pictures), preprocessing(), ids)


def regions(view, *pictures, ids=None):
    return create_view(view).regions(batch(*pictures, ids=ids), None)


def wide():
    """120 x 60 pixels: the shorter side goes to 20 (a third), the middle 16 x 16 are 48 x 48 of the original."""
    return Picture.of(photo((120, 60)), preprocessing())


def boxes(row):
    return [pytest.approx(region.box) for region in row]


def test_the_input_lies_in_the_middle_of_the_original():
    assert wide().box == pytest.approx((36, 6, 84, 54))


def test_hflip_is_the_mirrored_input():
    assert regions("hflip", wide()) == [[Region(mirrored=True)]]


def test_whole_is_everything_of_the_original():
    assert regions("whole", wide()) == [[Region(Box(0, 0, 120, 60), original=True)]]


@pytest.mark.parametrize(("scale", "box"), [(0.5, (48, 18, 72, 42)), (0.75, (42, 12, 78, 48))])
def test_center_shrinks_the_place_of_the_input_about_its_middle(scale, box):
    ((region,),) = regions(f"center[scale={scale}]", wide())
    assert region.box == pytest.approx(box) and region.original


def test_the_centre_at_full_scale_is_the_input_itself():
    assert regions("center[scale=1]", wide()) == [[Region()]]


def test_corners_are_the_inputs_size_moved_to_the_edges():
    (row,) = regions("corners", wide())
    assert boxes(row) == [(0, 0, 48, 48), (72, 0, 120, 48), (0, 12, 48, 60), (72, 12, 120, 60)]


def test_ten_crop_is_corners_and_input_and_all_of_them_mirrored():
    (row,) = regions("ten_crop", wide())
    assert row[:4] == regions("corners", wide())[0] and row[4] == Region()
    assert row[5:] == [region._replace(mirrored=True) for region in row[:5]]


def boxes_by_the_rule(numbers, height, width):
    """Of four numbers a box; in plain Python, from the documented formula."""
    found = []
    for first, second, third, fourth in numbers:
        area = 0.25 + 0.75 * first
        bound = min(-math.log(area), math.log(4 / 3))
        ratio = math.exp((2 * second - 1) * bound)
        rows = min(height, max(1, round(math.sqrt(area / ratio) * height)))
        columns = min(width, max(1, round(math.sqrt(area * ratio) * width)))
        top, left = math.floor(third * (height - rows + 1)), math.floor(fourth * (width - columns + 1))
        found.append((left, top, left + columns, top + rows))
    return found


def test_random_crops_go_by_id_and_seed_and_not_by_the_batch():
    first, second = wide(), Picture.of(photo((30, 40), 1), preprocessing())
    both = regions("random_crops[n=3,seed=2]", first, second, ids=("a", "b"))
    for row, (name, (height, width)) in zip(both, [("a", (60, 120)), ("b", (40, 30))], strict=True):
        numbers = torch.rand(3, 4, generator=seeded("random_crops", 2, name), dtype=torch.float64).tolist()
        assert boxes(row) == boxes_by_the_rule(numbers, height, width)
    assert regions("random_crops[n=3,seed=2]", second, first, ids=("b", "a")) == both[::-1]
    assert regions("random_crops[n=3,seed=2]", second, ids=("b",)) == both[1:]
    assert regions("random_crops[n=3,seed=3]", first, ids=("a",)) != both[:1]
    assert regions("random_crops[n=3,seed=2]", first, ids=("c",)) != both[:1]


@pytest.mark.parametrize("size", [(224, 224), (224, 336), (500, 333)])
def test_random_boxes_have_the_stated_distribution(size):
    """2,000 boxes of one seed. Lengths are rounded to pixels, hence the slack at the bounds."""
    left, top, right, bottom = random_boxes(2000, size, torch.Generator().manual_seed(0)).double().unbind(dim=1)
    height, width = size
    assert (top >= 0).all() and (left >= 0).all() and (bottom <= height).all() and (right <= width).all()
    rows, columns = bottom - top, right - left
    area = rows * columns / (height * width)
    aspect = (columns / width / (rows / height)).log().abs()
    assert area.min() > 0.24 and area.max() > 0.99
    assert (area.sort().values - torch.linspace(0.25, 1, 2000)).abs().max() < 0.04  # uniform: Kolmogorov-Smirnov
    assert aspect.max() < math.log(4 / 3) + 0.02 and (aspect[area > 0.97] < 0.05).all()
    middle = (top + bottom) / 2 / height
    assert abs(middle.mean() - 0.5) < 5 * middle.std() / 2000**0.5


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_crops_of_the_smallest_images_have_a_pixel(size):
    left, top, right, bottom = random_boxes(100, size, torch.Generator().manual_seed(0)).unbind(dim=1)
    assert (right > left).all() and (bottom > top).all() and (right <= size[1]).all() and (bottom <= size[0]).all()


def test_random_crops_need_ids():
    with pytest.raises(ValueError, match="ids must be given for view 'random_crops'"):
        create_view("random_crops").check(batch(wide()))


def test_a_flip_alone_is_the_mean_of_both_answers(tiny_net, tiny_images):
    result = ProbabilityCorrector(tiny_net, method=None, views="hflip").correct(tiny_images)
    expected = (answers(tiny_net, tiny_images) + answers(tiny_net, tiny_images.flip(3))) / 2
    torch.testing.assert_close(result.corrected_probs, expected, rtol=0, atol=1e-6)


def test_a_flip_changes_nothing_on_a_symmetric_image_and_mirrors_none_upside_down(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, views="hflip")
    symmetric = corrector.correct(tiny_images + tiny_images.flip(3))
    torch.testing.assert_close(symmetric.corrected_probs, symmetric.probs, rtol=0, atol=1e-6)
    upside_down = corrector.correct(tiny_images + tiny_images.flip(2))
    assert not torch.allclose(upside_down.corrected_probs, upside_down.probs, atol=1e-4)


def resized(image, box=None):
    """Normalised pixels of a box of a picture at the size of the input, by Pillow alone."""
    pixels = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR, box=box))
    scaled = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 255
    return (scaled - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def test_what_is_cut_reaches_the_network_as_pillow_cuts_it(device):
    """Also of pictures smaller than the input, of one pixel, and far from square."""
    net = make_tiny_net().to(device)
    corrector = ProbabilityCorrector(net, views=("whole", "ten_crop"), preprocessing=preprocessing())
    result = corrector.correct(photos(), keep=("view_probs",))
    for row, image in enumerate(photos()):
        picture = Picture.of(image, preprocessing())
        width, height = image.size
        across, down = picture.box.right - picture.box.left, picture.box.bottom - picture.box.top
        starts = [(0, 0), (width - across, 0), (0, height - down), (width - across, height - down)]
        corners = [Box(x, y, x + across, y + down) for x, y in starts]
        if image.size == (1, 1):
            corners = [Box(0, 0, 1, 1)] * 4  # less than a pixel is widened to one
        cuts = torch.stack([*(resized(image, box) for box in corners), picture.inputs])
        shown = torch.cat([resized(image)[None], cuts, cuts.flip(-1)]).to(device)
        torch.testing.assert_close(result.view_probs[row], answers(net, shown), rtol=0, atol=1e-5)


@pytest.mark.parametrize("view", ["hflip", "whole", "center", "corners", "ten_crop", "random_crops"])
def test_an_image_comes_out_the_same_in_any_batch_and_order(tiny_net, view):
    corrector = ProbabilityCorrector(tiny_net, views=view, preprocessing=preprocessing(), batch_size=7)
    ids = list("abcdef")
    together = corrector.correct(photos(), ids=ids)
    backwards = corrector.correct(photos()[::-1], ids=ids[::-1])
    torch.testing.assert_close(backwards.correction.flip(0), together.correction, rtol=0, atol=1e-5)
    for row, image in enumerate(photos()):
        alone = corrector.correct(image, ids=[ids[row]])
        torch.testing.assert_close(alone.correction[0], together.correction[row], rtol=0, atol=1e-5)
        assert alone.forwards[0] == together.forwards[row]
