"""Finished runs without a model: records of known content in the folder of a run, with small pictures."""

import io

import numpy as np
from PIL import Image

from maskcorrect_plugin.evaluation.manifest import Manifest
from maskcorrect_plugin.evaluation.records.columns import records_schema
from maskcorrect_plugin.evaluation.records.parts import write_table
from maskcorrect_plugin.evaluation.records.thumbnails import thumbnails_schema
from maskcorrect_plugin.evaluation.run_folder import RECORDS, THUMBNAILS, RunFolder
from maskcorrect_plugin.recipe import Recipe

CAM = {**Recipe(method="CAM", target_layer="layer4").to_dict(), "output": "logits", "precision": "float32"}
FLIP = {**Recipe(method=None, views=("hflip",)).to_dict(), "output": "logits", "precision": "float32"}
ORACLE = {**CAM, "method": "control:oracle_class", "method_options": {"of": "CAM"}, "leaks": True}


def write_run(folder, methods, class_names, pictures=0, model="demo", data="demo:60", per_part=32):
    """A finished run.

    Args:
        folder: Where.
        methods: Name -> (settings, records as `records.records_of` makes them).
        class_names: One per class.
        pictures: Small pictures of each method at most.
        model: Its spec, which makes its fingerprint, too.
        data: The source of the images, likewise.
        per_part: Images in a part.
    """
    count = len(next(iter(methods.values()))[1])
    labels = next(iter(methods.values()))[1]["label"]
    identity = {
        "model": {"spec": model, "weights": "DEFAULT", "fingerprint": f"model {model}",
                  "preprocessing": {"transform": "Resize(96)"},
                  "num_classes": len(class_names)},
        "data": {"kind": "folder", "count": count, "labelled": int(labels.notna().sum()),
                 "classes": int(labels.nunique()), "labels": "class names", "fingerprint": f"data {data}"},
        "methods": {name: settings for name, (settings, _) in methods.items()},
        "records": {"images_per_part": per_part, "distributions": "top", "keep_maps": False, "thumbnails": pictures},
        "versions": {"maskcorrect_plugin": "0.1.0", "torch": "2.14.1"},
    }  # fmt: skip
    about = {"created": "2026-11-25T12:00:00+00:00", "source": data, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.2, 0.2]}
    manifest = Manifest(identity, about, tuple(class_names)).create_or_match(folder)
    run = RunFolder(folder, manifest)
    for name, (settings, records) in methods.items():
        _write_records(run, name, records)
        if pictures:
            _write_pictures(run, name, records, pictures, settings is CAM)
    return folder


def _write_records(run, name, records):
    rows = [
        {key: _plain(value) for key, value in row.items()} | {"seconds": 0.01, "saved": 0}
        for row in records.to_dict("records")
    ]
    for part in range(run.manifest.num_parts):
        chosen = run.manifest.part(part)
        write_table(run.part_file(RECORDS, name, part), rows[chosen.start : chosen.stop], records_schema("top"), {})


def _plain(value):
    """Nulls of whatever kind as None."""
    if isinstance(value, np.ndarray | list):
        return value
    return None if value is None or value != value or str(value) == "<NA>" else value


def _write_pictures(run, name, records, limit, with_maps):
    changed = [index for index, value in enumerate(records["changed"]) if value is True or value == True][:limit]  # noqa: E712
    for part in range(run.manifest.num_parts):
        rows = [
            {"index": index, "id": records["id"].iloc[index], "kind": "changed", "image": picture(index, "JPEG"),
             "maps": [picture(index + step, "PNG", "L") for step in range(5 * with_maps)]}
            for index in run.manifest.part(part) if index in changed
        ]  # fmt: skip
        write_table(run.part_file(THUMBNAILS, name, part), rows, thumbnails_schema(), {})


def picture(seed, kind, mode="RGB", size=(40, 30)):
    """An encoded picture: a soft spot on noise, a map if grey."""
    noise = np.random.default_rng(seed)
    y, x = np.mgrid[: size[1], : size[0]]
    spot = np.exp(-((x - noise.integers(size[0])) ** 2 + (y - noise.integers(size[1])) ** 2) / 60)
    values = spot if mode == "L" else 0.6 * spot[..., None] * noise.random(3) + 0.4 * noise.random((*size[::-1], 3))
    file = io.BytesIO()
    Image.fromarray((255 * values).astype(np.uint8)).save(file, kind)
    return file.getvalue()
