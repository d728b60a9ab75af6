"""Answers of known content for the tests of fitting: made without a network."""

import numpy as np
import pandas as pd

from maskcorrect_plugin import Recipe
from maskcorrect_plugin.fitting.answers import TINY, ViewAnswers
from maskcorrect_plugin.functional import FLOOR
from maskcorrect_plugin.views import create_view

NAMES = ("hflip", "whole", "center[scale=0.9]", "center[scale=0.8]", "center[scale=0.7]", "center[scale=0.6]")


def softmax(logits):
    values = np.exp(logits - logits.max(-1, keepdims=True))
    return values / values.sum(-1, keepdims=True)


def answers_of(first, views, labels, names=NAMES, gaps=None):
    """Whole distributions ``first`` (N,C) and ``views`` (N,V,C), one picture for each view."""
    first, views = np.asarray(first, np.float32), np.asarray(views, np.float32)
    count, number = views.shape[:2]
    best = -np.sort(-first, 1)
    return ViewAnswers(
        ids=np.array([f"{row}.png" for row in range(count)]),
        labels=np.asarray(labels, np.int64),
        classes=np.asarray(labels, np.int64),
        first=first,
        first_logs=np.log(np.maximum(first, np.float32(TINY))),
        sums=views,
        logs=np.log(np.maximum(views, np.float32(FLOOR))),
        spread=None,
        gaps=best[:, 0] - best[:, min(4, first.shape[1] - 1)] if gaps is None else gaps,
        map_forwards=np.zeros(count),
        views=tuple(create_view(name) for name in names[:number]),
        pictures=(1,) * number,
    )


def drawn(count=600, classes=6, noises=(1.0, 1.5), seed=0, scale=1.0, skill=1.5):
    """Logits of the truth under independent noise: the first answer has noise 1, each view its own.

    A noise of infinity is a view that knows nothing of the truth.
    """
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    truth = skill * np.eye(classes)[labels]

    def logits(noise):
        shaken = generator.normal(size=(count, classes))
        return shaken if np.isinf(noise) else truth / noise**2 + shaken / noise

    first = softmax(scale * logits(1.0))
    views = np.stack([softmax(logits(noise)) for noise in noises], 1) if noises else np.empty((count, 0, classes))
    return answers_of(first, views, labels)


def frame_of(answers, dtype=np.float32):
    """The records of a run with these answers, as far as a fit reads them."""
    count = len(answers)
    views = answers.sums.astype(dtype).reshape(count, -1)
    return pd.DataFrame(
        {
            "id": answers.ids,
            "label": pd.array(answers.classes, dtype="Int32"),
            "failure": pd.array([None] * count, dtype="string"),
            "gap15": answers.gaps,
            "num_candidates": np.full(count, 5),
            "corrected": np.ones(count, bool),
            "forwards": np.full(count, 1 + len(answers.views)),
            "saved": np.zeros(count, int),
            "label_prob_before": answers.first[np.arange(count), answers.labels],
            "weights": list(np.ones((count, len(answers.views)), np.float32)),
            "probs": list(answers.first.astype(dtype)),
            "view_probs": list(views),
        }
    )


def recipe_of(answers, pool="log"):
    """The unguided recipe of these views."""
    return Recipe(method=None, views=answers.views, pool=pool)


def records_of(answers, name="own", **options):
    """What `fit` takes."""
    return {name: (recipe_of(answers, **options), frame_of(answers))}
