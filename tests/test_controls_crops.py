"""Controls without maps: against slicing, torchvision's ten crops, and boxes computed from the documented rule."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import images
from control_data import names, seeded
from torchvision.transforms.v2 import functional as tv

from maskcorrect_plugin.evaluation.controls import create_control
from maskcorrect_plugin.evaluation.controls.random_crops import random_boxes


def answers(net, views):
    with torch.no_grad():
        return net(views).softmax(-1)


def resized(crops, size):
    return F.interpolate(crops, size=size, mode="bilinear", align_corners=False)


def make(name, net, **options):
    return create_control(name, net, method="CAM", **options)


def test_hflip_is_the_mean_of_both_answers(tiny_net, tiny_images):
    result = make("control:hflip", tiny_net).correct(tiny_images)
    expected = (answers(tiny_net, tiny_images) + answers(tiny_net, tiny_images.flip(3))) / 2
    torch.testing.assert_close(result.corrected_probs, expected, rtol=0, atol=1e-6)


def test_hflip_changes_nothing_on_a_symmetric_image_and_mirrors_none_upside_down(tiny_net, tiny_images):
    symmetric = tiny_images + tiny_images.flip(3)
    result = make("control:hflip", tiny_net).correct(symmetric)
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)
    upside_down = tiny_images + tiny_images.flip(2)
    result = make("control:hflip", tiny_net).correct(upside_down)
    assert not torch.allclose(result.corrected_probs, result.probs, atol=1e-4)


@pytest.mark.parametrize(("size", "margins"), [((28, 42), (2, 3)), ((16, 20), (1, 1)), ((5, 5), (0, 0))])
def test_ten_crop_is_that_of_torchvision_out_of_the_padded_image(tiny_net, device, size, margins):
    """Nothing is resized: 224 pixels out of 256, in proportion."""
    inputs = images(size=size).to(device)
    down, right = margins
    padded = tv.pad(inputs, [right, down], padding_mode="reflect")
    expected = torch.stack([answers(tiny_net, crop) for crop in tv.ten_crop(padded, list(size))], dim=1)
    result = make("control:ten_crop", tiny_net).correct(inputs, keep=("masked_probs",))
    here = [
        0,
        1,
        2,
        3,
        4,
        6,
        5,
        8,
        7,
        9,
    ]  # torchvision mirrors first: its left corner is our right corner's mirror image
    torch.testing.assert_close(result.masked_probs, expected[:, here], rtol=0, atol=1e-6)
    corrected = (answers(tiny_net, inputs) + expected.sum(dim=1)) / 11
    torch.testing.assert_close(result.corrected_probs, corrected, rtol=0, atol=1e-6)
    torch.testing.assert_close(result.masked_probs[:, 4], result.probs, rtol=0, atol=1e-6)  # the centre is the image
    assert torch.equal(result.weights, torch.ones(3, 10, device=device))


def boxes_by_the_rule(numbers, height, width):
    """Of four numbers a box; in plain Python, from the documented formula."""
    boxes = []
    for first, second, third, fourth in numbers:
        area = 0.25 + 0.75 * first
        bound = min(math.log(4 / 3), -math.log(area))
        aspect = math.exp((2 * second - 1) * bound)
        rows, columns = round(height * math.sqrt(area / aspect)), round(width * math.sqrt(area * aspect))
        top, left = math.floor(third * (height - rows + 1)), math.floor(fourth * (width - columns + 1))
        boxes.append((top, top + rows, left, left + columns))
    return boxes


@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_random_crops_are_slices_by_the_documented_seed_resized_and_weighted_as_masks_are(
    tiny_net, tiny_images, weights
):
    control = make("control:random_crops", tiny_net, top_k=4, weights=weights, control_seed=5)
    result = control.correct(tiny_images, ids=names(), keep=("masked_probs",))
    for row, name in enumerate(names()):
        drawn = torch.rand(4, 4, generator=seeded("control:random_crops", 5, name), dtype=torch.float64).tolist()
        total = 0
        for view, (top, bottom, left, right) in enumerate(boxes_by_the_rule(drawn, 16, 20)):
            crop = resized(tiny_images[row : row + 1, :, top:bottom, left:right], (16, 20))
            expected = answers(tiny_net, crop)[0]
            torch.testing.assert_close(result.masked_probs[row, view], expected, rtol=0, atol=1e-5)
            weight = result.probs[row].sort(descending=True).values[view] if weights == "probs" else 0.25
            total = total + weight * expected
        torch.testing.assert_close(result.correction[row], total, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), (224, 336), (500, 333)])
def test_random_boxes_have_the_stated_distribution(size):
    """2,000 boxes of one seed. Lengths are rounded to pixels, hence the slack at the bounds."""
    boxes = random_boxes(2000, size, torch.Generator().manual_seed(0)).double()
    top, bottom, left, right = boxes.unbind(dim=1)
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
    boxes = random_boxes(100, size, torch.Generator().manual_seed(0))
    assert (boxes[:, 1] > boxes[:, 0]).all() and (boxes[:, 3] > boxes[:, 2]).all()
    assert (boxes[:, 1] <= size[0]).all() and (boxes[:, 3] <= size[1]).all()


def test_two_images_of_equal_content_get_crops_of_their_own(tiny_net):
    twice = images(1).to(tiny_net.head.weight.device).repeat(2, 1, 1, 1)
    result = make("control:random_crops", tiny_net).correct(twice, ids=["a", "b"])
    torch.testing.assert_close(result.probs[0], result.probs[1])
    assert not torch.allclose(result.correction[0], result.correction[1], atol=1e-4)
