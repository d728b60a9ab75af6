import pytest
import torch
from conftest import Counter, make_tiny_net
from PIL import Image
from torch import nn

from maskcorrect_plugin.commands.outcomes import USUAL_SIZE, correct_files
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.errors import ArgumentError, LayerError, ModelOutputError
from maskcorrect_plugin.evaluation.correctable import group_size


def to_tensor(image):
    """Pixel values as they are, in [0, 1]; what the tests tell images apart by."""
    from torchvision.transforms.v2.functional import pil_to_tensor

    return pil_to_tensor(image).float() / 255


class Moody(nn.Module):
    """Fails on images whose first pixel says so: 251 gives NaN, 252 raises an error of torch's kind."""

    def __init__(self):
        super().__init__()
        self.net = make_tiny_net()

    def forward(self, inputs):
        mood = (inputs[:, 0, 0, 0] * 255).round()
        if (mood == 252).any():
            raise RuntimeError("shapes do not fit")
        return torch.where((mood == 251)[:, None], torch.nan, self.net(inputs))


def photo(path, first=7, size=(20, 16)):
    image = Image.effect_noise(size, 80).convert("RGB")
    image.putpixel((0, 0), (first, 0, 0))
    image.save(path)
    return path


@pytest.fixture
def moody():
    return ProbabilityCorrector(Moody(), "CAM", target_layer="net.act", top_k=2, batch_size=4)


def outcomes(corrector, paths, **options):
    return list(correct_files(corrector, to_tensor, paths, **options))


def test_groups_are_what_one_forward_takes(tmp_path, moody):
    paths = [photo(tmp_path / f"{index}.png") for index in range(9)]
    groups = outcomes(moody, paths)
    assert [len(group) for group in groups] == [4, 4, 1]
    assert [outcome.path for group in groups for outcome in group] == paths
    assert all(outcome.failure is None for group in groups for outcome in group)


def test_many_candidates_make_small_groups():
    for top_k, expected in ((5, 8), (100, 1), (500, 1)):
        net = make_tiny_net(num_classes=500)
        assert group_size(ProbabilityCorrector(net, "CAM", top_k=top_k), torch.empty(0, *USUAL_SIZE)) == expected


def test_results_equal_those_of_the_corrector(tmp_path, moody):
    paths = [photo(tmp_path / f"{index}.png") for index in range(3)]
    expected = moody.correct(torch.stack([to_tensor(Image.open(path)) for path in paths]), keep=("attributions",))
    (group,) = outcomes(moody, paths, keep=("attributions",))
    for row, outcome in enumerate(group):
        torch.testing.assert_close(outcome.result.corrected_probs[outcome.row], expected.corrected_probs[row])
        torch.testing.assert_close(outcome.result.attributions[outcome.row], expected.attributions[row])
        torch.testing.assert_close(outcome.inputs, to_tensor(Image.open(paths[row])))


def test_one_image_that_the_model_cannot_answer_fails_alone(tmp_path, moody):
    paths = [photo(tmp_path / f"{index}.png", first=251 if index == 1 else 7) for index in range(4)]
    (group,) = outcomes(moody, paths)
    assert [outcome.failure is None for outcome in group] == [True, False, True, True]
    assert "NaN" in group[1].failure


def test_one_image_that_torch_stumbles_over_fails_alone(tmp_path, moody):
    paths = [photo(tmp_path / f"{index}.png", first=252 if index == 2 else 7) for index in range(4)]
    (group,) = outcomes(moody, paths)
    assert [outcome.failure for outcome in group] == [None, None, "RuntimeError: shapes do not fit", None]


def test_an_error_of_torch_on_every_image_is_no_matter_of_images(tmp_path, moody):
    paths = [photo(tmp_path / f"{index}.png", first=252) for index in range(3)]
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        outcomes(moody, paths)


def test_unreadable_files_fail_alone_also_when_they_come_first(tmp_path, moody):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    good = photo(tmp_path / "good.png")
    (group,) = outcomes(moody, [bad, good, tmp_path / "missing.png"])
    assert [outcome.failure is None for outcome in group] == [False, True, False]
    assert "no such file" in group[2].failure


def test_a_folder_of_nothing_readable_asks_the_model_nothing(tmp_path, moody):
    counter = Counter(moody.model)
    (group,) = outcomes(moody, [tmp_path / "a.png"])
    assert group[0].failure
    assert counter.inputs == 0


def test_a_method_that_cannot_work_is_raised_before_any_image_is_corrected(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    corrector = ProbabilityCorrector(net, "CAM", target_layer="1", top_k=2)
    counter = Counter(net)
    with pytest.raises(LayerError, match="global average"):
        outcomes(corrector, [photo(tmp_path / f"{index}.png") for index in range(3)])
    assert counter.inputs == 1


def test_the_check_finds_what_can_never_work():
    inputs = torch.rand(2, 3, 16, 20)
    with pytest.raises(ArgumentError, match="top_k must be from 1 to 5"):
        ProbabilityCorrector(make_tiny_net(), "CAM", top_k=6).probe(inputs)
    pair = nn.Sequential(make_tiny_net(), nn.Unflatten(1, (5, 1)))
    with pytest.raises(ModelOutputError, match="class scores"):
        ProbabilityCorrector(pair, "ScoreCAM", target_layer="0.act", top_k=2).probe(inputs)


def test_the_check_leaves_no_trace_in_the_random_state():
    corrector = ProbabilityCorrector(make_tiny_net(), "CAM", top_k=2)
    before = torch.get_rng_state()
    corrector.probe(torch.rand(1, 3, 16, 20, generator=torch.Generator()))
    assert torch.equal(before, torch.get_rng_state())
