"""Evaluations at scale: memory that does not grow with the images, statistics of 50,000 rows in seconds."""

import os
import subprocess
import sys
import time

import pytest
from forking_cli import environment
from records import random_records

from maskcorrect_plugin import compare
from maskcorrect_plugin.evaluation.manifest import Manifest
from maskcorrect_plugin.evaluation.records.columns import records_schema
from maskcorrect_plugin.evaluation.records.parts import write_table
from maskcorrect_plugin.evaluation.run_folder import RECORDS, RunFolder

MEMORY = """
import resource, sys, tempfile
from pathlib import Path
import torch
from lively import correctors_of, lively_net
from maskcorrect_plugin.datasets import as_image_dataset
from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.models import LoadedModel, Preprocessing

torch.set_num_threads(1)


class Many(torch.utils.data.Dataset):
    targets = [index % 6 for index in range(int(sys.argv[1]))]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return torch.randn(3, 16, 20, generator=torch.Generator().manual_seed(index)), index % 6


net = lively_net()
loaded = LoadedModel(net, Preprocessing(None), tuple("abcdef"), "lively", None)
options = RecordOptions(keep_maps=True, thumbnails=200)
evaluation = Evaluation(correctors_of(net), as_image_dataset(Many()), loaded, options)
evaluation.probe()
with tempfile.TemporaryDirectory() as folder:
    evaluation.run(evaluation.open(Path(folder) / "run"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_mib(count):
    command = [sys.executable, "-c", MEMORY, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    return float(done.stdout)


@pytest.mark.slow
def test_memory_is_flat_over_ten_thousand_images():
    few, many = peak_mib(1000), peak_mib(10_000)
    print(f"peak memory: {few:.0f} MiB with 1,000 images, {many:.0f} MiB with 10,000")
    assert many - few < 25, (few, many)


METHODS = ("CAM", "ScoreCAM")
CLASSES, IMAGES, PART = 1000, 50_000, 32


def synthetic_run(folder, count, classes=CLASSES):
    """A finished run of so many images with all columns but the whole distributions, which no statistic reads."""
    settings = {name: {"method": name, "top_k": 5} for name in METHODS}
    kept = {"images_per_part": PART, "keep_maps": False, "thumbnails": 0, "distributions": "top"}
    model = {"spec": "synthetic", "weights": None, "fingerprint": "a"}
    identity = {"model": model, "data": {"kind": "synthetic", "count": count, "fingerprint": "b"}}
    run = RunFolder(folder, Manifest({**identity, "methods": settings, "records": kept}).create_or_match(folder))
    rows = random_records(min(count, 1600), classes).assign(seconds=0.1, failure=None).to_dict("records")
    for method in METHODS:
        for part in range(run.manifest.num_parts):
            indices = run.manifest.part(part)
            chosen = [{**rows[index % len(rows)], "index": index, "id": f"{index}.jpg"} for index in indices]
            write_table(run.part_file(RECORDS, method, part), chosen, records_schema("top"), {})
    return run


def timed(work):
    wall, processor = time.perf_counter(), time.process_time()
    value = work()
    return value, time.perf_counter() - wall, time.process_time() - processor


def test_a_run_of_many_parts_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    comparison = compare([synthetic_run(tmp_path / "run", 1000, classes=50)])
    assert [row.summary.images for row in comparison.rows] == [1000, 1000]


@pytest.mark.slow
def test_fifty_thousand_rows_are_summarised_and_compared_in_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    run = synthetic_run(tmp_path / "run", IMAGES)
    compare([run])  # imports
    comparison, wall, processor = timed(lambda: compare([run], baseline="CAM"))
    parts = run.manifest.num_parts
    print(f"{len(METHODS)} methods x {parts} parts: {processor:.1f} s of processor, {wall:.1f} s of clock")
    assert [row.summary.images for row in comparison.rows] == [IMAGES] * 2
    assert processor < 20
