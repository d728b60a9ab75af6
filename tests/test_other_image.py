"""Maps of another image: whose they are, and what they are worth under the views of this one."""

import pytest
import torch
from conftest import images, make_tiny_net
from core_data import PartnersInMemory, answers, names, partners, photos, preprocessing, seeded
from test_map_sources import KEEP, correct, make, masked, upsampled

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import ImageError
from maskcorrect_plugin.registry import create_attribution


def partner_index(name, seed=0, count=8, broken=()):
    order = torch.randperm(count, generator=seeded("control:other_image", seed, name)).tolist()
    return next(index for index in order if f"class/{index}.png" != name and index not in broken)


@pytest.mark.parametrize("inner", ["CAM", "ScoreCAM", "captum:Saliency"])
def test_other_image_takes_the_methods_maps_of_the_candidates_on_the_partner(tiny_net, tiny_images, inner):
    data = partners()
    result = correct(make("control:other_image", tiny_net, inner, dataset=data, seed=4), tiny_images)
    attribution = create_attribution(inner, tiny_net, None if ":" in inner else "act")
    for row, name in enumerate(names()):
        partner = data.tensors[partner_index(name, seed=4)][None].to(tiny_images.device)
        for view in range(3):
            expected = attribution.attribute(partner, int(result.candidates[row, view]))[0]
            torch.testing.assert_close(result.attributions[row, view], expected[0], rtol=0, atol=1e-5)
            if not result.flat[row, view]:
                seen = answers(tiny_net, masked(tiny_images[row], expected)[None])[0]
                torch.testing.assert_close(result.view_probs[row, view], seen, rtol=0, atol=1e-5)
    assert not result.flat.all()


def test_no_image_is_its_own_partner_and_bad_partners_are_passed_over():
    broken = (0, 3, 5)
    data = partners(6, broken)
    method = make("control:other_image", make_tiny_net(), dataset=data).method
    chosen = []
    for index in range(6):
        partner = method.partner(f"class/{index}.png")
        chosen.append(next(other for other, image in enumerate(data.tensors) if torch.equal(image, partner)))
    assert chosen == [partner_index(f"class/{index}.png", count=6, broken=broken) for index in range(6)]
    assert all(own != other for own, other in enumerate(chosen)) and not set(chosen) & set(broken)


def test_partners_are_spread_over_the_data_set_and_only_they_are_read():
    data = PartnersInMemory(images(20, (8, 8)))
    method = make("control:other_image", make_tiny_net(), dataset=data).method
    assert data.read == []
    for number in range(400):
        method.partner(f"elsewhere/{number}")
    counts = torch.bincount(torch.tensor(data.read), minlength=20)
    assert counts.sum() == 400
    assert ((counts - 20) ** 2 / 20).sum() < 43.8  # chi-squared with 19 degrees of freedom, p = 0.001


def test_an_image_without_any_readable_partner_is_told_so():
    corrector = make("control:other_image", make_tiny_net(), dataset=partners(3, broken=(1, 2)))
    with pytest.raises(ImageError, match=r"class/0.png: no other image .* \(2 tried; the first: class/[12].png: trunc"):
        corrector.correct(images(1), ids=["class/0.png"])


def test_partners_of_another_size_are_resized(tiny_net, tiny_images):
    data = partners(2, size=(24, 12))
    result = make("control:other_image", tiny_net, dataset=data).correct(
        tiny_images[:1], ids=["class/0.png"], keep=KEEP
    )
    partner = upsampled(data.tensors[1][None]).to(tiny_images.device)
    expected = create_attribution("CAM", tiny_net, "act").attribute_candidates(partner, result.candidates)
    torch.testing.assert_close(result.attributions, expected, rtol=0, atol=1e-5)


def test_a_zoom_by_another_images_map_goes_by_that_map(tiny_net):
    """Partners go through the corrector's own transform; the box is that of the partner's map, in this picture."""

    class Files(PartnersInMemory):
        def __init__(self):
            super().__init__(photos())

        def load(self, index, transform):
            return transform(self.tensors[index].convert("RGB"))

    options = {"views": "zoom[threshold=0.3,map=merged]", "preprocessing": preprocessing(), "dataset": Files()}
    by_other = make("control:other_image", tiny_net, **options)
    result = by_other.correct(photos(), ids=names(6), keep=KEEP)
    own = ProbabilityCorrector(tiny_net, "CAM", "act", top_k=3, views=options["views"], preprocessing=preprocessing())
    for row, name in enumerate(names(6)):
        index = partner_index(name, count=6)
        partner = preprocessing().transform(photos()[index])[None].to(result.probs.device)
        expected = own.method.attribute_candidates(partner, result.candidates[row : row + 1])
        torch.testing.assert_close(result.attributions[row], expected[0], rtol=0, atol=1e-5)
    assert not torch.allclose(result.view_probs, own.correct(photos(), keep=KEEP).view_probs, atol=1e-3)


def test_without_a_data_set_there_are_no_partners(tiny_net, tiny_images):
    with pytest.raises(ValueError, match="dataset must be given for control:other_image"):
        correct(make("control:other_image", tiny_net, dataset=None), tiny_images)
