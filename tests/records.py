"""Records of an evaluation without a model: tables of known content for the tests of statistics and figures."""

import numpy as np
import pandas as pd

COLUMNS = (
    *("index", "id", "label", "failure", "classes_before", "probs_before", "classes_after", "probs_after"),
    *("label_prob_before", "label_prob_after", "label_rank_before", "label_rank_after", "brier_before", "brier_after"),
    *("gap12", "gap15", "num_candidates", "corrected", "changed", "flat", "forwards", "saved", "weights"),
)


def empty_records():
    """A run of no images."""
    return pd.DataFrame({name: [] for name in COLUMNS})


def records_of(before, after, labels, top_k=None, forwards=6):
    """Records of whole distributions (N,M) before and after; a label of None is unknown."""
    before, after = np.asarray(before, np.float32), np.asarray(after, np.float32)
    count, classes = before.shape
    top_k = min(5, classes) if top_k is None else top_k
    stored = min(classes, max(top_k, 5))
    order = {"before": np.argsort(-before, 1, kind="stable"), "after": np.argsort(-after, 1, kind="stable")}
    sides = {"before": before, "after": after}
    columns = {
        "index": np.arange(count),
        "id": [f"folder/{row}.png" for row in range(count)],
        "label": pd.array(list(labels), dtype="Int32"),
        "failure": pd.array([None] * count, dtype="string"),
    }
    for side, probs in sides.items():
        columns[f"classes_{side}"] = list(order[side][:, :stored].astype(np.int32))
        columns[f"probs_{side}"] = list(np.take_along_axis(probs, order[side][:, :stored], 1))
        for name, value in _of_labels(probs, order[side], labels).items():
            columns[f"{name}_{side}"] = value
    best = -np.sort(-before, 1)
    columns["gap12"] = best[:, 0] - best[:, min(2, classes) - 1]
    columns["gap15"] = best[:, 0] - best[:, min(5, classes) - 1]
    columns["num_candidates"] = np.full(count, top_k, np.int32)
    columns["corrected"] = np.ones(count, bool)
    columns["changed"] = order["before"][:, 0] != order["after"][:, 0]
    columns["flat"] = [np.zeros(top_k, bool) for _ in range(count)]
    columns["forwards"] = np.full(count, forwards, np.int32)
    columns["saved"] = np.zeros(count, np.int32)
    columns["weights"] = list(best[:, :top_k])
    return pd.DataFrame(columns)


def _of_labels(probs, order, labels):
    found = {"label_prob": [], "label_rank": [], "brier": []}
    for row, ranked, label in zip(probs, order, labels, strict=True):
        known = label is not None
        found["label_prob"].append(row[label] if known else None)
        found["label_rank"].append(ranked.tolist().index(label) + 1 if known else None)
        target = np.eye(len(row))[label] if known else None
        found["brier"].append(((row - target) ** 2).sum() if known else None)
    return {
        "label_prob": pd.array(found["label_prob"], dtype="Float32"),
        "label_rank": pd.array(found["label_rank"], dtype="Int32"),
        "brier": pd.array(found["brier"], dtype="Float32"),
    }


def fail(records, rows, reason="cannot be read"):
    """The same records with some rows failed: all that follows `failure` is null there."""
    failed = records.astype(dict.fromkeys(COLUMNS[4:], object))
    for row in rows:
        failed.loc[row, list(COLUMNS[4:])] = None
        failed.loc[row, "failure"] = reason
    return failed


def random_records(count=60, classes=7, seed=0, unlabelled=0, top_k=None):
    """Distributions of a network that is right about half of the time, shaken by a correction."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)) * 1.5
    logits[np.arange(count), labels] += generator.choice([0.0, 3.0], count)
    shaken = logits + generator.normal(size=(count, classes)) * 0.8
    before, after = (np.exp(values) / np.exp(values).sum(1, keepdims=True) for values in (logits, shaken))
    truth = [None if row < unlabelled else int(label) for row, label in enumerate(labels)]
    return records_of(before, after, truth, top_k)
