"""Small image files that can be told apart, and folders of them."""

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
