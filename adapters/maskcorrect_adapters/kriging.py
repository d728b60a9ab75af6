"""The scores of all masks of an image from the scores of some.

Masks that look alike score alike, so scores are interpolated between masks: by Kriging with a linear variogram, which
is the polyharmonic spline of order one and has no length to choose (Matheron 1963; Duchon 1977). The covariance of the
scores of two masks, up to a factor, is::

    k(H, G) = (|H| + |G| - |H - G|) / 2 + level

with the mean of all ``|H|`` as the variance ``level`` of what scores have in common. The masks whose scores are known
are added one by one: a pivoted Cholesky decomposition (Harbrecht, Peters and Schneider 2012), which computes only the
rows of the kernel matrix that belong to them.
"""

import torch
from torch import Tensor

NUGGET = 1e-3
"""Variance of a score beyond what its mask explains, relative to ``level``. It keeps the decomposition stable where
masks are equal; a hundred times more or a thousand times less give the same maps."""


class Kriging:
    """Interpolates scores between the masks of each of N images.

    Args:
        masks: Tensor (N,C,d), each min-max scaled; all zero where there is none.
        capacity: ``B``, how many masks will be added at most.

    Attributes:
        variance: (N,C), up to a factor: what is not known of each score.
        size: Masks added so far.
    """

    def __init__(self, masks: Tensor, capacity: int) -> None:
        count, channels, _ = masks.shape
        self._masks = masks
        self._norms: Tensor = torch.linalg.vector_norm(masks, dim=2)
        mean = self._norms.sum(dim=1, keepdim=True) / (self._norms > 0).sum(dim=1, keepdim=True).clamp_min(1)
        self._level = torch.where(mean > 0, mean, 1)
        self._order = torch.zeros(count, capacity, dtype=torch.int64, device=masks.device)
        self._factor = masks.new_zeros(count, capacity, channels)
        self.variance = self._norms + self._level
        self.size = 0

    def add(self, pick: Tensor) -> None:
        """Adds one mask of each image to those whose scores are known.

        Args:
            pick: (N,1) int64.
        """
        factor = self._factor[:, : self.size]
        explained = (_columns(factor, pick).mT @ factor).squeeze(1)
        deviation = (self.variance.gather(1, pick) + NUGGET * self._level).sqrt()
        row = (self._covariances(pick) - explained) / deviation
        row.scatter_(1, pick, deviation)
        self.variance = (self.variance - row.square()).clamp_min(0)
        self._order[:, self.size] = pick.squeeze(1)
        self._factor[:, self.size] = row
        self.size += 1

    def estimate(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of every score, and the factor that `variance` lacks.

        Args:
            scores: Tensor (N,C,K), of which only those of the masks added are read.

        Returns:
            Means (N,C,K), and the likeliest factor (N,K) for scores that vary as much as the known ones do.
        """
        order = self._order[:, : self.size]
        factor = self._factor[:, : self.size].to(scores.dtype)
        known = scores.gather(1, order.unsqueeze(2).expand(-1, -1, scores.shape[2]))
        white = torch.linalg.solve_triangular(_columns(factor, order).mT, known, upper=False)
        return factor.mT @ white, white.square().mean(dim=1)

    def _covariances(self, pick: Tensor) -> Tensor:
        """``k`` between one mask of each image and all of its masks, (N,C)."""
        own = self._masks.gather(1, pick.unsqueeze(2).expand(-1, -1, self._masks.shape[2]))
        distances: Tensor = torch.linalg.vector_norm(self._masks - own, dim=2)
        return (self._norms + self._norms.gather(1, pick) - distances) / 2 + self._level


def _columns(factor: Tensor, picks: Tensor) -> Tensor:
    """(N,n,C) and (N,p) int64 to (N,n,p)."""
    return factor.gather(2, picks.unsqueeze(1).expand(-1, factor.shape[1], -1))
