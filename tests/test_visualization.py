import os
import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from conftest import images, make_tiny_net
from drawn import check_layout, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.functional import merged_map
from maskcorrect_plugin.models import Preprocessing
from maskcorrect_plugin.pictures import Box, Picture
from maskcorrect_plugin.views import MaskView
from maskcorrect_plugin.visualization import (
    RenderedViews,
    denormalize,
    draw_correction,
    draw_outcome,
    render_views,
    save_figure,
)
from maskcorrect_plugin.visualization.correction_case import display_names, number
from maskcorrect_plugin.visualization.palette import COLORS, text_width, wrap
from maskcorrect_plugin.visualization.pictures import MAX_SHOWN, as_picture, overlay

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.25)
KEEP = ("attributions", "view_probs")
NAMES = ("tench", "red fox", "grey fox", "lynx", "ibex")
COUNTS = {"fixed": 538, "broken": 464, "both_right": 3553, "both_wrong": 7936}


def corrected(model=None, inputs=None, **options):
    model = make_tiny_net() if model is None else model
    inputs = images() if inputs is None else inputs
    corrector = ProbabilityCorrector(model, "CAM", target_layer="act", **{"top_k": 3, **options})
    return corrector, inputs, corrector.correct(inputs, keep=KEEP)


def drawn(corrector, inputs, result, index=0, **options):
    row = inputs[index]
    views = render_views(corrector, row, result, index, MEAN, STD)
    return draw_correction(denormalize(row, MEAN, STD), result, index, **{"view_images": views, **options})


def shown(*arguments, view=0):
    """What one view showed."""
    return render_views(*arguments).views[view].images


def bars_of(figure):
    axes = next(axes for axes in figure.axes if axes.patches and not axes.images)
    return {color: [bar.get_width() for bar in axes.patches if to_hex(bar.get_facecolor()) == COLORS[color].lower()]
            for color in ("before", "after")}, axes  # fmt: skip


def with_probs(result, before, after):
    """The first image of a result with other probabilities before and after."""
    probs, corrected_probs = result.probs.clone(), result.corrected_probs.clone()
    probs[0], corrected_probs[0] = torch.tensor(before), torch.tensor(after)
    return replace(result, probs=probs, corrected_probs=corrected_probs)


def test_titles_hold_name_and_probability_and_captions_what_the_network_then_said():
    corrector, inputs, result = corrected()
    figure = drawn(corrector, inputs, result, 1, class_names=NAMES)
    titles = [axes.get_title() for axes in figure.axes]
    captions = [axes.get_xlabel() for axes in figure.axes]
    for k, candidate in enumerate(result.candidates[1].tolist()):
        assert f"{NAMES[candidate]}\n{float(result.probs[1, candidate]):.3f}" in titles
        said = result.view_probs[1, k]
        caption = next(text for text in captions if text.startswith(f"asked again: {number(float(said[candidate]))}"))
        answer = int(said.argmax())
        assert (f"→ {NAMES[answer]} {number(float(said[answer]))}" in caption) == (answer != candidate)


@pytest.mark.parametrize(
    ("top_k", "views", "axes"), [(3, True, 1 + 6 + 2), (3, False, 1 + 3 + 2), (1, True, 1 + 2 + 2)]
)
def test_one_axes_for_each_panel_the_bars_and_the_colours(top_k, views, axes):
    corrector, inputs, result = corrected(top_k=top_k)
    options = {} if views else {"view_images": None}
    assert len(drawn(corrector, inputs, result, **options).axes) == axes


def test_bars_are_as_long_as_the_probabilities():
    corrector, inputs, result = corrected()
    lengths, axes = bars_of(drawn(corrector, inputs, result, class_names=NAMES))
    order = [NAMES.index(label.get_text()) for label in axes.get_yticklabels()]
    assert sorted(order) == list(range(5))  # five classes: all of them are among the top five
    np.testing.assert_allclose(lengths["before"], result.probs[0, order], rtol=1e-6)
    np.testing.assert_allclose(lengths["after"], result.corrected_probs[0, order], rtol=1e-6)
    assert lengths["before"] == sorted(lengths["before"], reverse=True)
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > max(lengths["before"] + lengths["after"])


def test_a_changed_answer_is_marked():
    corrector, inputs, result = corrected()
    result = with_probs(result, [0.6, 0.3, 0.05, 0.03, 0.02], [0.3, 0.6, 0.05, 0.03, 0.02])
    figure = drawn(corrector, inputs, result, class_names=NAMES, label=1)
    assert "Answer changed: tench → red fox" in texts(figure)
    _, axes = bars_of(figure)
    assert [text.get_text() for text in axes.texts if "answer" in text.get_text()] == [
        "0.600  old answer",
        "0.600  new answer",
    ]
    assert "red fox (true class)" in [label.get_text() for label in axes.get_yticklabels()]
    assert "fixed" in texts(figure)


@pytest.mark.parametrize(
    ("label", "after", "word"),
    [(0, [0.7, 0.3], "both right"), (1, [0.7, 0.3], "both wrong"), (0, [0.3, 0.7], "broken"), (1, [0.3, 0.7], "fixed")],
)
def test_the_outcome_is_named_in_its_colour(label, after, word):
    corrector, inputs, result = corrected(make_tiny_net(num_classes=2), top_k=2)
    figure = drawn(corrector, inputs, with_probs(result, [0.6, 0.4], after), label=label)
    square = next(item for item in figure.texts if item.get_text() == "■")
    assert square.get_color() == COLORS[word.replace(" ", "_")]
    assert word in texts(figure)
    assert any("gap p1 − p2".replace(" ", "\N{NO-BREAK SPACE}") in text for text in texts(figure))


def test_classes_without_weight_are_left_out_but_never_the_true_one():
    corrector, inputs, result = corrected()
    result = with_probs(result, [0.7, 0.299, 0.0004, 0.0003, 0.0003], [0.8, 0.199, 0.0004, 0.0003, 0.0003])
    _, axes = bars_of(drawn(corrector, inputs, result, class_names=NAMES))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["tench", "red fox"]
    _, axes = bars_of(drawn(corrector, inputs, result, class_names=NAMES, label=4))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["tench", "red fox", "ibex (true class)"]


def test_a_flat_map_says_so_and_shows_the_picture_unchanged():
    corrector, inputs, result = corrected()
    maps, flat = result.attributions.clone(), result.flat.clone()
    maps[0, 1], flat[0, 1] = 0, True
    result = replace(result, attributions=maps, flat=flat)
    figure = drawn(corrector, inputs, result)
    assert texts(figure).count("flat map:\nshown unchanged") == 1
    picture = denormalize(inputs[0], MEAN, STD)
    arrays = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    same = [np.allclose(array, picture.permute(1, 2, 0), atol=1e-6) for array in arrays if array.shape[:2] == (16, 20)]
    assert same == [True, False, False, True, True, False, False]  # input, then map and view of each candidate
    torch.testing.assert_close(shown(corrector, inputs[0], result, 0, MEAN, STD)[1], picture)


def test_an_image_passed_unchanged_gets_a_figure_that_says_so():
    corrector, inputs, result = corrected(max_gap=0.0)
    figure = drawn(corrector, inputs, result, class_names=NAMES)
    lengths, _ = bars_of(figure)
    assert len(figure.axes) == 2
    assert lengths["after"] == []
    assert any(text.startswith("Passed unchanged") for text in texts(figure))
    assert any("is not below max_gap = 0.0" in " ".join(text.split()) for text in texts(figure))


def test_more_candidates_than_fit_are_counted():
    model = make_tiny_net(num_classes=14)
    corrector, inputs, result = corrected(model, top_k=13)
    assert len(shown(corrector, inputs[0], result, 0, MEAN, STD)) == MAX_SHOWN
    figure = drawn(corrector, inputs, result)
    assert sum(axes.get_xlabel().startswith("asked again") for axes in figure.axes) == MAX_SHOWN
    assert any("+ 3 more candidates not shown" in " ".join(text.split()) for text in texts(figure))


LONG = "American Staffordshire terrier of $\\alpha_1$ a-very-long_and_{unbroken}_name_that_never_ends_anywhere_at_all "


@pytest.mark.parametrize("size", [(16, 20), (12, 40), (40, 12)])
@pytest.mark.parametrize("top_k", [1, 2, 3, 6, 11])
def test_nothing_overlaps_and_nothing_is_cut_off(top_k, size):
    model = make_tiny_net(num_classes=12)
    corrector, inputs, result = corrected(model, images(1, size), top_k=top_k)
    for names in (None, [LONG + str(index) for index in range(12)]):
        figure = drawn(corrector, inputs, result, class_names=names, label=3)
        check_layout(figure)


@pytest.mark.parametrize("options", [{}, {"view": "crop"}, {"fill": "blur"}, {"fill": "mean"}])
def test_views_are_what_the_network_was_shown(device, options):
    model, inputs = make_tiny_net().to(device), images().to(device)
    corrector, _, result = corrected(model, inputs, **options)
    views = shown(corrector, inputs[2], result, 2, (0.5,) * 3, (0.05,) * 3)  # ten sigma: nothing is cut
    probs = model((views - 0.5) / 0.05).softmax(dim=-1)
    torch.testing.assert_close(probs, result.view_probs[2], rtol=1e-4, atol=1e-5)


def test_a_batched_row_is_the_same_row():
    corrector, inputs, result = corrected()
    views = [shown(corrector, row, result, 1, MEAN, STD) for row in (inputs[1], inputs[1:2])]
    torch.testing.assert_close(*views, rtol=0, atol=0)


def test_a_view_of_ones_own_is_asked():
    class Upside(MaskView):
        name = "upside down"

        def render(self, inputs, maps=None, prepared=None):
            return inputs.flip(-2)

    corrector, inputs, result = corrected(view=Upside())
    views = shown(corrector, inputs[0], result, 0, MEAN, STD)
    torch.testing.assert_close(views[0], denormalize(inputs[0].flip(-2), MEAN, STD))


SIZE, SIDE = (36, 48), 20
"""Of the photographs of these tests, (height, width), and of what the network takes of their middle."""


def photograph(seed=0):
    """A picture of a photograph: the network's input is its middle, reduced by nothing."""
    pixels = torch.randint(0, 255, (3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    top, left = (SIZE[0] - SIDE) // 2, (SIZE[1] - SIDE) // 2
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    inputs = (pixels[:, top : top + SIDE, left : left + SIDE] / 255 - mean) / std
    return Picture(inputs, pixels, Box(left, top, left + SIDE, top + SIDE), SIZE)


def of_photograph(views, model=None, method="CAM", **options):
    preprocessing = Preprocessing(lambda image: None, MEAN, STD, geometry=Anywhere())
    arguments = {"target_layer": "act"} if method else {}
    corrector = ProbabilityCorrector(
        make_tiny_net() if model is None else model, method, views=views, preprocessing=preprocessing,
        **{"top_k": 3, **arguments, **options},
    )  # fmt: skip
    picture = photograph()
    return corrector, picture, corrector.correct([picture], ids=["x"], keep=KEEP)


class Anywhere:
    def locate(self, size):
        return Box(0, 0, *size)


RECIPES = [
    (("zoom[threshold=0.3,map=merged]", "zoom[threshold=0.5,map=merged]", "hflip", "whole"), {}),
    (("zoom[threshold=0.4]",), {"top_k": 2}),
    (("mask", "crop", "hflip"), {"top_k": 4}),
    (("mask[map=merged]",), {}),
    (("ten_crop", "random_crops[n=12]"), {"method": None}),
    (("center", "hflip"), {"method": None}),
    (("mask", "corners"), {"top_k": 11, "pool": "log", "view_weights": (0.5, 2)}),
]


@pytest.mark.parametrize(("views", "options"), RECIPES)
def test_every_recipe_has_a_figure_in_which_nothing_overlaps(views, options):
    model = make_tiny_net(num_classes=12)
    corrector, picture, result = of_photograph(views, model, **options)
    rendered = render_views(corrector, picture, result, image_id="x")
    names = [LONG + str(index) for index in range(12)]
    for view_images, class_names in ((rendered, names), (None, None)):
        check_layout(draw_correction(rendered.input, result, class_names=class_names, view_images=view_images, label=3))


@pytest.mark.parametrize(("views", "options"), RECIPES)
def test_pictures_of_every_view_are_what_the_network_was_shown(views, options):
    model = make_tiny_net(num_classes=12)
    corrector, picture, result = of_photograph(views, model, **options)
    rendered = render_views(corrector, picture, result, image_id="x")
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    for view, made in enumerate(rendered.views):
        probs = model((made.images - mean) / std).softmax(dim=-1)
        known = result.view_probs[0, result.columns_of(view)][: len(probs)]
        torch.testing.assert_close(probs, known, rtol=1e-3, atol=1e-4)


def test_what_was_cut_out_of_the_original_stands_beside_it_with_its_boxes():
    corrector, picture, result = of_photograph(("zoom[threshold=0.5,map=merged]", "whole", "hflip"))
    rendered = render_views(corrector, picture, result)
    figure = draw_correction(rendered.input, result, view_images=rendered)
    titles = {axes.get_title(): axes for axes in figure.axes}
    assert {"original", "merged map", "zoom 0.5", "whole", "hflip"} <= set(titles)
    original = titles["original"]
    assert original.images[0].get_array().shape == (*SIZE, 3)
    boxes = [(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in original.patches]
    assert rendered.views[0].boxes[0] != rendered.views[1].boxes[0] and rendered.views[2].boxes == (None,)
    expected = [picture.box, rendered.views[0].boxes[0], rendered.views[1].boxes[0]]
    assert boxes == [
        pytest.approx((box.left - 0.5, box.top - 0.5, box.right - box.left, box.bottom - box.top)) for box in expected
    ]
    frames = [titles[name].spines["left"].get_edgecolor() for name in ("zoom 0.5", "whole")]
    assert frames == [patch.get_edgecolor() for patch in original.patches[1:]]


def test_each_picture_says_what_the_network_said_to_it():
    corrector, picture, result = of_photograph(("mask[map=merged]", "hflip", "corners"))
    rendered = render_views(corrector, picture, result)
    figure = draw_correction(rendered.input, result, class_names=NAMES, view_images=rendered)
    captions = {axes.get_title(): axes.get_xlabel() for axes in figure.axes}
    labels = ["mask 0.1", "hflip", *(f"corners ({position})" for position in range(1, 5))]
    for label, probs in zip(labels, result.view_probs[0], strict=True):
        assert captions[label] == f"{NAMES[int(probs.argmax())]}\n{number(float(probs.max()))}"
    bare = " ".join(texts(draw_correction(rendered.input, result, class_names=NAMES)))
    for label, probs in zip(labels, result.view_probs[0], strict=True):
        assert f"{label}: {NAMES[int(probs.argmax())]} {number(float(probs.max()))}" in " ".join(bare.split())


def test_the_merged_map_is_the_one_that_was_followed():
    corrector, picture, result = of_photograph(("mask[map=merged]",))
    rendered = render_views(corrector, picture, result)
    figure = draw_correction(rendered.input, result, view_images=rendered)
    merged = merged_map(result.attributions, result.probs.gather(1, result.candidates))[0, 0]
    axes = next(axes for axes in figure.axes if axes.get_title() == "merged map")
    expected = overlay(as_picture(rendered.input), merged.numpy())
    np.testing.assert_allclose(axes.images[0].get_array(), expected, atol=1e-5)


def test_denormalize_undoes_the_normalisation_and_cuts():
    pixels = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    torch.testing.assert_close(denormalize((pixels - mean) / std, MEAN, STD), pixels)
    assert denormalize(torch.tensor([[[9.0]], [[-9.0]], [[0.0]]]), MEAN, STD).flatten().tolist() == pytest.approx(
        [1, 0, 0.3]
    )


def test_pictures_of_every_kind_give_the_same_figure():
    _, inputs, result = corrected()
    array = (denormalize(inputs[0], MEAN, STD).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    tensor = torch.from_numpy(array).permute(2, 0, 1).float() / 255
    shown = [
        draw_correction(picture, result).axes[0].images[0].get_array()
        for picture in (array, tensor, Image.fromarray(array))
    ]
    np.testing.assert_allclose(shown[0], shown[1], atol=1e-6)
    np.testing.assert_allclose(shown[0], shown[2], atol=1e-6)


def test_overlays_keep_the_picture_readable_and_follow_the_map():
    picture = np.random.default_rng(0).random((8, 8, 3), dtype=np.float32)
    low, high = (overlay(picture, np.full((8, 8), value, dtype=np.float32)) for value in (0, 1))
    assert low.min() >= 0
    assert high.max() <= 1
    assert (high.mean(axis=-1) > low.mean(axis=-1)).all()
    for layer in (low, high):  # brighter places stay brighter
        assert np.corrcoef(layer.mean(axis=-1).ravel(), (picture @ [0.2126, 0.7152, 0.0722]).ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": torch.rand(3, 8, 8)}, r"image must be as large .*\(16, 20\) .*\(8, 8\)"),
        ({"image": torch.randn(3, 16, 20)}, r"image must lie in \[0, 1\]"),
        ({"image": torch.full((3, 16, 20), torch.nan)}, r"image must lie in \[0, 1\]"),
        ({"image": torch.rand(1, 3, 16, 20)}, r"image must be floating point \(3,H,W\)"),
        ({"image": np.zeros((16, 20, 3))}, r"image must be uint8"),
        ({"image": np.zeros((3, 16, 20), np.uint8)}, r"image must be uint8"),
        ({"index": 3}, r"index must be from 0 to 2, got 3"),
        ({"index": -1}, r"index must be from 0 to 2"),
        ({"label": 5}, r"label must be from 0 to 4, got 5"),
        ({"class_names": ["a", "b"]}, r"class_names must hold one name for each of the 5 classes, got 2"),
        ({"view_images": RenderedViews(torch.rand(3, 16, 20), ())}, "view_images must be of the result's 1 views, got"),
    ],
)
def test_wrong_arguments_are_named(change, words):
    _, _, result = corrected()
    arguments = {"image": torch.rand(3, 16, 20), "result": result, **change}
    with pytest.raises(ArgumentError, match=words):
        draw_correction(**arguments)


def test_an_image_that_cannot_be_displayed_is_a_type_error():
    with pytest.raises(ArgumentTypeError, match="image must be"):
        draw_correction("photo.jpg", corrected()[2])
    with pytest.raises(ArgumentTypeError, match="view_images must be what render_views gives, got Tensor"):
        draw_correction(torch.rand(3, 16, 20), corrected()[2], view_images=torch.rand(3, 3, 16, 20))


@pytest.mark.parametrize("name", KEEP)
def test_what_was_not_kept_is_named(name):
    _, _, result = corrected()
    with pytest.raises(ArgumentError, match=f"result must hold its {name}.*keep="):
        draw_correction(torch.rand(3, 16, 20), replace(result, **{name: None}))


def test_wrong_arguments_of_the_helpers_are_named():
    corrector, inputs, result = corrected()
    with pytest.raises(ArgumentError, match="mean and std"):
        denormalize(inputs, None, None)
    with pytest.raises(ArgumentError, match="mean and std must have one value per channel"):
        denormalize(inputs, (0.5,), (0.5,))
    with pytest.raises(ArgumentError, match="image must be one image"):
        render_views(corrector, inputs, result, 0, MEAN, STD)
    with pytest.raises(ArgumentError, match="result must hold its attributions"):
        render_views(corrector, inputs[0], replace(result, attributions=None), 0, MEAN, STD)


def test_synonyms_are_left_out_where_names_stay_unmistakable():
    names = ["tench, Tinca tinca", "crane, bird", "crane, machine", "lynx"]
    assert display_names(names, 4) == ["tench", "crane, bird", "crane, machine", "lynx"]
    assert display_names(None, 2) == ["class 0", "class 1"]
    assert [number(prob) for prob in (0.0, 0.0004, 0.0005, 0.1234, 1.0)] == [
        "0.000",
        "<0.001",
        "0.001",
        "0.123",
        "1.000",
    ]


@pytest.mark.parametrize(
    "text", ["American Staffordshire terrier", "x" * 90, "black-and-tan coonhound of the hills", ""]
)
@pytest.mark.parametrize("lines", [1, 2, 3])
def test_wrapped_text_fits(text, lines):
    wrapped = wrap(text, 1.0, 8, lines).split("\n")
    assert len(wrapped) <= lines
    assert all(text_width(line, 8) <= 1.0 for line in wrapped)
    if not wrapped[-1].endswith("…"):
        assert "".join(wrapped).replace(" ", "") == text.replace(" ", "")


def test_names_of_methods_are_broken_where_their_parts_meet():
    assert wrap("pytorch_grad_cam:GradCAMPlusPlus", 1.5, 8) == "pytorch_grad_cam:\nGradCAMPlusPlus"
    assert wrap("ScoreCAM[max_masks=64]", 1.2, 8) == "ScoreCAM\n[max_masks=64]"
    assert wrap("[max_masks=64]", 0.5, 8).startswith("[max")  # nothing stands before the bracket


def test_outcomes_are_drawn_to_scale_with_their_numbers():
    figure = draw_outcome({"gap < 0.5": COUNTS}, p_values={"gap < 0.5": 0.0211}, title="VGG16")
    (axes,) = figure.axes
    widths = {to_hex(bar.get_facecolor()).upper(): bar.get_width() for bar in axes.patches}
    assert {COLORS[kind]: pytest.approx(count / 12491) for kind, count in COUNTS.items()} == widths
    assert sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches)[-1][1] == pytest.approx(1)
    words = texts(figure)
    assert "accuracy 32.2% → 32.8%   (p = 0.021)" in words  # (3553 + 464) and (3553 + 538) of 12491
    assert "gap < 0.5  (n = 12,491)" in words
    assert {"538 fixed", "464 broken", "3,553 both right", "7,936 both wrong", "VGG16"} <= set(words)


def test_outcomes_go_into_axes_that_are_there():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw_outcome({"a": COUNTS, "b": COUNTS}, axes=right) is figure
    assert len(right.patches) == 8
    assert not left.patches
    with pytest.raises(ArgumentError, match="axes must belong to a matplotlib Figure"):
        draw_outcome({"a": COUNTS}, axes=Figure().subfigures(1, 1).subplots())


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "counts must hold at least one group"),
        ({"all": {**COUNTS, "fixd": 1}}, r"counts\['all'\].*'fixd'; did you mean 'fixed'"),
        ({"all": {"fixed": 1}}, "broken, both_right, both_wrong is missing"),
        ({"all": {**COUNTS, "fixed": -1}}, r"counts\['all'\]\['fixed'\] must be at least 0"),
        ({"all": dict.fromkeys(COUNTS, 0)}, "at least one image"),
    ],
)
def test_wrong_counts_are_named(counts, words):
    with pytest.raises(ArgumentError, match=words):
        draw_outcome(counts)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "PNG"])
def test_saved_files_are_whole_alone_and_reproducible(tmp_path, suffix):
    corrector, inputs, result = corrected()
    file = tmp_path / f"figure.{suffix}"
    file.write_text("older")
    contents = []
    for _ in range(2):
        assert save_figure(drawn(corrector, inputs, result), file) == file
        contents.append(file.read_bytes())
    assert contents[0] == contents[1]
    assert contents[0][:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_nothing_is_cut_off_when_saved(tmp_path):
    figure = draw_outcome({"all": COUNTS})
    with Image.open(save_figure(figure, tmp_path / "outcome.png")) as image:
        pixels = np.asarray(image.convert("L"))
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.min() < 100


def test_a_failed_save_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "figure.png"
    file.write_text("older")
    figure = draw_outcome({"all": COUNTS})

    def fail(path, **_):
        path.write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, file)
    assert file.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "missing/figure.png"])
def test_wrong_paths_are_named(tmp_path, name):
    with pytest.raises(ArgumentError, match="path"):
        save_figure(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_users_style_neither_changes_nor_matters(tmp_path):
    corrector, inputs, result = corrected()
    before = save_figure(drawn(corrector, inputs, result), tmp_path / "before.png").read_bytes()
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white", "font.size": 30}):
        settings = dict(matplotlib.rcParams)
        after = save_figure(drawn(corrector, inputs, result), tmp_path / "after.png").read_bytes()
        assert dict(matplotlib.rcParams) == settings
    assert before == after


def test_pyplot_is_not_even_imported_and_no_figure_stays_open():
    program = (
        "import sys; from maskcorrect_plugin.visualization import draw_outcome, save_figure\n"
        "draw_outcome({'all': dict(fixed=1, broken=2, both_right=3, both_wrong=4)})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    pyplot = pytest.importorskip("matplotlib.pyplot")
    opened = pyplot.get_fignums()
    corrector, inputs, result = corrected()
    drawn(corrector, inputs, result)
    draw_outcome({"all": COUNTS})
    assert pyplot.get_fignums() == opened
