"""The second pass: equal pictures are asked once, several recipes share, zooms are what Pillow cuts out of the file."""

import threading

import numpy as np
import pytest
import torch
from conftest import Counter, images, make_tiny_net
from core_data import MEAN, STD, FixedMaps, answers, photo, photos, preprocessing
from PIL import Image

from maskcorrect_plugin import ProbabilityCorrector, correct_together, make_correctors
from maskcorrect_plugin.pictures import Picture
from maskcorrect_plugin.recipe import PAPER
from maskcorrect_plugin.views import View

KEEP = ("view_probs", "attributions")


class OneMap(FixedMaps):
    """The same map for every image and class."""

    def __init__(self, model, box=(3, 4, 9, 12), size=(16, 20)):
        left, top, right, bottom = box
        super().__init__(model, torch.zeros(1, 1, *size))
        self.maps[..., top:bottom, left:right] = 1.0

    def attribute(self, inputs, target):
        return self.maps.to(inputs).expand(len(inputs), 1, *inputs.shape[-2:])


class Bump(FixedMaps):
    """For each class a bump somewhere else in 16 x 16, whatever the image."""

    def __init__(self, model):
        rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
        centres = [(3, 12), (5, 4), (9, 9), (13, 2), (2, 6)]
        bumps = [(-((rows - y) ** 2 + (columns - x) ** 2) / 18).exp() for y, x in centres]
        super().__init__(model, torch.stack(bumps))

    def attribute(self, inputs, target):
        return self.maps.to(inputs)[target].unsqueeze(1)


def test_equal_regions_of_an_image_are_asked_once(tiny_net, tiny_images):
    """Two crops of three candidates each, all by one map: two boxes, six pictures; the flip is named twice."""
    views = ("crop[threshold=0.3,margin=0]", "crop[threshold=0.3,margin=1]", "hflip", "hflip")
    corrector = ProbabilityCorrector(tiny_net, OneMap(tiny_net), top_k=3, views=views)
    counter = Counter(tiny_net)
    result = corrector.correct(tiny_images, keep=("view_probs",))
    assert counter.inputs == 3 * (1 + 2 + 1) == result.forwards.sum()
    assert result.saved.tolist() == [4 + 1] * 3
    first, second, flip = answers(tiny_net, crops(tiny_images)), answers(tiny_net, crops(tiny_images, 1)), None
    flip = answers(tiny_net, tiny_images.flip(-1))
    expected = torch.stack([first] * 3 + [second] * 3 + [flip] * 2, dim=1)
    torch.testing.assert_close(result.view_probs, expected, rtol=0, atol=1e-5)


def crops(inputs, margin=0):
    """The box of `OneMap` with a margin, by slicing and interpolating."""
    left, top, right, bottom = (3, 4, 9, 12) if margin == 0 else (0, 0, 15, 16)
    part = inputs[:, :, top:bottom, left:right]
    return torch.nn.functional.interpolate(part, size=inputs.shape[-2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("views", [("mask", "mask"), ("mask[map=merged]", "mask[map=merged]", "hflip")])
def test_a_view_named_twice_is_asked_once_and_counts_twice(tiny_net, tiny_images, views):
    twice = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=2, views=views)
    once = ProbabilityCorrector(
        tiny_net, "CAM", "act", top_k=2, views=views[1:], view_weights=(2, *[1] * len(views[2:]))
    )
    counter = Counter(tiny_net)
    result = twice.correct(tiny_images)
    spent = counter.inputs
    torch.testing.assert_close(result.correction, once.correct(tiny_images).correction, rtol=0, atol=1e-6)
    assert spent == result.forwards.sum() == counter.inputs - spent
    assert (result.forwards + result.saved == 1 + twice.num_views).all()


def test_a_crop_to_everything_is_the_answer_that_is_known(tiny_net, tiny_images):
    corrector = ProbabilityCorrector(tiny_net, OneMap(tiny_net, (0, 0, 20, 16)), top_k=2, views="crop")
    corrector.method.maps[..., 5, 5] = 0.5  # not flat
    counter = Counter(tiny_net)
    result = corrector.correct(tiny_images, keep=("view_probs",))
    assert counter.inputs == 3 and result.forwards.tolist() == [1] * 3 and result.saved.tolist() == [2] * 3
    assert torch.equal(result.view_probs, result.probs[:, None].expand(-1, 2, -1))


def test_the_price_does_not_depend_on_the_blocks_of_candidates(tiny_net, tiny_images, monkeypatch):
    """The candidates of a large batch are done in several blocks, which may show equal regions."""
    corrector = ProbabilityCorrector(tiny_net, OneMap(tiny_net), top_k=5, views=("crop", "mask", "hflip"))
    at_once = corrector.correct(tiny_images)
    monkeypatch.setattr("maskcorrect_plugin.correction.MAPS_AT_ONCE", 6)
    counter = Counter(tiny_net)
    in_blocks = corrector.correct(tiny_images)
    assert in_blocks.forwards.tolist() == at_once.forwards.tolist() == [1 + 1 + 5 + 1] * 3
    assert counter.inputs == 3 * 8 and in_blocks.saved.tolist() == at_once.saved.tolist() == [4] * 3
    torch.testing.assert_close(in_blocks.correction, at_once.correction, rtol=0, atol=1e-6)


def test_a_view_of_weight_zero_costs_nothing(tiny_net, tiny_images):
    views = ("mask", "hflip", "crop[map=merged]")
    corrector = ProbabilityCorrector(tiny_net, OneMap(tiny_net), top_k=2, views=views, view_weights=(0, 1, 0.5))
    counter = Counter(tiny_net)
    result = corrector.correct(tiny_images)
    assert counter.inputs == 3 * (1 + 1 + 1) and [count for _, count in result.columns] == [1, 1]


RECIPES = [
    {"method": "CAM", "top_k": 3},
    {"method": "CAM", "top_k": 3, "threshold": 0.4, "max_gap": 0.6},
    {"method": "CAM", "top_k": 5, "views": ("crop[threshold=0.5]", "hflip")},
    {"method": "CAM", "top_k": 5, "views": ("crop[threshold=0.5,map=merged]", "hflip"), "pool": "log"},
    {"method": "CAM", "top_k": 5, "views": "crop[threshold=0.5,map=merged]", "candidate_weights": "uniform"},
    {"method": "ScoreCAM", "top_k": 2},
    {"method": "ScoreCAM", "top_k": 2, "vote": "diagonal", "temperature": 2},
    {"method": None, "views": "hflip"},
    {"method": "control:random_map", "top_k": 3},
]


def together(net, share, **options):
    """Correctors by number: each by itself, or on one engine, with the method of an earlier one if it is the same."""
    made = {}
    for number, recipe in enumerate(RECIPES):
        layer = None if recipe["method"] in (None, "control:random_map") else "act"
        same = [made[str(other)] for other in range(number) if RECIPES[other]["method"] == recipe["method"]]
        options["share"] = [*same, *made.values()][0] if share and made else None
        made[str(number)] = ProbabilityCorrector(net, target_layer=layer, **recipe, **options)
    return made


def test_recipes_together_give_what_each_gives_alone_and_share_the_work(tiny_net, tiny_images):
    inputs, ids = torch.cat([tiny_images, images(4, seed=9).to(tiny_images.device)]), list(range(7))
    counter = Counter(tiny_net)
    alone = {
        name: each.correct(inputs, ids=ids, keep=KEEP) for name, each in together(tiny_net, False, batch_size=5).items()
    }
    spent, passes = counter.inputs, sum(int(result.forwards.sum()) for result in alone.values())
    assert spent == passes
    counter.reset()
    shared = correct_together(together(tiny_net, True, batch_size=5), inputs, ids=ids, keep=KEEP)
    assert list(shared) == list(alone)
    for name, result in shared.items():
        for field in ("correction", "corrected_probs", "weights", "flat", *KEEP):
            torch.testing.assert_close(getattr(result, field), getattr(alone[name], field), rtol=0, atol=1e-6)
        for field in ("forwards", "saved", "corrected", "candidates"):
            assert torch.equal(getattr(result, field), getattr(alone[name], field)), (name, field)
        assert result.columns == alone[name].columns and result.settings == alone[name].settings
    saved = (8 + 5) * len(inputs)  # one first forward, Score-CAM's masks once; and masks, crops and flips besides
    assert counter.inputs < spent - saved


def test_equal_recipes_together_cost_as_much_as_one(tiny_net, tiny_images):
    first = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", top_k=3, views=("mask", "crop", "hflip"))
    second = ProbabilityCorrector(tiny_net, "ScoreCAM", "act", share=first, recipe=first.recipe)
    assert second.method is first.method and second.engine is first.engine
    counter = Counter(tiny_net)
    one = first.correct(tiny_images)
    spent = counter.inputs
    counter.reset()
    both = correct_together({"a": first, "b": second}, tiny_images)
    assert counter.inputs == spent == one.forwards.sum()
    assert torch.equal(both["a"].correction, both["b"].correction)
    assert torch.equal(both["b"].forwards, one.forwards) and (both["b"].seconds > 0).all()


class Tinted(View):
    """A view of somebody's own, whose strength cannot be seen from outside."""

    guided = False

    def __init__(self, strength):
        self.hidden = Slot(strength)

    def render(self, inputs, maps=None, prepared=None):
        return inputs * self.hidden.strength


class Slot:
    __slots__ = ("strength",)

    def __init__(self, strength):
        self.strength = strength


def test_views_that_cannot_be_told_apart_by_their_description_are_not_mixed_up(tiny_net, tiny_images):
    first = ProbabilityCorrector(tiny_net, views=Tinted(0.5))
    second = ProbabilityCorrector(tiny_net, views=Tinted(2.0), share=first)
    both = correct_together({"a": first, "b": second}, tiny_images, keep=("view_probs",))
    for name, factor in (("a", 0.5), ("b", 2.0)):
        expected = answers(tiny_net, factor * tiny_images)
        torch.testing.assert_close(both[name].view_probs[:, 0], expected, rtol=0, atol=1e-6)


def test_another_layer_is_another_method_also_where_it_is_given_as_a_module(tiny_net, tiny_images):
    first = ProbabilityCorrector(tiny_net, "ScoreCAM", tiny_net.stem)
    second = ProbabilityCorrector(tiny_net, "ScoreCAM", tiny_net.act, share=first)
    third = ProbabilityCorrector(tiny_net, "ScoreCAM", share=first)
    both = correct_together({"a": first, "b": second, "c": third}, tiny_images)
    layers = [result.settings["target_layer"] for result in both.values()]
    assert layers == ["stem", "act", "act"]


def test_an_engine_is_shared_by_correctors_of_one_model_only(tiny_net):
    with pytest.raises(ValueError, match="share must be a corrector of the same model"):
        ProbabilityCorrector(make_tiny_net(3), share=ProbabilityCorrector(tiny_net))


def test_correctors_with_engines_of_their_own_are_corrected_too(tiny_net, tiny_images):
    correctors = {name: ProbabilityCorrector(tiny_net, name, "act") for name in ("CAM", "ScoreCAM")}
    both = correct_together(correctors, tiny_images)
    assert list(both) == ["CAM", "ScoreCAM"]
    assert torch.equal(both["CAM"].correction, correctors["CAM"].correct(tiny_images).correction)


ZOOM = ("zoom[threshold=0.3,map=merged]", "zoom[threshold=0.5]", "hflip", "whole")


def zooming(net, **options):
    return ProbabilityCorrector(net, "CAM", "act", **{"views": ZOOM, "preprocessing": preprocessing(), **options})


def test_a_zoom_does_not_depend_on_the_batch_and_its_order(tiny_net):
    corrector = zooming(tiny_net, top_k=3, batch_size=7)
    result = corrector.correct(photos(), keep=KEEP)
    backwards = corrector.correct(photos()[::-1], keep=KEEP)
    alone = [corrector.correct(image, keep=KEEP) for image in photos()]
    for field in ("correction", "corrected_probs", "forwards", "saved", *KEEP):
        whole = getattr(result, field)
        torch.testing.assert_close(getattr(backwards, field).flip(0), whole, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.cat([getattr(each, field) for each in alone]), whole, rtol=0, atol=1e-5)


def test_many_pictures_go_in_several_batches(tiny_net, monkeypatch):
    corrector = zooming(tiny_net, top_k=3)
    expected = corrector.correct(photos())
    monkeypatch.setattr("maskcorrect_plugin.together.PICTURES_AT_ONCE", 4)
    torch.testing.assert_close(corrector.correct(photos()).correction, expected.correction, rtol=0, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("threshold", "margin", "min_side"), [(0.3, 0.05, 0.25), (0.8, 0.5, 0.6), (0.9, 0, 0.25)])
def test_a_zoom_is_what_pillow_cuts_out_of_the_file(device, interpolation, threshold, margin, min_side):
    """By a merged map: threshold, box, margin, to the original, clipped, enlarged, cut, normalised, asked, summed."""
    net = make_tiny_net().to(device)
    view = f"zoom[threshold={threshold},margin={margin},min_side={min_side},map=merged]"
    corrector = ProbabilityCorrector(
        net, Bump(net), views=view, top_k=3, preprocessing=preprocessing(interpolation), batch_size=4
    )
    result = corrector.correct(photos(), keep=KEEP).to("cpu")
    assert (result.forwards == 2).all()
    for row, image in enumerate(photos()):
        inputs = preprocessing(interpolation).transform(image)
        probs = answers(net, inputs[None].to(device))[0].cpu()
        weights = probs.sort(descending=True).values[:3]
        merged = sum(weight * each for weight, each in zip(weights, result.attributions[row], strict=True))
        merged = (merged - merged.min()) / (merged.max() - merged.min())
        found = occupied(merged.tolist(), threshold, margin)
        box = in_the_original(found, image.size, min_side)
        pixels = np.asarray(image.resize((16, 16), Image.Resampling[interpolation.upper()], box=box)) / 255.0
        shown = torch.from_numpy((pixels - np.array(MEAN)) / np.array(STD)).permute(2, 0, 1).float()
        again = answers(net, shown[None].to(device))[0].cpu()
        torch.testing.assert_close(result.view_probs[row, 0], again, rtol=0, atol=1e-5)
        torch.testing.assert_close(result.corrected_probs[row], (probs + again) / 2, rtol=0, atol=1e-5)


def occupied(rows, threshold, margin):
    """Box of a map's values above the threshold, with the margin, inside 16 x 16."""
    down = [y for y, row in enumerate(rows) if max(row) > threshold]
    across = [x for x in range(16) if max(row[x] for row in rows) > threshold]
    sides = []
    for low, high in ((across[0], across[-1] + 1), (down[0], down[-1] + 1)):
        pad = round(margin * (high - low))
        sides.append((max(0, low - pad), min(16, high + pad)))
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def in_the_original(box, size, min_side):
    """From 16 x 16 in the middle of a picture whose shorter side is 20, to its original pixels."""
    width, height = size
    scaled = [20 * width // min(size), 20 * height // min(size)]  # torchvision rounds the longer side down
    start = [round((side - 16) / 2) for side in scaled]
    low, high = [], []
    for axis, extent in enumerate(size):
        ends = [(start[axis] + end) * extent / scaled[axis] for end in (box[axis], box[axis + 2])]
        ends = [min(max(end, 0), extent) for end in ends]
        smallest = max(min_side * min(size), 1)
        if ends[1] - ends[0] < smallest:
            begin = min(max(sum(ends) / 2 - smallest / 2, 0), extent - smallest)
            ends = [begin, begin + smallest]
        low.append(ends[0])
        high.append(ends[1])
    return (*low, *high)


def test_pictures_and_their_tensors_give_the_same_where_no_view_needs_the_original(tiny_net):
    corrector = ProbabilityCorrector(tiny_net, "CAM", "act", views=("mask", "hflip"), preprocessing=preprocessing())
    inputs = torch.stack([preprocessing().transform(image) for image in photos()])
    by_tensor, by_image = corrector.correct(inputs), corrector.correct(photos())
    by_picture = corrector.correct([Picture.of(image, preprocessing()) for image in photos()])
    assert torch.equal(by_tensor.correction, by_image.correction)
    assert torch.equal(by_tensor.correction, by_picture.correction)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_of_every_mode_are_taken_as_rgb(tiny_net, mode):
    image = photo().convert(mode)
    for corrector in (zooming(tiny_net), zooming(tiny_net, views="mask")):
        expected = corrector.correct(image.convert("RGB"))
        assert torch.equal(corrector.correct([image]).correction, expected.correction)


@pytest.mark.parametrize(
    ("options", "inputs", "message"),
    [
        ({}, images(2, (16, 16)), "cut from the original pictures, but only tensors were given; pass PIL images"),
        ({"preprocessing": None}, photos(), "preprocessing must be given where inputs are pictures"),
        ({"preprocessing": None}, images(2, (16, 16)), "only tensors were given"),
        ({}, [photo(), "b.jpg"], r"inputs must be PIL images or Pictures, but inputs\[1\] is str"),
        ({}, [], "inputs must hold at least one picture"),
        ({"views": ("mask", "random_crops")}, photos(), "ids must be given for view 'random_crops'"),
    ],
)
def test_what_cannot_be_zoomed_is_refused_before_any_forward(tiny_net, options, inputs, message):
    corrector = zooming(tiny_net, **options)
    counter = Counter(tiny_net)
    with pytest.raises((ValueError, TypeError), match=message):
        corrector.correct(inputs)
    assert counter.inputs == 0


def test_no_thread_is_left_behind_and_an_error_while_cutting_comes_as_it_is(tiny_net, monkeypatch):
    tiny_net.train()
    flags = [module.training for module in tiny_net.modules()]
    corrector, before = zooming(tiny_net, top_k=2), set(threading.enumerate())
    expected = corrector.correct(photos())
    assert set(threading.enumerate()) == before
    calls = []

    def broken(*arguments):
        calls.append(arguments)
        raise OSError("image file is truncated")

    with monkeypatch.context() as patched:
        patched.setattr("maskcorrect_plugin.second_pass.cut", broken)
        with pytest.raises(OSError, match="image file is truncated"):
            corrector.correct(photos())
    assert calls and set(threading.enumerate()) == before
    assert [module.training for module in tiny_net.modules()] == flags
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_net.modules())
    assert torch.equal(corrector.correct(photos()).correction, expected.correction)


def test_memory_that_runs_out_while_pictures_are_shown_halves_the_batch(tiny_net):
    expected = zooming(tiny_net).correct(photos())

    def limited(_module, args):
        if len(args[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = tiny_net.register_forward_pre_hook(limited)
    result = zooming(tiny_net, batch_size=8).correct(photos())
    handle.remove()
    torch.testing.assert_close(result.corrected_probs, expected.corrected_probs, rtol=0, atol=1e-5)
    assert torch.equal(result.forwards, expected.forwards)


def test_correctors_made_together_share_engine_and_equal_methods(tiny_net):
    recipes = {
        str(number): PAPER.replace(**{"target_layer": "act", **recipe}) for number, recipe in enumerate(RECIPES[:-1])
    }
    made = make_correctors(tiny_net, recipes, batch_size=5)
    assert [corrector.recipe for corrector in made.values()] == list(recipes.values())
    assert len({id(corrector.engine) for corrector in made.values()}) == 1
    assert len({id(corrector.method) for corrector in made.values() if corrector.method is not None}) == 2
    assert made["0"].method is made["4"].method and made["5"].method is made["6"].method
