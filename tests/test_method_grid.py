"""The figure of one image by several methods: the right maps, the right answers, and nothing overlaps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import images, make_tiny_net
from drawn import check_layout, texts

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.visualization import draw_methods
from maskcorrect_plugin.visualization.pictures import as_picture, overlay

NAMES = ("tench", "red fox", "grey fox", "lynx", "ibex")
LONG = "pytorch_grad_cam:GradCAMElementWise of $\\alpha_1$ a-very-long_and_{unbroken}_name_that_never_ends "


def corrected(method="CAM", model=None, inputs=None, **options):
    model = make_tiny_net() if model is None else model
    inputs = images() if inputs is None else inputs
    options = {"target_layer": "act", "top_k": 3, **options}
    return ProbabilityCorrector(model, method, **options).correct(inputs, keep=("attributions",))


def picture(index=0, inputs=None):
    return (images() if inputs is None else inputs)[index].sigmoid()


def drawn_maps(figure):
    """The pictures, in the order drawn, without the scale."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images and axes.axison]


def with_answer(result, probs, after):
    return replace(result, probs=torch.tensor([probs]), corrected_probs=torch.tensor([after]))


def test_each_method_has_its_own_map_of_the_same_class():
    results = {"CAM": corrected(), "ScoreCAM": corrected("ScoreCAM")}
    shown = drawn_maps(draw_methods(picture(1), results, 1, num_maps=2))
    source = as_picture(picture(1))
    expected = [source]
    for result in results.values():
        expected += [overlay(source, result.attributions[1, k].numpy()) for k in range(2)]
    assert len(shown) == len(expected)
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_class_is_found_wherever_it_stands_among_the_candidates():
    first = corrected()
    turned = replace(first, candidates=first.candidates.flip(1), attributions=first.attributions.flip(1))
    _, straight, same = drawn_maps(draw_methods(picture(), {"first": first, "turned": turned}))
    np.testing.assert_array_equal(straight, same)
    other = replace(first, candidates=(first.candidates + 5))
    assert "no candidate" in texts(draw_methods(picture(), {"first": first, "other": other}))


def test_answers_and_probabilities_stand_below():
    first = corrected(inputs=images(1))
    result = with_answer(first, [0.5, 0.3, 0.2, 0.0, 0.0], [0.2, 0.6, 0.2, 0.0, 0.0])
    result = replace(result, candidates=torch.tensor([[0, 1, 2]]))
    figure = draw_methods(picture(), {"CAM": result}, class_names=NAMES)
    assert {"tench\n0.500", "red fox\n0.600", "changed", "map of\ntench\n0.500 before"} <= set(texts(figure))


@pytest.mark.parametrize(
    ("label", "after", "word"),
    [(0, [0.7, 0.3], "both right"), (1, [0.7, 0.3], "both wrong"), (0, [0.3, 0.7], "broken"), (1, [0.3, 0.7], "fixed")],
)
def test_the_outcome_is_named_where_the_truth_is_known(label, after, word):
    result = corrected(model=make_tiny_net(num_classes=2), inputs=images(1), top_k=2)
    figure = draw_methods(picture(), {"CAM": with_answer(result, [0.6, 0.4], after)}, label=label)
    assert word in texts(figure) and f"true class: class {label}" in texts(figure)


def test_what_has_no_map_says_so():
    flip = ProbabilityCorrector(make_tiny_net(), views="hflip", top_k=3).correct(images(), keep=("attributions",))
    flat = corrected()
    flat = replace(flat, flat=torch.ones_like(flat.flat))
    passed = corrected(max_gap=0.0)
    figure = draw_methods(picture(), {"CAM": corrected(), "flip": flip, "flat": flat, "passed": passed})
    assert {"no map", "flat map:\nshown unchanged", "passed unchanged"} <= set(texts(figure))


@pytest.mark.parametrize("size", [(16, 20), (12, 40), (40, 12)])
@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_nothing_overlaps_and_nothing_is_cut_off(count, size):
    inputs = images(1, size)
    result = corrected(model=make_tiny_net(num_classes=12), inputs=inputs)
    for name, names in (("CAM", None), (LONG, [LONG + str(index) for index in range(12)])):
        results = {f"{name}{index}": result for index in range(count)}
        for label in (None, 3):
            check_layout(draw_methods(picture(0, inputs), results, num_maps=2, class_names=names, label=label))


def test_arguments_are_checked():
    result = corrected()
    with pytest.raises(ValueError, match="at least one method, got none"):
        draw_methods(picture(), {})
    with pytest.raises(ValueError, match="num_maps must be"):
        draw_methods(picture(), {"CAM": result}, num_maps=4)
    with pytest.raises(ValueError, match="image must be as large as the maps"):
        draw_methods(picture(0, images(1, (8, 8))), {"CAM": result})
    other = corrected(model=make_tiny_net(num_classes=7))
    with pytest.raises(ValueError, match=r"same model and images, but 'other' has probabilities \(3, 7\)"):
        draw_methods(picture(), {"CAM": result, "other": other})
    bare = replace(result, attributions=None)
    with pytest.raises(ValueError, match="must hold its attributions"):
        draw_methods(picture(), {"CAM": result, "bare": bare})
