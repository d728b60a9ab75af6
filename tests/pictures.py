"""Small image files that can be told apart, folders of them, and what data sets make of them."""

import os
from pathlib import Path

from PIL import Image


def picture(shade=0, size=(6, 4)):
    """A plain image of one colour; the red channel is `shade`."""
    return Image.new("RGB", size, (shade, 100, 200))


def write_pictures(folder, names, size=(6, 4)):
    """Writes one PNG per name (folders are made); the n-th has the shade n."""
    for shade, name in enumerate(names):
        file = Path(folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(shade, size).save(file, format="PNG")
    return folder


def records(dataset):
    """All (id, label) of a data set."""
    return [(record.id, record.label) for record in map(dataset.record, range(len(dataset)))]


def forbid_listing(monkeypatch, ending):
    """Folders whose path ends so cannot be listed, as if another user owned them."""
    scandir = os.scandir

    def refusing(path):
        if os.fspath(path).endswith(ending):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
