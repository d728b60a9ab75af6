import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskcorrect_plugin import functional as F


def distributions(rows, classes, seed):
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)


def test_scale_maps_by_hand():
    maps = torch.tensor([[[-1.0, 3.0], [1.0, 1.0]]])
    assert torch.equal(F.scale_maps(maps), torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 7.0])
def test_scale_maps_of_a_map_without_information_is_zero_and_flat(bad):
    maps = torch.full((1, 2, 2), bad)
    if bad == float("inf"):
        maps[0, 0, 0] = 0.0
    scaled = F.scale_maps(maps)
    assert torch.equal(scaled, torch.zeros(1, 2, 2))
    assert bool(F.is_flat(maps)) and bool(F.is_flat(scaled))


def test_scale_maps_half_precision_with_a_tiny_range_does_not_underflow():
    maps = torch.tensor([[1e-7, 0.0]], dtype=torch.float16)
    assert torch.equal(F.scale_maps(maps), torch.tensor([[1.0, 0.0]]))


def test_a_constant_map_is_still_constant_after_upsampling():
    """Interpolation alone rounds 0.37 to two neighbouring numbers, which scaling would stretch to 0 and 1."""
    constant = torch.full((1, 1, 4, 5), 0.37)
    assert F.is_flat(F.upsample_maps(constant, (20, 21))).all()
    varying = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(F.upsample_maps(varying, (20, 21)), F.upsample(varying, (20, 21)))


def test_threshold_is_inclusive_and_values_above_keep_their_value():
    maps = torch.tensor([[0.0, 0.1, 0.1001, 1.0]])
    assert torch.equal(F.threshold_masks(maps, 0.1), torch.tensor([[0.0, 0.0, 0.1001, 1.0]]))


def test_flat_map_gives_a_neutral_mask():
    assert torch.equal(F.threshold_masks(torch.zeros(2, 3, 3), 0.1), torch.ones(2, 3, 3))


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan"), "a"])
def test_threshold_outside_its_range_is_refused(threshold):
    with pytest.raises((ValueError, TypeError), match="threshold"):
        F.threshold_masks(torch.rand(1, 2, 2), threshold)


def test_masked_inputs_with_background_by_hand():
    image = torch.full((1, 1, 1, 2), 4.0)
    masks = torch.tensor([[[0.25, 1.0]]])
    assert torch.equal(F.masked_inputs(image, masks), torch.tensor([[[[1.0, 4.0]]]]))
    assert torch.equal(F.masked_inputs(image, masks, torch.tensor(8.0)), torch.tensor([[[[7.0, 4.0]]]]))


def test_candidates_are_sorted_and_ties_go_to_the_lower_index():
    probs = torch.tensor([[0.2, 0.3, 0.3, 0.2]])
    assert F.top_candidates(probs, 4).tolist() == [[1, 2, 0, 3]]


@pytest.mark.parametrize("top_k", [0, -1, 4, 1.5, True])
def test_candidates_outside_one_to_m_are_refused(top_k):
    with pytest.raises((ValueError, TypeError), match="top_k"):
        F.top_candidates(torch.full((1, 3), 1 / 3), top_k)


def test_gap_uses_the_fifth_or_the_last_class():
    seven = torch.tensor([[0.4, 0.2, 0.1, 0.1, 0.08, 0.07, 0.05]])
    assert F.probability_gap(seven).item() == pytest.approx(0.32)
    assert F.probability_gap(torch.tensor([[0.1, 0.7, 0.2]])).item() == pytest.approx(0.6)
    assert F.probability_gap(seven, rank=2).item() == pytest.approx(0.2)


def test_correction_by_hand():
    """Y = (.6, .3, .1), K = 2, P_1 = (.2, .7, .1), P_2 = (0, 1, 0): R = .6 P_1 + .3 P_2 = (.12, .72, .06)."""
    probs = torch.tensor([[0.6, 0.3, 0.1]])
    candidates = torch.tensor([[0, 1]])
    view_probs = torch.tensor([[[0.2, 0.7, 0.1], [0.0, 1.0, 0.0]]])
    weights = F.candidate_weights(probs, candidates)
    correction = F.correction_term(weights, view_probs)
    torch.testing.assert_close(correction, torch.tensor([[0.12, 0.72, 0.06]]))
    torch.testing.assert_close(F.apply_correction(probs, correction), torch.tensor([[0.72, 1.02, 0.16]]) / 1.9)


def test_diagonal_vote_by_hand():
    """Only P_1[0] = .2 and P_2[1] = 1 count: R = (.6 * .2, .3 * 1, 0)."""
    correction = F.correction_term(
        torch.tensor([[0.6, 0.3]]),
        torch.tensor([[[0.2, 0.7, 0.1], [0.0, 1.0, 0.0]]]),
        torch.tensor([[0, 1]]),
        "diagonal",
    )
    torch.testing.assert_close(correction, torch.tensor([[0.12, 0.3, 0.0]]))


def test_uniform_weights_are_one_over_k():
    weights = F.candidate_weights(distributions(2, 5, 0), torch.tensor([[0, 1, 2, 3], [4, 3, 2, 1]]), "uniform")
    assert torch.equal(weights, torch.full((2, 4), 0.25, dtype=torch.float64))


def test_no_candidates_is_the_identity():
    probs = distributions(3, 4, 1)
    none = torch.empty(3, 0, dtype=torch.int64)
    correction = F.correction_term(F.candidate_weights(probs, none), torch.empty(3, 0, 4, dtype=torch.float64))
    torch.testing.assert_close(F.apply_correction(probs, correction), probs, rtol=0, atol=1e-15)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 4),
    classes=st.integers(2, 9),
    seed=st.integers(0, 2**16),
    vote=st.sampled_from(F.VOTES),
    weights=st.sampled_from(F.WEIGHTS),
    data=st.data(),
)
def test_corrected_rows_are_distributions(rows, classes, seed, vote, weights, data):
    top_k = data.draw(st.integers(1, classes))
    probs = distributions(rows, classes, seed)
    candidates = F.top_candidates(probs, top_k)
    view_probs = distributions(rows * top_k, classes, seed + 1).reshape(rows, top_k, classes)
    weight = F.candidate_weights(probs, candidates, weights)
    correction = F.correction_term(weight, view_probs, candidates, vote)
    corrected = F.apply_correction(probs, correction)
    torch.testing.assert_close(corrected.sum(-1), torch.ones(rows, dtype=torch.float64))
    assert torch.equal(corrected.argmax(-1), (probs + correction).argmax(-1))
    if vote == "distribution":  # the closed form of the sum in the paper's case
        torch.testing.assert_close((probs + correction).sum(-1), 1 + weight.sum(-1))


@settings(max_examples=30, deadline=None)
@given(classes=st.integers(2, 9), seed=st.integers(0, 2**16))
def test_asking_the_same_again_changes_nothing(classes, seed):
    """A map of ones means P_k = Y for every k: R = Y sum_k Y[c_k], and the normalised result is Y."""
    probs = distributions(2, classes, seed)
    candidates = F.top_candidates(probs, classes)
    same = probs.unsqueeze(1).expand(-1, classes, -1)
    corrected = F.apply_correction(probs, F.correction_term(F.candidate_weights(probs, candidates), same))
    torch.testing.assert_close(corrected, probs, rtol=0, atol=1e-12)


def test_unknown_names_are_refused_with_the_allowed_ones():
    with pytest.raises(ValueError, match=r"vote must be one of 'distribution', 'diagonal'; got 'diag'.*did you mean"):
        F.correction_term(torch.ones(1, 1), torch.ones(1, 1, 2), vote="diag")
    with pytest.raises(ValueError, match="candidates must be given"):
        F.correction_term(torch.ones(1, 1), torch.ones(1, 1, 2), vote="diagonal")


def test_a_temperature_in_the_log_pool_is_that_of_the_logits():
    """Also where the distribution itself has but zeros beside its highest class."""
    probs = torch.tensor([[0.7, 0.2, 0.1]])
    correction = torch.tensor([[0.0, -300.0, -600.0]])
    expected = ((probs.double().log() + correction.double()) / 50).softmax(-1).float()
    torch.testing.assert_close(F.apply_correction(probs, correction, "log", 50.0), expected)
