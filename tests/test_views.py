import copy
import pickle
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from core_data import preprocessing

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models.preprocessing import Preprocessing
from maskcorrect_plugin.options import number
from maskcorrect_plugin.recipe import Recipe
from maskcorrect_plugin.recipe_options import Option
from maskcorrect_plugin.views import (
    CropView,
    ImageBatch,
    MaskView,
    OptionView,
    View,
    ZoomView,
    base,
    black,
    blur,
    catalogue,
    create_view,
    crop_and_resize,
    list_views,
)


def picture(count=2, size=(12, 16), seed=0):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))


def ramp(count=2, size=(12, 16)):
    return torch.linspace(0, 1, size[0] * size[1]).reshape(1, *size).expand(count, -1, -1)


def render(view, inputs, maps):
    """What the network is shown by one map of each image."""
    batch = ImageBatch(inputs, preprocessing=Preprocessing(torch.nn.Identity(), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)))
    shown = view.show(batch, maps[:, None], view.prepare(batch))
    if shown.make is not None:
        return shown.make(torch.arange(len(inputs)), torch.zeros(len(inputs), dtype=torch.int64))
    whole = (0, 0, inputs.shape[-1], inputs.shape[-2])
    boxes = torch.tensor([row[0].box or whole for row in shown.regions], dtype=inputs.dtype)
    return crop_and_resize(inputs, boxes)


def test_mask_view_is_the_hadamard_product_with_the_thresholded_map():
    inputs, maps = picture(), ramp()
    expected = inputs * torch.where(maps > 0.3, maps, 0)[:, None]
    assert torch.equal(render(MaskView(0.3), inputs, maps), expected)


@pytest.mark.parametrize("fill", ["zero", "mean", "blur", "black", torch.full((1, 3, 1, 1), 0.5)])
def test_fill_shows_where_the_mask_is_zero_and_not_where_it_is_one(fill):
    inputs = picture()
    maps = torch.zeros(2, 12, 16)
    maps[:, :, 8:] = 1
    shown = render(MaskView(0.1, fill), inputs, maps)
    assert torch.equal(shown[..., 8:], inputs[..., 8:])
    background = {
        "zero": torch.zeros_like(inputs),
        "mean": inputs.mean((-2, -1), keepdim=True).expand_as(inputs),
        "blur": blur(inputs),
        "black": torch.tensor([-2.5, -2.0, -1.5])[None, :, None, None].expand_as(inputs),
    }[fill] if isinstance(fill, str) else fill.expand_as(inputs)  # fmt: skip
    torch.testing.assert_close(shown[..., :8], background[..., :8])


def test_black_is_pixel_value_zero_after_normalisation():
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float64)
    assert torch.equal(black(mean, std).flatten(), expected)


def test_black_needs_the_normalisation():
    with pytest.raises(ValueError, match="mean and std"):
        MaskView(0.1, "black").check(ImageBatch(picture()))
    with pytest.raises(ValueError, match="std above 0"):
        black([0.5], [0.0])


def test_blur_keeps_the_mean_of_a_constant_and_removes_detail():
    constant = torch.full((1, 3, 20, 30), 0.7)
    torch.testing.assert_close(blur(constant), constant)
    noisy = picture(size=(20, 30))
    assert blur(noisy).std() < 0.5 * noisy.std()


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 2), (3, 40)])
def test_blur_works_on_images_of_any_size(size):
    assert blur(picture(size=size)).shape == (2, 3, *size)


@pytest.mark.parametrize("view", [MaskView(0.2), MaskView(0.2, "mean"), CropView(0.2)])
def test_a_flat_map_shows_the_image_unchanged(view):
    inputs = picture()
    torch.testing.assert_close(render(view, inputs, torch.zeros(2, 12, 16)), inputs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_crop_equals_slicing_and_interpolating(threshold):
    inputs = picture(1, (12, 16))
    maps = torch.zeros(1, 12, 16)
    maps[0, 3:8, 5:13] = torch.linspace(0.6, 1, 40).reshape(5, 8)
    view = CropView(threshold, margin=0.25)
    # The box is rows 3..8 and columns 5..13; a quarter of 5 rounds to 1, of 8 to 2.
    assert view.boxes(maps).tolist() == [[3, 2, 15, 9]]
    expected = F.interpolate(inputs[:, :, 2:9, 3:15], size=(12, 16), mode="bilinear", align_corners=False)
    torch.testing.assert_close(render(view, inputs, maps), expected, rtol=1e-5, atol=1e-5)


def test_crop_margin_stops_at_the_border():
    maps = torch.zeros(1, 10, 10)
    maps[0, 0, 9] = 1.0
    assert CropView(0.1, margin=1.0).boxes(maps).tolist() == [[8, 0, 10, 2]]


def test_each_image_has_its_own_box():
    inputs, maps = picture(2), torch.zeros(2, 12, 16)
    maps[0, :4, :4] = 1
    maps[1, 6:, 8:] = 1
    both = render(CropView(0.1), inputs, maps)
    alone = torch.cat([render(CropView(0.1), inputs[i : i + 1], maps[i : i + 1]) for i in range(2)])
    assert torch.equal(both, alone)


def test_a_view_by_its_text_by_options_and_by_object():
    mine = CropView(0.4)
    assert create_view(mine) is mine
    assert create_view("mask", threshold=0.3) == create_view("mask[threshold=0.3]") == MaskView(0.3)
    assert create_view(ZoomView(0.3, map="merged").spec) == ZoomView(0.3, map="merged")
    with pytest.raises(ValueError, match=r"view must be one of 'mask', 'crop'.*; got 'zom'; did you mean 'zoom'"):
        create_view("zom")
    with pytest.raises(TypeError, match=r"view 'crop' has no option 'fill'; it takes threshold, margin, map"):
        create_view("crop[fill=zero]")


@pytest.mark.parametrize("name", list_views())
def test_each_view_is_made_again_by_its_text_by_copying_and_by_pickling(name):
    view = create_view(name)
    for again in (create_view(view.spec), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert type(again) is type(view) and again == view and again.settings == view.settings
        assert hash(again) == hash(view)
    assert sum(view == create_view(other) for other in list_views()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fill": "blurr"}, "fill must be one of .* did you mean 'blur'"),
        ({"fill": torch.ones(3, dtype=torch.int64)}, "fill must be a floating-point tensor"),
        ({"fill": torch.full((1,), float("nan"))}, "fill must be finite"),
        ({"threshold": 1.0}, "threshold"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        MaskView(**arguments)


def test_a_fill_that_does_not_fit_the_images_is_named():
    with pytest.raises(
        ValueError, match=r"fill must broadcast to one image \(1, 3, 12, 16\), the same for all; got \(1, 4, 1, 1\)"
    ):
        MaskView(0.1, torch.ones(1, 4, 1, 1)).prepare(ImageBatch(picture()))


def test_a_view_of_ones_own_needs_only_render():
    class Flip(View):
        name = "flip"

        def render(self, inputs, maps, prepared=None):
            return inputs.flip(-1)

    inputs = picture()
    assert torch.equal(render(Flip(), inputs, ramp()), inputs.flip(-1))


@pytest.mark.parametrize("name", ["zoom", "whole", "center", "corners", "ten_crop", "random_crops"])
def test_views_of_the_original_refuse_tensors(name):
    batch = ImageBatch(picture(), preprocessing=preprocessing(), ids=("a", "b"))
    with pytest.raises(ValueError, match=f"view '{name}' is cut from the original pictures.*or use a view"):
        create_view(name).check(batch)


def test_some_images_of_a_batch_come_in_the_order_asked_for():
    batch = ImageBatch(picture(), ids=("a", "b"), labels=torch.tensor([3, 4]))
    turned = batch.select(torch.tensor([1, 0]))
    assert torch.equal(turned.inputs, batch.inputs[[1, 0]])
    assert (turned.ids, turned.labels.tolist(), turned.rows) == (("b", "a"), [4, 3], (1, 0))
    assert turned.select(torch.tensor([1])).rows == (0,)


@dataclass(frozen=True, eq=False)
class Glow(OptionView):
    """A view of another package, by an entry point."""

    name: ClassVar[str] = "glow"
    guided: ClassVar[bool] = False
    strength: float = number(Option("strength", 2.0, "times the input"), 0, 10)

    def render(self, inputs, maps=None, prepared=None):
        return inputs * self.strength


@pytest.fixture
def entry_points(monkeypatch):
    def install(**values):
        points = [EntryPoint(name=name, value=value, group=catalogue.GROUP) for name, value in values.items()]
        monkeypatch.setattr(catalogue, "entry_points", lambda group: points)
        catalogue.view_classes.cache_clear()

    yield install
    catalogue.view_classes.cache_clear()
    base._known.pop(Glow, None)


def test_a_view_of_another_package_is_written_and_made_by_its_name(entry_points, tiny_net, tiny_images):
    entry_points(glow="test_views:Glow")
    recipe = ProbabilityCorrector(tiny_net, views="glow[strength=3]").correct(tiny_images).recipe
    assert recipe.views == ("glow[strength=3.0]",) and recipe == Recipe(views=Glow(3))
    assert Recipe.from_dict(recipe.to_dict()) == recipe and list_views()[-1] == "glow"


def test_a_broken_view_of_another_package_is_left_out_with_a_warning_and_none_takes_a_name(entry_points):
    entry_points(absent="test_views:Absent", wrong="test_views:ramp", mask="test_views:Glow")
    with pytest.warns(UserWarning, match="view '(absent|wrong)' is broken and left out") as warned:
        assert not {"absent", "wrong"} & set(list_views())
    assert len(warned) == 2 and type(create_view("mask")) is MaskView
    assert Glow().spec == "test_views.Glow[strength=2.0]"


def test_labels_leave_out_what_is_the_default():
    labels = [create_view(text).label for text in ("mask", "zoom[threshold=0.3,map=merged]", "crop[margin=0.05]")]
    assert labels == ["mask", "zoom[threshold=0.3,map=merged]", "crop"]
    assert all(create_view(label).label == label for label in labels)
