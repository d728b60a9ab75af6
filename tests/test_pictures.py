"""Pictures: the pixels behind an input, where it lies in them, and boxes cut out of them."""

import math
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from maskcorrect_plugin import Picture, Preprocessing
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.models.geometry import Chain
from maskcorrect_plugin.models.preprocessing import ResizeCrop
from maskcorrect_plugin.pictures import INTERPOLATIONS, MIN_SIDE, Box, cut, enlarge

WHOLE = Preprocessing(lambda image: torch.zeros(3, 8, 8), geometry=Chain(()))


def noise(size, seed=0):
    """A photo-like picture: coarse and fine structure, every value of a channel."""
    values = np.random.default_rng(seed).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    coarse = np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)).astype(int)
    fine = np.random.default_rng(seed + 1).integers(-40, 40, (size[1], size[0], 3))
    return Image.fromarray(np.clip(coarse + fine, 0, 255).astype(np.uint8))


def whole(image, preprocessing=WHOLE):
    return Picture.of(image, preprocessing)


def colours(picture):
    """(h,w,3) integers."""
    return picture.pixels.permute(1, 2, 0).int().numpy()


# --- the standard input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (301, 301), (90, 70), (30, 21), (5, 3), (640, 201)])
@pytest.mark.parametrize("shape", [(64, 73), (48, None), (65, 65)])
def test_a_cut_of_the_inputs_own_box_is_the_input(size, shape, interpolation):
    side, resize = shape
    preprocessing = ResizeCrop(side, resize, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), interpolation).prepare()
    picture = preprocessing.picture(noise(size))
    assert picture.size == (size[1], size[0])
    # With all of its pixels: a picture that was reduced first is only nearly the same.
    full = replace(picture, pixels=torch.from_numpy(np.array(noise(size))).permute(2, 0, 1))
    cuts = cut(full, [preprocessing.locate(size)], (side, side), interpolation)
    again = preprocessing.normalize(cuts)
    levels = (again[0] - picture.inputs).abs() * torch.tensor(preprocessing.std).view(3, 1, 1) * 255
    if interpolation == "nearest":  # a sample on the edge of two pixels may fall on either side
        assert float((levels < 0.01).all(0).float().mean()) > 0.9
    else:
        assert float(levels.max()) < 1.01
        assert float((levels > 0.01).float().mean()) < 0.03


def test_normalize_is_what_the_transform_does():
    preprocessing = ResizeCrop(32, None, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)).prepare()
    image = noise((32, 32))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    assert torch.allclose(preprocessing.normalize(pixels)[0], preprocessing(image), rtol=0, atol=1e-6)
    assert preprocessing.normalize(pixels).dtype == torch.float32


# --- cuts of pictures of known pixels ---------------------------------------------------------------------------------


def quadrants(side=20):
    """Red, green, blue and white."""
    values = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    values[:half, :half] = (255, 0, 0)
    values[:half, half:] = (0, 255, 0)
    values[half:, :half] = (0, 0, 255)
    values[half:, half:] = 255
    return Image.fromarray(values)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_quadrant_is_its_colour(interpolation):
    picture = whole(quadrants(40))
    boxes = [Box(1, 1, 8, 8), Box(30, 1.5, 36, 7), Box(2, 31, 6, 36), Box(33, 33, 37.5, 37.5)]
    cuts = cut(picture, boxes, (6, 5), interpolation)
    assert (cuts.shape, cuts.dtype) == ((4, 3, 6, 5), torch.uint8)
    for answer, colour in zip(cuts, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True):
        assert (answer == torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1)).all()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_a_whole_box_at_its_own_size_is_the_pixels(interpolation):
    image = noise((9, 7))
    picture = whole(image)
    assert torch.equal(cut(picture, [Box(0, 0, 9, 7)], (7, 9), interpolation)[0], picture.pixels)
    assert torch.equal(cut(picture, [Box(2, 1, 6, 4)], (3, 4), interpolation)[0], picture.pixels[:, 1:4, 2:6])


def test_a_checker_becomes_grey_when_it_is_made_smaller():
    rows, columns = np.indices((32, 32))
    picture = whole(Image.fromarray(np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)))
    for interpolation in ("box", "bilinear", "bicubic", "lanczos", "hamming"):
        grey = cut(picture, [Box(4, 4, 28, 28)], (6, 6), interpolation).int()
        assert int((grey - 128).abs().max()) <= 3
    assert set(cut(picture, [Box(4, 4, 28, 28)], (8, 8), "nearest").unique().tolist()) <= {0, 255}


def triangle(values, low, high, count):
    """One axis (the first) resampled by the antialiased triangle filter, in float64."""
    scale = (high - low) / count
    centres = low + (np.arange(count) + 0.5) * scale
    distances = np.abs(np.arange(len(values)) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distances, 0, None)
    return np.tensordot(weights / weights.sum(1, keepdims=True), values, axes=(1, 0))


@pytest.mark.parametrize(
    "box", [Box(3.25, 2.5, 30.75, 20.1), Box(0, 0, 40, 30), Box(10.1, 10.1, 12.2, 11.4), Box(39.0, 0.0, 40, 29.6)]
)
@pytest.mark.parametrize("size", [(7, 9), (24, 24)])
def test_fractional_boxes_agree_with_a_filter_written_down_by_itself(box, size):
    image = noise((40, 30))
    values = np.asarray(image).astype(np.float64)
    expected = triangle(triangle(values, box.top, box.bottom, size[0]).swapaxes(0, 1), box.left, box.right, size[1])
    answer = cut(whole(image), [box], size, "bilinear")[0].permute(2, 1, 0).double().numpy()
    assert np.abs(answer - expected).max() <= 1.1  # two roundings, one for each axis


def test_what_lies_outside_is_clipped_and_what_is_narrow_is_one_pixel_wide():
    picture = whole(quadrants())
    beyond = cut(picture, [Box(-100, -5, 8, 8), Box(12, 12, 50, 60)], (4, 4), "bilinear")
    assert torch.equal(beyond, cut(picture, [Box(0, 0, 8, 8), Box(12, 12, 20, 20)], (4, 4), "bilinear"))
    assert torch.equal(
        cut(picture, [Box(5.5, 5, 5.5, 9), Box(-9, 0, -5, 1), Box(30, 30, 40, 40)], (2, 2), "box"),
        cut(picture, [Box(5, 5, 6, 9), Box(0, 0, 1, 1), Box(19, 19, 20, 20)], (2, 2), "box"),
    )
    assert cut(picture, [], (4, 5), "bilinear").shape == (0, 3, 4, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([Box(0, 0, math.nan, 1)], (2, 2), "bilinear"), "boxes must be finite"),
        (([Box(3, 0, 2, 1)], (2, 2), "bilinear"), "left <= right and top <= bottom, got"),
        (([Box(0, 0, 1, 1)], (2, 0), "bilinear"), "size must be at least 1, got 0"),
        (([Box(0, 0, 1, 1)], (2, 2), "bilinea"), "interpolation must be one of .* did you mean 'bilinear'"),
    ],
)
def test_what_cannot_be_cut_is_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        cut(whole(quadrants()), *arguments)


def test_many_threads_may_cut_at_once():
    picture = whole(noise((200, 150)))
    boxes = [Box(i, i, 100 + i, 60 + i) for i in range(20)]
    expected = cut(picture, boxes, (32, 32), "bicubic")
    answers = [None] * 8

    def work(index):
        answers[index] = cut(picture, boxes, (32, 32), "bicubic")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(answer, expected) for answer in answers)


# --- making pictures --------------------------------------------------------------------------------------------------


def rotated(tmp_path):
    """A file of 60 x 40 that is to be seen upright as 40 x 60, red on top."""
    values = np.zeros((60, 40, 3), np.uint8)
    values[:20] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(np.ascontiguousarray(np.rot90(values))).save(tmp_path / "turned.png", exif=exif)
    return tmp_path / "turned.png", values


def test_a_file_that_lies_on_its_side_is_turned_first(tmp_path):
    file, values = rotated(tmp_path)
    preprocessing = ResizeCrop(32, 40).prepare()
    stored = Image.open(file)
    assert stored.size == (60, 40)
    for image in (stored, read_image(file)):
        picture = preprocessing.picture(image)
        assert picture.size == (60, 40)
        assert (colours(picture) == values).all()
        assert picture.box == preprocessing.locate((40, 60)) == Box(4, 14, 36, 46)
        assert torch.equal(picture.inputs, preprocessing(Image.fromarray(values)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "CMYK", "I;16", "F"])
def test_every_mode_becomes_rgb(mode):
    picture = ResizeCrop(32, None).prepare().picture(Image.new(mode, (50, 40)))
    assert (picture.pixels.shape, picture.pixels.dtype) == ((3, 40, 50), torch.uint8)


def test_one_pixel_is_a_picture():
    preprocessing = ResizeCrop().prepare()
    picture = preprocessing.picture(Image.new("RGB", (1, 1), (7, 8, 9)))
    assert picture.pixels.flatten().tolist() == [7, 8, 9]
    assert picture.box == Box(0.0625, 0.0625, 0.9375, 0.9375)
    cuts = cut(picture, [picture.box, Box(0.4, 0.4, 0.5, 0.5)], (5, 5), "bicubic")
    assert (cuts == picture.pixels).all()


def test_a_huge_picture_keeps_what_the_smallest_box_needs():
    image = Image.new("RGB", (12_000, 9_000), (10, 200, 30))
    preprocessing = ResizeCrop().prepare()
    picture = preprocessing.picture(image)
    assert picture.size == (9_000, 12_000)
    assert picture.pixels.shape == (3, 896, 1195)
    assert picture.pixels.untyped_storage().nbytes() == 3 * 896 * 1195
    assert (picture.pixels == torch.tensor([10, 200, 30], dtype=torch.uint8).view(3, 1, 1)).all()
    box = preprocessing.locate(image.size)
    assert picture.box == pytest.approx(box.scaled(1195 / 12_000, 896 / 9_000))


def test_a_reduced_picture_shows_the_same_in_its_boxes():
    """A white square in the large picture fills the box that is scaled along, to the pixel."""
    values = np.zeros((2000, 3001, 3), np.uint8)
    values[500:1500, 700:2100] = 255
    preprocessing = Preprocessing(lambda image: torch.zeros(3, 64, 32), geometry=Chain(()))
    picture = Picture.of(Image.fromarray(values), preprocessing, 0.25)
    height, width = picture.pixels.shape[1:]
    assert (height, width) == (256, 384)
    assert picture.box == (0, 0, width, height)
    inner = Box(700, 500, 2100, 1500).scaled(width / 3001, height / 2000)
    around = cut(picture, [Box(0, 0, width, height)], (256, 384), "bilinear")[0, 0].double() / 255
    # The share of white in each pixel tells where the edges lie, to a fraction of a pixel.
    assert float(around[128].sum()) == pytest.approx(inner.right - inner.left, abs=0.05)
    assert float(around[:, 200].sum()) == pytest.approx(inner.bottom - inner.top, abs=0.05)
    assert float(around[128, :200].sum()) == pytest.approx(200 - inner.left, abs=0.05)
    assert int(cut(picture, [inner], (8, 8), "box")[0, :, 1:-1, 1:-1].min()) > 250


@pytest.mark.parametrize("size", [(256, 256), (300, 257), (255, 40), (100, 100)])
def test_pictures_are_reduced_only_above_the_limit_and_never_enlarged(size):
    picture = Picture.of(noise(size), Preprocessing(lambda image: torch.zeros(3, 64, 10), geometry=Chain(())))
    limit = math.ceil(64 / MIN_SIDE)
    assert min(picture.pixels.shape[1:]) == min(limit, *size)
    if min(size) <= limit:
        assert (colours(picture) == np.asarray(noise(size))).all()


@pytest.mark.parametrize("min_side", [0, -1, 1.1, math.nan])
def test_a_smallest_side_that_is_no_share_is_refused(min_side):
    with pytest.raises(ArgumentError, match="min_side must"):
        Picture.of(quadrants(), WHOLE, min_side)
    with pytest.raises(ArgumentError, match="min_side must"):
        enlarge(torch.zeros(1, 4, dtype=torch.float64), (10, 10), min_side)


def test_a_transform_that_gives_no_tensor_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"transform must give a floating-point tensor \(C,H,W\), got str"):
        whole(quadrants(), Preprocessing(lambda image: "text", geometry=Chain(())))


def test_pictures_can_be_pickled():
    picture = ResizeCrop(32, 40).prepare().picture(noise((50, 44)))
    data = pickle.dumps(picture)
    copied = pickle.loads(data)
    assert torch.equal(copied.pixels, picture.pixels) and torch.equal(copied.inputs, picture.inputs)
    assert (copied.box, copied.size) == (picture.box, picture.size)
    assert len(data) < picture.pixels.nbytes + picture.inputs.nbytes + 2000


# --- the smallest box -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([30, 30, 60, 70], [30, 30, 60, 70]),  # large enough as it is
        ([90, 40, 110, 60], [87.5, 37.5, 112.5, 62.5]),  # about its centre
        ([0, 40, 10, 80], [0, 40, 25, 80]),  # one side only, at the left edge
        ([195, 95, 200, 100], [175, 75, 200, 100]),  # in the corner
        ([50, 0, 50, 0], [37.5, 0, 62.5, 25]),  # a point
        ([0, 0, 200, 100], [0, 0, 200, 100]),
        ([0.1, 0.2, 25.1, 25.2], [0.1, 0.2, 25.1, 25.2]),
    ],
)
def test_small_boxes_are_enlarged_and_shifted_inside(box, expected):
    answer = enlarge(torch.tensor([box], dtype=torch.float64), (100, 200), 0.25)
    assert answer.dtype == torch.float64
    assert answer[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_the_whole_of_the_shorter_side_may_be_asked_for():
    boxes = torch.tensor([[3.0, 4.0, 5.0, 6.0], [0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    assert enlarge(boxes, (10, 20), 1.0).tolist() == [[0, 0, 10, 10], [0, 0, 10, 10]]
