"""Score-CAM with a budget of masks: which channels are asked about, and what the others would have scored.

Channels are asked about greedily: next the one whose unknown score is to be expected to make the largest error in the
map. The others are estimated from those, see `kriging`.

Where probabilities weigh the channels, this is done in four rounds, and each goes by the scores that came before: a map
is often made of few channels, and of which depends on the class.

Nothing is random, and an image does not see its batch mates.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from maskcorrect_plugin.functional import at_least_float32, scale_maps

from .kriging import Kriging

ROUNDS = 4
"""Equal parts of the budget, each chosen in the light of those before."""


def budgeted_scores(
    ask: Callable[[Tensor], Tensor], activations: Tensor, live: Tensor, max_masks: int, *, roots: bool
) -> Tensor:
    """Scores of all channels, by asking about some.

    Args:
        ask: From the channels to ask about, (N,C) bool, to scores (N,C,K), which are zero for all other live channels.
        activations: Tensor (N,C,h,w).
        live: (N,C) bool: the channels that have a mask.
        max_masks: How many channels of an image are asked about, at most, from 1 to C. An image with no more live
            channels than that is exact.
        roots: The scores are probabilities that weigh the channels as they are. Then their square roots are estimated:
            they spread over orders of magnitude and must not become negative.

    Returns:
        Tensor (N,C,K): what was asked, and estimates for the other live channels.
    """
    maps = at_least_float32(activations).flatten(2)
    kriging = Kriging(scale_maps(activations).flatten(2), max_masks)
    energy = maps.square().sum(dim=2)
    rounds = ROUNDS if roots else 1
    first, *later = sorted({max(1, max_masks * part // rounds) for part in range(1, rounds + 1)})
    left = _choose(kriging, live, first, energy, torch.zeros_like(energy))
    scores = ask(live & ~left)
    for total in later:
        linear, quadratic = _relative_errors(kriging, scores, maps)
        before, left = left, _choose(kriging, left, total, energy * linear, energy * quadratic)
        scores = scores + ask(before & ~left)
    estimates, _ = kriging.estimate(scores.clamp_min(0).sqrt() if roots else scores)
    return torch.where(left.unsqueeze(2), estimates.clamp_min(0).square() if roots else estimates, scores)


def _choose(kriging: Kriging, left: Tensor, total: int, linear: Tensor, quadratic: Tensor) -> Tensor:
    """Adds the masks of largest error until there are `total`.

    An image with fewer masks fills up with whatever comes: all its scores will be known.

    Args:
        kriging: Gets the masks.
        left: (N,C) bool: the channels to choose from.
        total: How many masks there shall be.
        linear: (N,C), what the variance of a score adds to the error of the maps.
        quadratic: (N,C), what its square adds.

    Returns:
        (N,C) bool: the channels that are left.
    """
    left = left.clone()
    while kriging.size < total:
        error = kriging.variance * (linear + quadratic * kriging.variance)
        pick = torch.where(left, error, -1).argmax(dim=1, keepdim=True)
        kriging.add(pick)
        left.scatter_(1, pick, False)
    return left


def _relative_errors(kriging: Kriging, scores: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """What the variance of a score adds to the squared errors of the maps of all classes, each relative to its map.

    A score is the square of its normally distributed root: if that has mean m and variance ``v = factor * variance``,
    the score has variance ``4 m^2 v + 2 v^2``.

    Returns:
        The coefficients (N,C) of ``variance`` and (N,1) of its square.
    """
    roots = scores.clamp_min(0).sqrt()
    roots = roots / roots.amax(dim=1, keepdim=True).clamp_min(torch.finfo(roots.dtype).tiny)  # squares must not vanish
    means, factor = kriging.estimate(roots)
    means, factor = means.clamp_min(0).square(), factor.unsqueeze(1)
    coarse = torch.einsum("nck,ncd->nkd", means, maps.to(means.dtype))
    energy = coarse.square().sum(dim=2).unsqueeze(1).clamp_min(torch.finfo(means.dtype).tiny)
    return (4 * means * factor / energy).sum(dim=2), (2 * factor.square() / energy).sum(dim=2)
