"""Masked inputs: equal to the formula however they are made, and made in the same memory each time."""

import pytest
import torch
import torch.nn.functional as F
from conftest import images
from passes import Largest

from maskcorrect_adapters.masked_inputs import MaskedInputs
from maskcorrect_adapters.presets import PRESETS
from maskcorrect_adapters.upsampling import PRODUCT_LIMIT, upsample_into, upsample_many
from maskcorrect_plugin.functional import scale_maps, upsample

FORMATS = [torch.channels_last, torch.contiguous_format]


def channels(count=5, size=(4, 5), seed=3):
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed))


def maker(inputs, memory_format=torch.channels_last, preset="official", arguments=()):
    return MaskedInputs((inputs,), arguments, PRESETS[preset], lambda like: memory_format)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("small", [(1, 1), (2, 7), (7, 7), (13, 13), (32, 32)])
@pytest.mark.parametrize("size", [(7, 7), (31, 40), (224, 224)])
def test_products_are_bilinear_interpolation(small, size, align_corners):
    """Also where it makes a map smaller, and at one position only."""
    maps = torch.rand(3, *small, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=align_corners)[:, 0]
    given = upsample_many(maps, size, align_corners=align_corners)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    pixels = torch.empty(3, *size, 2)
    upsample_into(pixels, maps, align_corners=align_corners)
    torch.testing.assert_close(pixels, expected[..., None].expand(-1, -1, -1, 2), rtol=0, atol=1e-6)


def test_float64_maps_are_interpolated_in_float64():
    maps = torch.rand(2, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(upsample_many(maps, (9, 9)), upsample(maps[:, None], (9, 9))[:, 0], rtol=0, atol=1e-14)


def test_where_products_would_be_rough_interpolation_is_used(monkeypatch):
    maps = channels()
    expected = upsample(maps[:, None], (16, 20))[:, 0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(upsample_many(maps, (16, 20)), expected)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert torch.equal(upsample_many(maps, (16, 20)), expected)


def test_large_maps_are_interpolated():
    side = int(PRODUCT_LIMIT**0.5) + 1
    maps = channels(2, (side, side))
    assert torch.equal(upsample_many(maps, (80, 80)), upsample(maps[:, None], (80, 80))[:, 0])


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("size", [(4, 5), (33, 40), (16, 20)])
def test_masked_inputs_are_images_times_masks_in_the_format_that_is_wanted(memory_format, size, device):
    inputs, maps = images(3).to(device), channels(size=size).to(device)
    (masked,) = maker(inputs, memory_format)([0, 0, 2, 2, 1], maps)
    expected = inputs[[0, 0, 2, 2, 1]] * scale_maps(upsample(maps[:, None], (16, 20)))
    torch.testing.assert_close(masked, expected, rtol=0, atol=1e-5)
    assert masked.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_masks_reach_zero_and_one_where_they_are_scaled(preset):
    masks = PRESETS[preset].masks(channels(size=(3, 3)), (24, 24))
    assert masks.min() >= -1e-6 and masks.max() <= 1 + 1e-6
    if preset != "torchcam":  # whose channel is scaled before upsampling, which need not reach its extremes
        torch.testing.assert_close(masks.amax((1, 2)), torch.ones(5), rtol=0, atol=1e-6)
        torch.testing.assert_close(masks.amin((1, 2)), torch.zeros(5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_channel_that_is_not_finite_masks_everything_and_harms_no_other(value):
    maps = channels()
    maps[1, 0, 0] = value
    masks = PRESETS["official"].masks(maps, (16, 20))
    assert (masks[1] == 0).all() and torch.isfinite(masks).all() and masks[0].max() == 1


def test_the_same_memory_serves_every_batch_and_no_image_is_copied_for_its_masks():
    make = maker(images(2))
    first = make([0] * 5, channels())[0].data_ptr()
    with Largest() as during:
        assert make([0, 0, 1, 1, 1], channels())[0].data_ptr() == first
        assert make([1] * 3, channels(3))[0].data_ptr() == first
    assert during.numel == 5 * 3 * 16 * 20


def test_after_memory_has_run_out_less_of_it_is_held():
    make = maker(images(1))
    make([0] * 8, channels(8))
    make([0] * 4, channels(4))
    assert make._buffers[0].shape[0] == 4


def test_another_format_is_another_buffer():
    wanted = [torch.channels_last]
    make = MaskedInputs((images(1),), (), PRESETS["official"], lambda like: wanted[0])
    first = make([0] * 5, channels())[0].clone()
    wanted[0] = torch.contiguous_format
    (second,) = make([0] * 5, channels())
    assert second.is_contiguous()
    torch.testing.assert_close(second, first, rtol=0, atol=1e-6)


def test_further_arguments_go_along_row_by_row():
    scale, constant = torch.tensor([1.0, 2.0]), torch.tensor(7.0)
    _, along, same, text = maker(images(2), arguments=(scale, constant, "text"))([0, 1, 1], channels(3))
    assert along.tolist() == [1, 2, 2] and same is constant and text == "text"
