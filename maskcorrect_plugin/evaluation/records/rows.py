"""From results to rows of records."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from maskcorrect_plugin.functional import probability_gap, top_candidates
from maskcorrect_plugin.results import CorrectionResult

from .columns import TOP


def rows_of(
    result: CorrectionResult, labels: Sequence[int | None], distributions: str = "float16"
) -> list[dict[str, Any]]:
    """The rows of some images, without `index`, `id` and `label`.

    Args:
        result: Of these images, on the CPU; with its second answers unless `distributions` is ``"top"``.
        labels: The truth of each; None where it is not known.
        distributions: How whole distributions are kept: one of `columns.DISTRIBUTIONS`.

    Returns:
        One dictionary for each image, with NumPy arrays in the list columns.
    """
    probs, corrected = result.probs.float(), result.corrected_probs.float()
    top = min(probs.shape[1], max(result.candidates.shape[1], TOP))
    before, after = _most_probable(probs, top, "before"), _most_probable(corrected, top, "after")
    columns: dict[str, Any] = {
        **before,
        **after,
        "gap12": probability_gap(probs, 2).tolist(),
        "gap15": result.gap.tolist(),
        "num_candidates": [result.candidates.shape[1]] * len(result),
        "corrected": result.corrected.tolist(),
        # Of what is written, so that the columns never contradict one another where two classes are equal.
        "changed": (before["classes_before"][:, 0] != after["classes_after"][:, 0]).tolist(),
        "flat": result.flat.numpy(),
        "forwards": result.forwards.tolist(),
        "saved": result.saved.tolist(),
        "seconds": result.seconds.tolist(),
        "weights": result.weights.float().numpy(),
    }
    if distributions != "top":
        dtype = torch.float32 if distributions == "float32" else torch.float16
        columns["probs"] = probs.to(dtype).numpy()
        if result.view_probs is not None:
            columns["view_probs"] = result.view_probs.to(dtype).flatten(1).numpy()
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    for row, (values, label) in enumerate(zip(rows, labels, strict=True)):
        if label is not None:
            values.update(_against_label(probs[row], label, "before"), **_against_label(corrected[row], label, "after"))
    return rows


def _most_probable(probs: Tensor, top: int, when: str) -> dict[str, Any]:
    classes = top_candidates(probs, top)
    return {f"classes_{when}": classes.int().numpy(), f"probs_{when}": probs.gather(1, classes).numpy()}


def _against_label(probs: Tensor, label: int, when: str) -> dict[str, Any]:
    """How one distribution (M,) does against the truth; among equals the lower class ranks first, as candidates do."""
    own = probs[label]
    rank = 1 + int((probs > own).sum()) + int((probs[:label] == own).sum())
    brier = float((probs.square().sum() - 2 * own + 1).clamp_min(0))
    return {f"label_prob_{when}": float(own), f"label_rank_{when}": rank, f"brier_{when}": brier}
