"""Image files of every kind: what can be read gives RGB of the right values, the rest is named with its reason."""

import pickle
import re

import numpy as np
import pytest
import torch
from pictures import forbid_listing
from PIL import Image
from torchvision.transforms import v2

from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.images import decode_image, find_images, images_below, load_batch, read_image, to_rgb

TO_TENSOR = v2.Compose([v2.Resize((8, 8)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])


def ramp(dtype=np.uint8, top=255, size=(12, 20)):
    """Values from 0 to `top` over an image of 12 rows and 20 columns."""
    return np.linspace(0, top, size[0] * size[1]).reshape(size).astype(dtype)


def colour(size=(20, 12)):
    grey = ramp(size=size[::-1])
    return Image.fromarray(np.stack([grey, grey[::-1], np.full_like(grey, 60)], axis=2))


def saved(folder, image, name, **options):
    image.save(folder / name, **options)
    return folder / name


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp", "a.jp2"])
def test_lossless_formats_are_read_exactly(tmp_path, name):
    options = {"lossless": True} if name == "a.webp" else {}
    assert (pixels(read_image(saved(tmp_path, colour(), name, **options))) == pixels(colour())).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.avif"])
def test_lossy_formats_are_read_closely(tmp_path, name):
    difference = pixels(read_image(saved(tmp_path, colour((64, 48)), name, quality=95))) - pixels(colour((64, 48)))
    assert np.abs(difference).mean() < 6


def test_the_name_of_a_file_does_not_matter(tmp_path):
    file = saved(tmp_path, colour(), "picture.dat", format="PNG")
    assert (pixels(read_image(str(file))) == pixels(colour())).all()


def test_grey_gives_three_equal_channels(tmp_path):
    read = pixels(read_image(saved(tmp_path, Image.fromarray(ramp()), "a.png")))
    assert (read == ramp()[:, :, None]).all()


def test_one_bit_is_black_and_white(tmp_path):
    bits = Image.fromarray(ramp()).point(lambda value: 255 * (value > 100), mode="1")
    read = pixels(read_image(saved(tmp_path, bits, "a.png")))
    assert (read == np.where(ramp() > 100, 255, 0)[:, :, None]).all()


def test_cmyk_is_converted(tmp_path):
    read = pixels(read_image(saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=100)))
    assert np.abs(read - [255, 0, 0]).max() < 8
    read = pixels(read_image(saved(tmp_path, Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "a.tif")))
    assert (read == 0).all()


@pytest.mark.parametrize("alpha", [0, 64, 255])
def test_transparency_is_composited_over_white(tmp_path, alpha):
    read = pixels(read_image(saved(tmp_path, Image.new("RGBA", (4, 4), (200, 100, 0, alpha)), "a.png")))
    expected = np.array([200, 100, 0]) * alpha / 255 + 255 * (1 - alpha / 255)
    assert np.abs(read - expected).max() <= 1
    read = pixels(read_image(saved(tmp_path, Image.new("LA", (4, 4), (50, alpha)), "b.png")))
    assert np.abs(read - (50 * alpha / 255 + 255 * (1 - alpha / 255))).max() <= 1


def test_a_palette_may_be_transparent(tmp_path):
    palette = Image.fromarray(np.array([[0, 1], [1, 2]], dtype=np.uint8), mode=None).convert("P")
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    opaque = pixels(read_image(saved(tmp_path, palette, "opaque.png")))
    assert opaque[0, 0].tolist() == [255, 0, 0]
    assert opaque[1, 1].tolist() == [0, 0, 255]
    holes = pixels(read_image(saved(tmp_path, palette, "holes.png", transparency=0)))
    assert holes[0, 0].tolist() == [255, 255, 255]
    assert holes[0, 1].tolist() == [0, 255, 0]
    half = pixels(read_image(saved(tmp_path, palette, "half.png", transparency=bytes([255, 0, 128]))))
    assert half[0, 0].tolist() == [255, 0, 0]
    assert half[0, 1].tolist() == [255, 255, 255]
    assert np.abs(half[1, 1] - [127, 127, 255]).max() <= 1


def test_one_transparent_colour_of_grey_and_rgb(tmp_path):
    read = pixels(read_image(saved(tmp_path, Image.new("RGB", (2, 2), (9, 8, 7)), "a.png", transparency=(9, 8, 7))))
    assert (read == 255).all()
    read = pixels(read_image(saved(tmp_path, Image.new("L", (2, 2), 9), "b.png", transparency=9)))
    assert (read == 255).all()


def test_premultiplied_modes():
    assert (pixels(to_rgb(Image.new("LA", (2, 2), (50, 0)).convert("La"))) == 255).all()
    assert (pixels(to_rgb(Image.new("RGBA", (2, 2), (10, 20, 30, 255)).convert("RGBa"))) == [10, 20, 30]).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_keep_their_full_range(tmp_path, name):
    values = ramp(np.uint16, 65535)
    read = pixels(read_image(saved(tmp_path, Image.fromarray(values), name)))
    assert (read == np.rint(values / 257)[:, :, None]).all()
    assert read.min() == 0
    assert read.max() == 255
    assert len(np.unique(read)) > 200  # clipping would leave nearly all of it white


def test_a_dark_sixteen_bit_image_stays_dark():
    values = ramp(np.uint16, 4095) + np.uint16(500)
    assert (pixels(to_rgb(Image.fromarray(values))) == np.rint(values / 257)[:, :, None]).all()


def test_sixteen_bits_in_big_endian_order():
    values = ramp(np.uint16, 65535)
    image = Image.frombytes("I;16B", (20, 12), values.astype(">u2").tobytes())
    assert (pixels(to_rgb(image)) == np.rint(values / 257)[:, :, None]).all()


@pytest.mark.parametrize(
    ("top", "white"), [(255, 255), (200, 255), (4095, 65535), (65535, 65535), (1_000_000, 1_000_000)]
)
def test_32_bit_integers_take_the_smallest_usual_white(tmp_path, top, white):
    values = ramp(np.int32, top)
    read = pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.tif")))
    assert (read == np.rint(values * (255 / white))[:, :, None]).all()


@pytest.mark.parametrize(("low", "high", "black", "white"), [(0, 1, 0, 1), (0, 250, 0, 255), (-2, 6, -2, 6)])
def test_floats_take_the_smallest_usual_white_or_are_stretched(tmp_path, low, high, black, white):
    values = np.linspace(low, high, 240, dtype=np.float32).reshape(12, 20)
    read = pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.tif")))
    expected = (values.astype(float) - black) / (white - black) * 255
    assert np.abs(read - expected[:, :, None]).max() <= 0.5 + 1e-9


def test_flat_numbers_below_zero_are_black_and_nan_is_refused(tmp_path):
    flat = saved(tmp_path, Image.fromarray(np.full((3, 3), -5, dtype=np.float32)), "flat.tif")
    assert (pixels(read_image(flat)) == 0).all()
    broken = saved(tmp_path, Image.fromarray(np.full((3, 3), np.nan, dtype=np.float32)), "nan.tif")
    with pytest.raises(ImageError, match=r"nan\.tif.*NaN or infinite"):
        read_image(broken)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, name):
    frames = [Image.new("RGB", (6, 5), shade) for shade in ("red", "lime", "blue")]
    options = {"lossless": True} if name == "a.webp" else {}
    file = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:], **options)
    with Image.open(file) as image:
        assert image.n_frames == 3
    assert (pixels(read_image(file)) == [255, 0, 0]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_exif_rotation_is_undone(tmp_path, orientation, name):
    # What the camera stores for each orientation, so that undoing it gives the scene again (EXIF 2.3, tag 0x0112).
    scene = pixels(colour())
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: scene.transpose(1, 0, 2)[::-1],
        7: scene.transpose(1, 0, 2)[::-1, ::-1],
        8: scene.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored).astype(np.uint8))
    options = {"lossless": True} if name == "a.webp" else {}
    assert (pixels(read_image(saved(tmp_path, image, name, exif=exif, **options))) == scene).all()


def test_sixteen_bits_are_rotated_too(tmp_path):
    values = ramp(np.uint16, 65535)
    exif = Image.Exif()
    exif[0x0112] = 3
    read = pixels(read_image(saved(tmp_path, Image.fromarray(values), "a.png", exif=exif)))
    assert (read[::-1, ::-1] == np.rint(values / 257)[:, :, None]).all()


def test_damaged_exif_data_does_not_cost_the_image(tmp_path, monkeypatch, caplog):
    exif = Image.Exif()
    exif[0x0112] = 3
    file = saved(tmp_path, colour(), "a.png", exif=exif)

    def damaged(image):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", damaged)
    assert (pixels(read_image(file)) == pixels(colour())).all()
    assert "a.png: damaged EXIF data" in caplog.text


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_one_pixel_is_an_image(tmp_path, mode):
    read = read_image(saved(tmp_path, Image.new(mode, (1, 1)), "a.tif"))
    assert read.size == (1, 1)
    assert read.mode == "RGB"


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif", "a.jp2"])
@pytest.mark.parametrize("part", [0.02, 0.5])
def test_a_truncated_file_is_named(tmp_path, name, part):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    file = saved(tmp_path, noise, name)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ImageError, match=f"{name}: ."):
        read_image(file)


def test_what_is_no_image_is_named_with_its_reason(tmp_path):
    (tmp_path / "text.jpg").write_text("this is not a picture" * 50)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"text\.jpg: not an image in a format that is read here \(JPEG, "):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(ImageError, match=r"empty\.png: the file is empty"):
        read_image(tmp_path / "empty.png")
    with pytest.raises(ImageError, match=r"folder\.png: a folder"):
        read_image(tmp_path / "folder.png")
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="name too long"):
        read_image("x" * 5000)
    with pytest.raises(ImageError, match=r"b\.png: "):
        read_image("a\0b.png")


def test_formats_that_start_other_programs_are_not_tried(tmp_path):
    file = saved(tmp_path, colour(), "a.eps")
    with pytest.raises(ImageError, match=r"a\.eps: not an image in a format"):
        read_image(file)


def test_a_large_photograph_is_read_without_a_warning(tmp_path, monkeypatch):
    file = saved(tmp_path, colour(), "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 12 - 1)  # of which Pillow only warns
    assert read_image(file).size == colour().size


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    file = saved(tmp_path, colour(), "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20 * 12 // 3)
    with pytest.raises(ImageError, match=r"bomb\.png: Image size \(240 pixels\) exceeds limit"):
        read_image(file)


def test_a_huge_image_in_a_small_file_is_refused_unread(tmp_path):
    (tmp_path / "huge.pgm").write_bytes(b"P5\n100000 100000\n255\n\0")
    with pytest.raises(ImageError, match=r"huge\.pgm: .*exceeds limit"):
        read_image(tmp_path / "huge.pgm")


def test_folders_give_their_images_sorted_and_without_hidden_ones(tmp_path):
    names = ["b.JPG", "a.png", "deep/er/c.jpeg", "notes.txt", ".hidden.png", ".cache/d.png", "deep/er/z.webp"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    expected = [tmp_path / name for name in ("a.png", "b.JPG", "deep/er/c.jpeg", "deep/er/z.webp")]
    assert find_images(tmp_path) == expected
    assert find_images([tmp_path / "deep", tmp_path / "gone.png", str(tmp_path), tmp_path / "notes.txt"]) == [
        *expected[2:],
        tmp_path / "gone.png",
        *expected[:2],
        tmp_path / "notes.txt",
    ]


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ImageError, match="there is no image in this folder"):
        find_images([tmp_path])


def test_one_bad_file_never_stops_the_others(tmp_path):
    good = [saved(tmp_path, colour(), f"good{i}.png") for i in range(3)]
    (tmp_path / "bad.png").write_bytes(b"nothing")
    files = [good[0], tmp_path / "bad.png", good[1], tmp_path / "gone.png", good[2]]
    inputs, kept, failures, pictures = load_batch(files, TO_TENSOR)
    assert pictures is None
    assert kept == [0, 2, 4]
    assert inputs.shape == (3, 3, 8, 8)
    assert torch.equal(inputs[0], TO_TENSOR(colour()))
    assert [(file.name, reason.split(" (")[0]) for file, reason in failures] == [
        ("bad.png", "not an image in a format that is read here"),
        ("gone.png", "no such file"),
    ]


def test_a_transform_that_fails_is_reported_and_the_others_go_on(tmp_path):
    wide = saved(tmp_path, colour((30, 12)), "wide.png")
    files = [wide, *(saved(tmp_path, colour(), f"{i}.png") for i in range(2))]

    def raising(image):
        if image.width == 30:
            raise ZeroDivisionError("too wide")
        return TO_TENSOR(image)

    batch = load_batch(files, raising)
    assert batch.kept == [1, 2]
    assert batch.failures == [(wide, "the transform failed: ZeroDivisionError: too wide")]
    # Without a resize the shapes differ: the odd one out fails, also when it comes first.
    plain = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    batch = load_batch(files, plain)
    assert batch.kept == [1, 2]
    assert batch.inputs.shape == (2, 3, 12, 20)
    assert batch.failures[0][1] == "the transform gave (3, 12, 30) torch.float32, others (3, 12, 20) torch.float32"


@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        (lambda image: "text", r"floating-point tensor \(C,H,W\), got str"),
        (v2.PILToTensor(), r"got torch\.uint8 \(3, 12, 20\)"),
        (lambda image: TO_TENSOR(image)[None], r"got torch\.float32 \(1, 3, 8, 8\)"),
        (lambda image: TO_TENSOR(image) / 0, "NaN or infinite"),
    ],
)
def test_a_transform_must_give_finite_floats(tmp_path, transform, reason):
    batch = load_batch([saved(tmp_path, colour(), "a.png")], transform)
    assert batch.inputs.shape == (0, 3, 0, 0)
    assert batch.kept == []
    assert re.search(reason, batch.failures[0][1])


def test_an_empty_batch_is_empty():
    assert load_batch([], TO_TENSOR)[1:] == ([], [], None)


def linked(folder, name, target):
    (folder / name).symlink_to(target, target_is_directory=True)


def test_links_to_folders_are_followed_only_on_request_and_never_in_circles(tmp_path):
    for name in ("a/1.png", "b-c/2.png", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    linked(tmp_path / "a", "up", tmp_path)
    linked(tmp_path / "a", "to_b", tmp_path / "b")
    linked(tmp_path / "b", "to_a", tmp_path / "a")
    (tmp_path / "b" / "dead.png").symlink_to("nowhere.png")
    plain = ["a/1.png", "b/3.png", "b/dead.png", "b-c/2.png"]  # by folder: "b" before "b-c", although "-" < "/"
    assert images_below(tmp_path) == plain
    assert images_below(tmp_path, follow_links=True) == [
        "a/1.png",
        "a/to_b/3.png",
        "a/to_b/dead.png",
        "b/3.png",
        "b/dead.png",
        "b/to_a/1.png",
        "b-c/2.png",
    ]
    assert find_images(tmp_path) == [tmp_path / name for name in plain if "dead" not in name]


def test_a_folder_that_cannot_be_listed_is_told_to_whoever_asks(tmp_path, monkeypatch):
    (tmp_path / "shut").mkdir()
    (tmp_path / "a.png").write_bytes(b"x")
    forbid_listing(monkeypatch, "shut")
    errors = []
    assert images_below(tmp_path, onerror=errors.append) == images_below(tmp_path) == ["a.png"]
    assert [str(error) for error in errors] == [f"[Errno 13] Permission denied: '{tmp_path / 'shut'}'"]


def test_an_image_in_memory_is_read_like_its_file_and_called_by_its_name(tmp_path):
    file = saved(tmp_path, colour(), "a.png")
    assert (pixels(decode_image(file.read_bytes(), "row 3")) == pixels(read_image(file))).all()
    for data, reason in (
        (b"", "the file is empty"),
        (b"text", "not an image in a format"),
        (file.read_bytes()[:90], ""),
    ):
        with pytest.raises(ImageError, match=f"row 3: {reason}"):
            decode_image(data, "row 3")


def test_an_image_error_keeps_its_reason_apart_from_the_name_also_between_processes():
    error = pickle.loads(pickle.dumps(ImageError("no such file", "a: b.png")))
    assert (str(error), error.reason) == ("a: b.png: no such file", "no such file")
