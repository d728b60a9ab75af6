"""Controls with maps: each against explicit torch operations, the method's own maps, or a hook in the test."""

import types

import pytest
import torch
import torch.nn.functional as F
from conftest import Counter, images, make_tiny_net
from control_data import PartnersInMemory, names, partners, seeded

from maskcorrect_plugin import ProbabilityCorrector, create_attribution
from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.evaluation.controls import DatasetPartners, create_control

KEEP = ("attributions", "masked_probs")


def answers(net, views):
    with torch.no_grad():
        return net(views).softmax(-1)


def minmax(maps):
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low)


def upsampled(maps, size=(16, 20)):
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def masked(inputs, maps, threshold=0.1):
    return inputs * torch.where(maps > threshold, maps, 0)


def make(name, net, method="CAM", **options):
    layer = None if ":" in method else "act"
    return create_control(name, net, method=method, **{"target_layer": layer, "top_k": 3, **options})


def top(probs, count=3):
    return probs.sort(dim=1, descending=True).values[:, :count]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.9, "fill": "mean"},
        {"fill": "blur"},
        {"fill": "black", "mean": [0.5] * 3, "std": [0.2] * 3},
        {"view": "crop", "threshold": 0.5},
        {"vote": "diagonal"},
        {"weights": "uniform"},
        {"top_k": 5},
    ],
)
def test_uniform_maps_change_nothing_whatever_the_options(tiny_net, tiny_images, options):
    control = make("control:uniform", tiny_net, **options)
    counter = Counter(tiny_net)
    result = control.correct(tiny_images, keep=("masked_probs",))
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)
    expected = result.probs[:, None].expand_as(result.masked_probs)
    torch.testing.assert_close(result.masked_probs, expected, rtol=0, atol=1e-6)
    assert result.flat.all() and not result.changed.any()
    assert counter.inputs == 3 * (1 + options.get("top_k", 3))  # they were asked about all the same


@pytest.mark.parametrize("threshold", [0.1, 0.6])
def test_random_maps_are_upsampled_noise_of_the_documented_seed(tiny_net, tiny_images, threshold):
    control = make("control:random_map", tiny_net, threshold=threshold, control_seed=2)
    result = control.correct(tiny_images, ids=names(), keep=KEEP)
    for row, name in enumerate(names()):
        noise = torch.rand(3, 7, 7, generator=seeded("control:random_map", 2, name)).to(tiny_images.device)
        maps = minmax(upsampled(noise[None]))[0]
        torch.testing.assert_close(result.attributions[row], maps, rtol=0, atol=1e-6)
        expected = answers(tiny_net, masked(tiny_images[row], maps[:, None], threshold))
        torch.testing.assert_close(result.masked_probs[row], expected, rtol=0, atol=1e-5)
        correction = (top(result.probs)[row][:, None] * expected).sum(dim=0)
        torch.testing.assert_close(result.correction[row], correction, rtol=0, atol=1e-5)


def test_random_maps_go_through_the_crop_view_and_the_fill(tiny_net, tiny_images):
    plain = make("control:random_map", tiny_net).correct(tiny_images, ids=names(), keep=KEEP)
    for options in ({"view": "crop", "threshold": 0.5}, {"fill": "mean"}):
        control = make("control:random_map", tiny_net, **options)
        result = control.correct(tiny_images, ids=names(), keep=KEEP)
        assert torch.equal(result.attributions, plain.attributions)
        expected = control.ask_about_maps(tiny_images, result.attributions, control.view.prepare(tiny_images))
        assert not torch.allclose(result.masked_probs, plain.masked_probs, atol=1e-4)
        torch.testing.assert_close(result.masked_probs, expected, rtol=0, atol=1e-5)


def partner_index(name, seed=0, count=8, broken=()):
    order = torch.randperm(count, generator=seeded("control:other_image", seed, name)).tolist()
    return next(index for index in order if f"class/{index}.png" != name and index not in broken)


@pytest.mark.parametrize("method", ["CAM", "ScoreCAM", "captum:Saliency", "pytorch_grad_cam:GradCAM"])
def test_other_image_takes_the_methods_maps_of_the_candidates_on_the_partner(tiny_net, tiny_images, method):
    if method.startswith("pytorch_grad_cam"):
        pytest.importorskip("pytorch_grad_cam")
    data = partners()
    layer = None if method.startswith("captum") else "act"
    control = make("control:other_image", tiny_net, method, target_layer=layer, dataset=data, control_seed=4)
    result = control.correct(tiny_images, ids=names(), keep=KEEP)
    attribution = create_attribution(method, tiny_net, layer)
    for row, name in enumerate(names()):
        partner = data.tensors[partner_index(name, seed=4)][None].to(tiny_images.device)
        for view in range(3):
            expected = attribution.attribute(partner, int(result.candidates[row, view]))[0]
            torch.testing.assert_close(result.attributions[row, view], expected[0], rtol=0, atol=1e-5)
            if not result.flat[row, view]:
                seen = answers(tiny_net, masked(tiny_images[row], expected)[None])[0]
                torch.testing.assert_close(result.masked_probs[row, view], seen, rtol=0, atol=1e-5)
    assert not result.flat.all()


@pytest.mark.parametrize("method", ["CAM", "captum:LayerGradCam"])
def test_a_result_of_other_image_names_the_layer_that_was_found(tiny_net, tiny_images, method):
    control = make("control:other_image", tiny_net, method, target_layer=None, dataset=partners())
    assert control.correct(tiny_images, ids=names()).settings["target_layer"] == "act"


def test_a_probe_of_other_image_finds_the_layer_by_one_forward_and_refuses_what_cam_cannot_do(tiny_net, tiny_images):
    control = make("control:other_image", tiny_net, target_layer=None, dataset=partners())
    counter = Counter(tiny_net)
    control.probe(tiny_images)
    assert control.settings["target_layer"] == "act" and counter.inputs == 2  # one of them finds the layer
    with pytest.raises(ValueError, match="CAM needs a network"):
        make("control:other_image", tiny_net, target_layer="stem", dataset=partners()).probe(tiny_images)


def test_partners_go_one_by_one_where_their_gradients_need_more_memory_than_the_images(tiny_net, tiny_images):
    """The first forward of this control keeps no gradients, so a batch that passes there may be too large here."""
    pytest.importorskip("pytorch_grad_cam")

    def limited(_module, args):
        if torch.is_grad_enabled() and len(args[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    control = make("control:other_image", tiny_net, "pytorch_grad_cam:GradCAM", dataset=partners())
    expected = control.correct(tiny_images, ids=names())
    handle = tiny_net.register_forward_pre_hook(limited)
    result = control.correct(tiny_images, ids=names())
    handle.remove()
    torch.testing.assert_close(result.corrected_probs, expected.corrected_probs, rtol=0, atol=1e-5)
    assert result.forwards.tolist() == expected.forwards.tolist() == [1 + 1 + 3] * 3


def test_no_image_is_its_own_partner_and_bad_partners_are_passed_over():
    net, broken = make_tiny_net(), (0, 3, 5)
    chosen, data = [], partners(6, broken)
    control = make("control:other_image", net, dataset=data)
    for index in range(6):
        partner = control.partner(f"class/{index}.png")
        chosen.append(
            next(other for other, image in enumerate(data.tensors) if image is partner or torch.equal(image, partner))
        )
    assert chosen == [partner_index(f"class/{index}.png", count=6, broken=broken) for index in range(6)]
    assert all(own != other for own, other in enumerate(chosen)) and not set(chosen) & set(broken)


def test_partners_are_spread_over_the_data_set_and_only_they_are_read():
    data = PartnersInMemory(images(20, (8, 8)))
    control = make("control:other_image", make_tiny_net(), dataset=data)
    for number in range(400):
        control.partner(f"elsewhere/{number}")
    counts = torch.bincount(torch.tensor(data.read), minlength=20)
    assert counts.sum() == 400
    assert ((counts - 20) ** 2 / 20).sum() < 43.8  # chi-squared with 19 degrees of freedom, p = 0.001


def test_an_image_without_any_readable_partner_is_told_so():
    control = make("control:other_image", make_tiny_net(), dataset=partners(3, broken=(1, 2)))
    with pytest.raises(
        ImageError, match=r"class/0.png: no other image .* \(2 tried; the first: class/[12].png: truncated\)"
    ):
        control.correct(images(1), ids=["class/0.png"])


def test_partners_of_another_size_are_resized(tiny_net, tiny_images):
    data = partners(2, size=(24, 12))
    control = make("control:other_image", tiny_net, dataset=data)
    result = control.correct(tiny_images[:1], ids=["class/0.png"], keep=KEEP)
    partner = upsampled(data.tensors[1][None]).to(tiny_images.device)
    expected = create_attribution("CAM", tiny_net, "act").attribute_candidates(partner, result.candidates)
    torch.testing.assert_close(result.attributions, expected, rtol=0, atol=1e-5)


def test_a_data_set_of_images_becomes_partners_without_being_read():
    class Data:
        def __init__(self):
            self.read = []

        def __len__(self):
            return 3

        def record(self, index):
            return types.SimpleNamespace(id=f"class/{index}.png", label=None)

        def load(self, index, transform):
            self.read.append(index)
            return transform(images(3)[index])

    data = Data()
    control = make("control:other_image", make_tiny_net(), dataset=DatasetPartners(data, lambda image: 2 * image))
    assert data.read == []
    index = partner_index("class/1.png", count=3)
    assert torch.equal(control.partner("class/1.png"), 2 * images(3)[index])
    assert data.read == [index]


@pytest.mark.parametrize("layer", ["act", "body"])
def test_class_agnostic_is_the_sum_of_what_is_above_zero_in_the_layer(tiny_net, tiny_images, layer):
    seen = []
    handle = tiny_net.get_submodule(layer).register_forward_hook(lambda module, args, output: seen.append(output))
    probs = answers(tiny_net, tiny_images)
    handle.remove()
    maps = minmax(upsampled(seen[0].clamp_min(0).sum(dim=1, keepdim=True)))
    expected = answers(tiny_net, masked(tiny_images, maps))
    control = make("control:class_agnostic", tiny_net, "ScoreCAM", target_layer=layer)
    result = control.correct(tiny_images, keep=KEEP)
    torch.testing.assert_close(result.attributions, maps, rtol=0, atol=1e-5)
    correction = top(probs).sum(dim=1, keepdim=True) * expected
    torch.testing.assert_close(result.correction, correction, rtol=0, atol=1e-5)
    assert result.settings["target_layer"] == layer


@pytest.mark.parametrize("method", ["ScoreCAM", "captum:Saliency"])
def test_class_agnostic_finds_the_layer_where_the_method_names_none(tiny_net, tiny_images, method):
    control = make("control:class_agnostic", tiny_net, method, target_layer=None)
    assert control.settings["target_layer"] is None
    result = control.correct(tiny_images)
    expected = make("control:class_agnostic", tiny_net).correct(tiny_images)
    assert result.settings["target_layer"] == "act"
    torch.testing.assert_close(result.correction, expected.correction)


def test_class_agnostic_takes_the_last_of_several_layers(tiny_net, tiny_images):
    pytest.importorskip("pytorch_grad_cam")
    options = {"target_layer": None, "target_layers": ["stem", "body"]}
    control = make("control:class_agnostic", tiny_net, "pytorch_grad_cam:GradCAM", **options)
    assert control.correct(tiny_images).settings["target_layer"] == "body"


@pytest.mark.parametrize("method", ["CAM", "ScoreCAM"])
@pytest.mark.parametrize("weights", ["probs", "uniform"])
def test_single_mask_is_the_scaled_sum_of_the_candidates_maps(tiny_net, tiny_images, method, weights):
    control = make("control:single_mask", tiny_net, method, weights=weights)
    result = control.correct(tiny_images, keep=KEEP)
    shares = top(result.probs) if weights == "probs" else torch.full((3, 3), 1 / 3, device=tiny_images.device)
    maps = create_attribution(method, tiny_net, "act").attribute_candidates(tiny_images, result.candidates)
    single = minmax((shares[:, :, None, None] * maps).sum(dim=1, keepdim=True))
    torch.testing.assert_close(result.attributions, single, rtol=0, atol=1e-5)
    expected = shares.sum(dim=1, keepdim=True) * answers(tiny_net, masked(tiny_images, single))
    torch.testing.assert_close(result.correction, expected, rtol=0, atol=1e-5)


def test_single_mask_of_one_candidate_is_the_correction(tiny_net, tiny_images):
    """With K = 1 the sum is the one map, and the weights are the one weight."""
    single = make("control:single_mask", tiny_net, top_k=1).correct(tiny_images)
    expected = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=1).correct(tiny_images)
    torch.testing.assert_close(single.corrected_probs, expected.corrected_probs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["CAM", "ScoreCAM"])
def test_the_oracle_is_the_correctors_answer_to_the_view_of_the_true_class(tiny_net, tiny_images, method):
    labels = [4, 0, 2]
    corrector = ProbabilityCorrector(tiny_net, method, "act", top_k=5)
    everything = corrector.correct(tiny_images, keep=KEEP)
    result = make("control:oracle_class", tiny_net, method).correct(tiny_images, labels, keep=KEEP)
    for row, label in enumerate(labels):
        view = everything.candidates[row].tolist().index(label)
        torch.testing.assert_close(result.attributions[row, 0], everything.attributions[row, view], rtol=0, atol=1e-5)
        expected = everything.masked_probs[row, view]
        torch.testing.assert_close(result.masked_probs[row, 0], expected, rtol=0, atol=1e-5)
        correction = top(result.probs)[row].sum() * expected
        torch.testing.assert_close(result.correction[row], correction, rtol=0, atol=1e-5)
    assert result.settings["leaks"] is True


def test_one_label_may_stand_for_all_images(tiny_net, tiny_images):
    control = make("control:oracle_class", tiny_net)
    one, three = control.correct(tiny_images, 2), control.correct(tiny_images, torch.tensor([2, 2, 2]))
    assert torch.equal(one.corrected_probs, three.corrected_probs)


@pytest.mark.parametrize("name", ["control:class_agnostic", "control:single_mask", "control:oracle_class"])
def test_a_map_without_information_is_neutral(tiny_net, name):
    """A constant image has constant feature maps, but for the padding; without it every map is flat."""
    tiny_net.stem.padding_mode = tiny_net.body.padding_mode = "replicate"
    inputs = torch.full((2, 3, 16, 20), 0.3, device=tiny_net.head.weight.device)
    result = make(name, tiny_net).correct(inputs, labels=1)
    assert result.flat.all()
    torch.testing.assert_close(result.corrected_probs, result.probs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["control:random_map", "control:other_image", "control:single_mask"])
def test_double_precision_stays(name):
    net = make_tiny_net().double()
    result = make(name, net, dataset=partners()).correct(images(), ids=names(), keep=KEEP)
    assert {getattr(result, field).dtype for field in ("corrected_probs", "weights", *KEEP)} == {torch.float64}


def test_the_partners_maps_are_kept_as_the_method_makes_them(tiny_net, tiny_images):
    control = make("control:other_image", tiny_net, dataset=partners())
    result = control.correct(tiny_images, ids=names(), keep=("coarse_maps", "attributions"))
    maps = control.method.render(result.coarse_maps, (16, 20))
    torch.testing.assert_close(maps, result.attributions)
