"""A fit at scale: 50,000 images of 1,000 classes with 13 views, in minutes and in a few gigabytes."""

import json
import subprocess
import sys

import pytest
from forking_cli import environment

FIT = """
import json, resource, sys, time
import numpy as np, pandas as pd
from maskcorrect_plugin import Recipe
from maskcorrect_plugin.fitting import fit, source

COUNT, CLASSES, VIEWS = map(int, sys.argv[1:])
recipe = Recipe(method=None, views=tuple(f"center[scale={0.3 + 0.05 * view:.2f}]" for view in range(VIEWS)))


def frames(name):
    "Records as a run gives them, some images at a time; the views are ever noisier."
    for start in range(0, COUNT, 500):
        generator = np.random.default_rng(start)
        rows = np.arange(start, min(COUNT, start + 500))
        labels = generator.integers(0, CLASSES, len(rows))
        common = generator.normal(size=(len(rows), 1, CLASSES)).astype(np.float32) * 1.5
        common[np.arange(len(rows)), 0, labels] += 4.0
        noise = np.linspace(0.5, 3.0, 1 + VIEWS, dtype=np.float32)[:, None]
        logits = 1.5 * common + noise * generator.standard_normal((len(rows), 1 + VIEWS, CLASSES), np.float32)
        probs = np.exp(logits - logits.max(-1, keepdims=True))
        probs /= probs.sum(-1, keepdims=True)
        best = -np.sort(-probs[:, 0], 1)
        yield pd.DataFrame({
            "id": [f"{row}.png" for row in rows], "label": pd.array(labels, dtype="Int32"),
            "failure": pd.array([None] * len(rows), dtype="string"), "gap15": best[:, 0] - best[:, 4],
            "num_candidates": 5, "corrected": True, "forwards": 1 + VIEWS, "saved": 0,
            "label_prob_before": probs[np.arange(len(rows)), 0, labels],
            "weights": list(np.ones((len(rows), VIEWS), np.float32)),
            "probs": list(probs[:, 0]), "view_probs": list(probs[:, 1:].reshape(len(rows), -1)),
        })


made = time.perf_counter()
for frame in frames(""):
    pass
made = time.perf_counter() - made
begun = time.perf_counter()
found = fit(source.Source({"views": recipe}, frames, COUNT))
seconds = time.perf_counter() - begun - made
print(json.dumps({
    "seconds": seconds, "making": made, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "weights": found.fitted.views, "temperature": found.fitted.temperature, "z": [w.cost.z for w in found.worth],
    "gain": found.row("fitted").gain.mean,
}))
"""


def fitted(count, classes, views):
    command = [sys.executable, "-c", FIT, str(count), str(classes), str(views)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_some_images_with_many_classes_are_fitted():
    found = fitted(600, 100, 3)
    assert found["gain"] > 0 and found["weights"][0] > found["weights"][2]


@pytest.mark.slow
def test_fifty_thousand_images_with_a_thousand_classes_and_thirteen_views():
    found = fitted(50_000, 1000, 13)
    print(json.dumps(found))
    assert found["gain"] > 0 and found["weights"][0] > found["weights"][12]
    assert found["seconds"] < 120 and found["gib"] < 4
