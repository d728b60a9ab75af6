"""Speed against gain: points where they belong, names that keep apart, controls told from methods."""

import dataclasses

import numpy as np
import pytest
from drawn import check_layout, texts
from matplotlib.figure import Figure
from records import random_records

from maskcorrect_plugin.evaluation.summary import summarise
from maskcorrect_plugin.recipe_words import LEAKS, MAP_SOURCE, METHOD, NO_MAP
from maskcorrect_plugin.visualization import draw_cost_gain
from maskcorrect_plugin.visualization.cost_figure import MARKS, shorten, spread
from maskcorrect_plugin.visualization.palette import COLUMN_WIDTH, PAGE_WIDTH

LONG = "captum:IntegratedGradients of $\\alpha_1$ a-very-long_and_{unbroken}_name_that_never_ends_anywhere "


def group_of(forwards, count=60, **options):
    summary = summarise(random_records(count, **options)).overall
    return dataclasses.replace(summary, forwards_per_image=float(forwards))


def points(figure):
    """Cost, gain and interval of each point, and its marker."""
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    return [(line.get_xdata()[1], list(line.get_ydata()), line.get_marker()) for line in lines]


def test_points_stand_at_their_cost_and_gain_with_their_interval():
    groups = {"CAM": group_of(6), "ScoreCAM": group_of(70)}
    for (cost, levels, _), group in zip(points(draw_cost_gain(groups)), groups.values(), strict=True):
        interval = group.interval_difference
        assert cost == pytest.approx(group.forwards_per_image)
        assert levels == pytest.approx([100 * interval.low, 100 * group.outcome.difference, 100 * interval.high])


def test_recipes_of_each_kind_have_marks_of_their_own():
    settings = {
        "zoom": {"method": "CAM"},
        "zoom by another map": {"method": "control:other_image"},
        "control:hflip": {"method": None},
        "oracle": {"method": "control:oracle_class", "leaks": True},
    }
    names = (*settings, "of unknown making")
    figure = draw_cost_gain({name: group_of(6) for name in names}, settings=settings)
    expected = [MARKS[kind]["marker"] for kind in (METHOD, MAP_SOURCE, NO_MAP, LEAKS, METHOD)]
    assert [marker for *_, marker in points(figure)] == expected
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [METHOD, MAP_SOURCE, NO_MAP, LEAKS]


def test_methods_of_one_library_are_told_apart_where_room_is_scarce():
    assert shorten("pytorch_grad_cam:LayerCAM", 2.0) == "pytorch_grad_cam:LayerCAM"
    assert shorten("pytorch_grad_cam:LayerCAM", 1.0) == "…LayerCAM"
    assert shorten("ScoreCAM[max_masks=64]", 1.0).startswith("ScoreCAM[")


def test_equal_costs_are_moved_aside_a_little():
    costs = [cost for cost, *_ in points(draw_cost_gain({f"method {index}": group_of(6) for index in range(3)}))]
    assert len({*costs}) == 3 and all(5 < cost < 7.5 for cost in costs)
    assert costs[1] == pytest.approx(6)


@pytest.mark.parametrize("wanted", [[5.0, 1.0, 1.0, 1.0, 9.9], [0.0] * 7, [3.0], [2.0, 1.0]])
def test_places_keep_their_order_and_distance(wanted):
    places = np.array(spread(wanted, 1.0, 0.0, 10.0))
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(places[order]) >= 1 - 1e-9).all()
    assert places.min() >= 0 and places.max() <= 10
    assert np.abs(places - np.array(wanted)).max() <= len(wanted)


def test_places_move_closer_where_there_is_no_room():
    places = spread([0, 0, 0], 5, 0, 4)
    assert np.allclose(places, [0, 2, 4])


def test_without_labels_the_figure_says_so():
    figure = draw_cost_gain({"CAM": group_of(6, unlabelled=60)})
    assert "no image has a label" in texts(figure)
    check_layout(figure)
    some = draw_cost_gain({"CAM": group_of(6, unlabelled=60), "ScoreCAM": group_of(70)})
    assert len(points(some)) == 1


@pytest.mark.parametrize("costs", [[6], [1, 2], [6] * 14, [2, 6, 6, 6.2, 11, 70, 513, 2817], [513, 514, 2817]])
@pytest.mark.parametrize("name", ["CAM", "control:hflip", LONG])
@pytest.mark.parametrize("width", [PAGE_WIDTH, COLUMN_WIDTH])
def test_nothing_overlaps_and_nothing_is_cut_off(costs, name, width):
    group = group_of(1)
    groups = {
        f"{name} {index}": dataclasses.replace(group, forwards_per_image=float(cost))
        for index, cost in enumerate(costs)
    }
    check_layout(draw_cost_gain(groups, title="MobileNetV2 on the photos", width=width))


def test_it_draws_where_it_is_told():
    figure = Figure(figsize=(8, 4))
    axes = figure.add_axes((0.1, 0.2, 0.4, 0.6))
    assert draw_cost_gain({"CAM": group_of(6)}, axes=axes) is figure
    with pytest.raises(ValueError, match="at least one method"):
        draw_cost_gain({})
