"""Kept maps and thumbnails: what goes in comes out, within the digits and the numbers that were promised."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from lively import COUNT, correctors_of, lively_data, lively_inputs, lively_net, run_lively
from PIL import Image
from torch import nn

from maskcorrect_plugin import RunFolder, evaluate
from maskcorrect_plugin.errors import RunError
from maskcorrect_plugin.evaluation.records.maps import maps_schema, pack_maps, unpack_maps
from maskcorrect_plugin.evaluation.records.parts import read_tables, write_table
from maskcorrect_plugin.evaluation.records.thumbnails import SIDE, kind_of, pack_thumbnail, quota
from maskcorrect_plugin.evaluation.runner import RecordOptions

MAX_GAP = 0.12


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_maps_come_back_with_three_digits_at_any_scale(scale):
    maps = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0)) * scale
    back = unpack_maps(pack_maps(maps))
    assert back.shape == maps.shape and back.dtype == torch.float32
    largest = maps.abs().amax(dim=(1, 2), keepdim=True)
    assert ((back - maps).abs() / largest).max() < 2**-11


def test_a_map_without_information_stays_one():
    maps = torch.stack([torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.tensor([[1.0, torch.inf], [0, 0]])])
    assert torch.equal(unpack_maps(pack_maps(maps)), torch.zeros(3, 2, 2))


def test_maps_survive_parquet_and_pandas(tmp_path):
    maps = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    write_table(tmp_path / "maps.parquet", [{"index": 7, "id": "a", **pack_maps(maps)}], maps_schema(), {})
    for records in (read_tables([tmp_path / "maps.parquet"]), pd.read_parquet(tmp_path / "maps.parquet")):
        torch.testing.assert_close(unpack_maps(records.iloc[0]), maps, atol=2e-3, rtol=0)


@pytest.mark.parametrize(("parts", "limit"), [(1, 5), (4, 10), (7, 3), (1563, 200), (5, 0)])
def test_quotas_add_up_to_the_limit_and_are_spread_evenly(parts, limit):
    quotas = [quota(part, parts, limit) for part in range(parts)]
    assert sum(quotas) == limit
    assert max(quotas) - min(quotas) <= 1


def test_kinds_say_what_became_of_the_answer():
    assert [kind_of(True, right, right_after) for right, right_after in ((False, True), (True, False))] == [
        "fixed",
        "broken",
    ]
    assert kind_of(True, False, False) == kind_of(True, None, None) == "changed"
    assert kind_of(False, True, True) is None and kind_of(False, None, None) is None


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize(("size", "expected"), [((300, 200), (160, 107)), ((12, 400), (5, 160)), ((30, 20), (30, 20))])
def test_pictures_fit_into_the_side_and_are_never_enlarged(size, expected):
    width, height = size
    packed = pack_thumbnail(torch.rand(3, height, width), torch.rand(7, height, width))
    image = opened(packed["image"])
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected)
    maps = [opened(data) for data in packed["maps"]]
    assert [(each.format, each.mode, each.size) for each in maps] == [("PNG", "L", expected)] * 5
    assert max(expected) <= SIDE


def test_pictures_show_what_the_network_was_shown():
    picture = torch.zeros(3, 8, 8)
    picture[0] = 1
    red = np.asarray(opened(pack_thumbnail(picture, None)["image"])).astype(int)
    assert (red[..., 0] > 240).all() and (red[..., 1:] < 15).all()
    ramp = torch.linspace(0, 1, 8).repeat(8, 1)
    values = np.asarray(opened(pack_thumbnail(picture, ramp[None])["maps"][0]))
    np.testing.assert_array_equal(values[0], np.round(np.linspace(0, 1, 8) * 255))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_inputs_that_are_no_colours_are_shown_grey(channels):
    picture = torch.full((channels, 8, 8), 0.5)
    image = opened(pack_thumbnail(picture, None)["image"])
    assert image.mode == "L" and abs(int(np.asarray(image)[4, 4]) - 128) <= 2


def changed_kinds(records):
    """Kind of each image whose answer changed, from the records alone."""
    kinds = {}
    for _, row in records[records["changed"]].iterrows():
        after, before = row["label_rank_after"] == 1, row["label_rank_before"] == 1
        kinds[row["id"]] = "fixed" if after else "broken" if before else "changed"
    return kinds


@pytest.fixture(scope="module")
def all_changed(tmp_path_factory):
    """A run that keeps a picture of every changed image, and its records."""
    folder = tmp_path_factory.mktemp("pictures") / "all"
    _, _, records = run_lively(folder, ("CAM", "control:hflip"), thumbnails=4 * COUNT)
    return RunFolder.open(folder), records


def test_a_large_limit_keeps_every_changed_image_with_its_kind(all_changed):
    folder, records = all_changed
    for method in folder.methods:
        kept = folder.thumbnails(method)
        assert dict(zip(kept["id"], kept["kind"], strict=True)) == changed_kinds(records[method])
        assert len(kept) > 2
    assert set(folder.thumbnails("CAM")["kind"]) == {"fixed", "broken", "changed"}
    assert {len(maps) for maps in folder.thumbnails("CAM")["maps"]} == {3}
    assert {len(maps) for maps in folder.thumbnails("control:hflip")["maps"]} == {0}


def test_kept_pictures_show_the_image_and_its_maps(all_changed):
    folder, _ = all_changed
    corrector = correctors_of(lively_net())["CAM"]
    row = folder.thumbnails("CAM").iloc[0]
    inputs = lively_inputs()[[row["index"]]]
    expected = corrector.correct(inputs, keep=("attributions",)).attributions[0]
    for shown, attribution in zip(row["maps"], expected, strict=True):
        np.testing.assert_allclose(np.asarray(opened(shown)) / 255, attribution.numpy(), atol=1 / 255)
    assert opened(row["image"]).size == (20, 16)


def test_a_small_limit_keeps_the_most_telling_of_each_part(all_changed, tmp_path):
    _, records = all_changed
    run_lively(tmp_path / "few", ("CAM",), thumbnails=3)
    few = RunFolder.open(tmp_path / "few")
    kept = few.thumbnails("CAM")
    assert 0 < len(kept) <= 3
    rows = records["CAM"].set_index("id")
    moved = (rows["label_prob_after"] - rows["label_prob_before"]).abs()
    kinds = changed_kinds(records["CAM"])
    for part in range(few.manifest.num_parts):
        here = [str(index) for index in few.manifest.part(part) if str(index) in kinds]
        here.sort(key=lambda name: (kinds[name] == "changed", -moved[name]))
        own = kept[kept["id"].isin(here)]
        assert own["id"].tolist() == here[: quota(part, few.manifest.num_parts, 3)]


def test_a_run_that_keeps_none_says_so(tmp_path):
    run_lively(tmp_path / "run", ("CAM",))
    folder = RunFolder.open(tmp_path / "run")
    assert sorted(path.name for path in folder.path.iterdir()) == ["records", "run.json"]
    with pytest.raises(RunError, match="keeps no thumbnails"):
        folder.thumbnails("CAM")
    with pytest.raises(RunError, match="keeps no maps"):
        folder.maps("CAM")


def test_kept_maps_are_those_of_the_corrector_and_of_corrected_images_only(tmp_path):
    net = lively_net()
    data = lively_data(net)
    corrector = correctors_of(net, max_gap=MAX_GAP)["CAM"]
    options = RecordOptions(images_per_part=7, keep_maps=True)
    records = evaluate(corrector, data, net, tmp_path / "run", options=options)["CAM"]
    kept = RunFolder.open(tmp_path / "run").maps("CAM")
    assert 0 < len(kept) < COUNT
    assert kept["id"].tolist() == records.loc[records["corrected"], "id"].tolist()
    expected = corrector.correct(lively_inputs(), keep=("coarse_maps",)).coarse_maps
    for _, row in kept.iterrows():
        own = expected[row["index"]]
        np.testing.assert_allclose(unpack_maps(row), own, atol=float(own.abs().max()) * 1e-3)


def test_grey_images_give_grey_pictures_in_a_run(tmp_path):
    net = lively_net()
    net.stem = nn.Conv2d(1, 4, 3, stride=2, padding=1)
    net.stem.weight.data = lively_net().stem.weight.data.sum(dim=1, keepdim=True)
    data = [(image, 0) for image in lively_inputs()[:, :1]]
    flip = correctors_of(net, ("control:hflip",))
    records = evaluate(flip, data, net, tmp_path / "run", options=RecordOptions(thumbnails=100))["control:hflip"]
    assert records["changed"].any()
    images = RunFolder.open(tmp_path / "run").thumbnails("control:hflip")["image"]
    assert {opened(data).mode for data in images} == {"L"}
