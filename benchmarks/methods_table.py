"""Every attribution method once: what it costs on MobileNetV2, and what its map of one image looks like.

    python benchmarks/methods_table.py --weights mobilenet_v2.safetensors
    python benchmarks/methods_table.py 'CAM' 'pytorch_grad_cam:*'          # some of them, random weights
    python benchmarks/methods_table.py --option torchcam:SSCAM num_samples=4

For each installed method `ProbabilityCorrector` corrects one image. Written to the output folder: ``methods.md``, a
table of forwards and backwards (counted), processor time (one run each, no repetition) and failures with their reason;
and ``methods.png``, the map of the most probable class. Both are rewritten after each method.
"""

import argparse
import ast
import fnmatch
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from maskcorrect_plugin import LoadedModel, ProbabilityCorrector, find_target_layer, list_attributions, load_model
from maskcorrect_plugin.images import read_image
from maskcorrect_plugin.recipe_words import CONTROL
from maskcorrect_plugin.registry import describe_methods, get_backend, is_installed, split_name
from maskcorrect_plugin.visualization import denormalize, save_figure
from maskcorrect_plugin.visualization.pictures import as_picture, overlay

MODEL = "torchvision:mobilenet_v2"
COLUMNS = 8
"""Pictures in a row."""


@dataclass(frozen=True)
class Row:
    """What one method did.

    Attributes:
        name: The method's name.
        class_aware: As declared.
        forwards: Images that went forward through the model.
        backwards: Images whose gradient came back through its output.
        seconds: Processor time of one correction, over all threads: a busy machine stretches it less than wall time.
        note: What there is to say: options that are not the default, why it failed, how many maps were flat.
        values: The map (H,W) of the most probable class; None if it failed.
    """

    name: str
    class_aware: bool
    forwards: int
    backwards: int
    seconds: float
    note: str
    values: Tensor | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        counts = (str(self.forwards), str(self.backwards), f"{self.seconds:.2f}")
        return (f"`{self.name}`", "yes" if self.class_aware else "no", *counts, self.note.replace("|", "\\|"))


class PassCounter:
    """Counts the images that go through a model, and those whose gradient comes back through its output."""

    def __init__(self, model: nn.Module) -> None:
        self.forwards = self.backwards = 0
        self.handle = model.register_forward_hook(self._watch)

    def _watch(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.forwards += len(output)
        if output.requires_grad:
            output.register_hook(self._count_backward)  # type: ignore[no-untyped-call]

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def installed(patterns: Sequence[str]) -> list[str]:
    """Names of the methods that match one of the patterns and whose library is there."""
    chosen = [name for name in list_attributions() if any(fnmatch.fnmatchcase(name, wanted) for wanted in patterns)]
    methods = [name for name in chosen if not name.startswith(CONTROL)]
    return [name for name in methods if is_installed(get_backend(split_name(name)[0]))]


def read_options(given: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Pairs (method, "name=value") as options by method; a value that is no Python literal is a string."""
    options: dict[str, dict[str, Any]] = {}
    for method, setting in given:
        name, equals, text = setting.partition("=")
        if method not in list_attributions() or not equals:
            raise SystemExit(f"--option takes a method and NAME=VALUE, got {method!r} and {setting!r}")
        try:
            value = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text
        options.setdefault(method, {})[name] = value
    return options


def measure(name: str, model: nn.Module, inputs: Tensor, layer: str, top_k: int, options: Mapping[str, Any]) -> Row:
    """Corrects one image with one method; its options, and whatever goes wrong, become the row's note."""
    counter = PassCounter(model)
    values, notes = None, [f"{key}={value}" for key, value in options.items()]
    start = time.process_time()
    try:
        corrector = ProbabilityCorrector(model, name, target_layer=layer, top_k=top_k, **options)
        start = time.process_time()  # again: the library may just have been imported
        result = corrector.correct(inputs, keep=("attributions",))
    except Exception as error:  # noqa: BLE001  (a failure is a result here)
        lines = str(error).splitlines() or [""]
        notes.append(f"failed: {type(error).__name__}: {lines[0]}")
    else:
        flat = int(result.flat.sum())
        notes += [f"{flat} of {result.flat.numel()} maps flat"] if flat else []
        values = None if result.attributions is None else result.attributions[0, 0].cpu()
    seconds = time.process_time() - start
    counter.handle.remove()
    aware = describe_methods()[name].class_aware
    return Row(name, aware, counter.forwards, counter.backwards, seconds, "; ".join(notes), values)


def table(rows: Sequence[Row], about: str, top_k: int) -> str:
    """The Markdown document."""
    head = ("method", "class-aware", "forwards", "backwards", "CPU seconds", "note")
    lines = [head, ("---", "---", "---:", "---:", "---:", "---"), *(row.cells for row in rows)]
    explained = (
        f"One image, K = {top_k} candidates. Forwards count the one that finds the candidates and the {top_k} that ask "
        "again. Seconds are processor time of the whole correction, one run each, not repeated."
    )
    return "\n".join(["# Attribution methods", "", about, "", explained, "", *map(_line, lines), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw(rows: Sequence[Row], picture: Any, path: Path) -> None:
    """The image, and over it the map of each method that gave one."""
    shown = [("input", picture)]
    shown += [(row.name, overlay(picture, row.values.numpy())) for row in rows if row.values is not None]
    lines = -(-len(shown) // COLUMNS)
    width = min(len(shown), COLUMNS)
    figure = Figure(figsize=(1.6 * width, 1.85 * lines), layout="constrained")
    axes = figure.subplots(lines, width, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (name, image) in zip(axes, shown, strict=False):  # the last line need not be full
        axis.imshow(image)
        axis.set_title(name.replace(":", ":\n"), fontsize=7)
    save_figure(figure, path, dpi=120)


def open_image(path: str | None) -> tuple[Image.Image, str]:
    """The image and what it is; scikit-image's CC0 cat without a path."""
    if path is not None:
        return read_image(path), Path(path).name
    try:
        from skimage import data
    except ImportError:
        raise SystemExit(
            "the default image comes with scikit-image: pip install scikit-image, or pass --image"
        ) from None
    return Image.fromarray(data.cat()), "scikit-image's CC0 cat"  # type: ignore[no-untyped-call]


def describe(loaded: LoadedModel, inputs: Tensor, image: str, layer: str) -> str:
    """Under what conditions the table came about."""
    weights = "RANDOM weights" if loaded.weights is None else f"weights {Path(loaded.weights).name}"
    size = " x ".join(str(side) for side in inputs.shape[-2:])
    threads = torch.get_num_threads()
    machine = f"torch {torch.__version__}, CPU ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"
    return f"{loaded.spec} at {size}, {weights}, target layer `{layer}`, image: {image}. {machine}."


def main() -> None:
    """Reads the arguments and fills the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=["*"], help="names or shell-style patterns of methods")
    parser.add_argument("--weights", help="weights file of torchvision's mobilenet_v2; random weights without")
    parser.add_argument("--image", help="an image file; scikit-image's cat without")
    parser.add_argument(
        "--option",
        nargs=2,
        action="append",
        default=[],
        metavar=("METHOD", "NAME=VALUE"),
        help="an option of one method",
    )
    parser.add_argument("--top-k", type=int, default=5, help="candidates")
    parser.add_argument("--output", type=Path, default=Path("maskcorrect-methods"), help="folder")
    options = parser.parse_args()
    method_options = read_options(options.option)
    names = installed(options.patterns)
    if not names:
        parser.error(f"no installed method matches {' '.join(options.patterns)}; see 'maskcorrect methods'")

    torch.manual_seed(0)
    loaded = load_model(MODEL, weights=options.weights)
    image, title = open_image(options.image)
    inputs = loaded.transform(image).unsqueeze(0)
    layer = find_target_layer(loaded.model, inputs)  # found once, and the first forward is not timed
    about = describe(loaded, inputs, title, layer)
    print(about)
    picture = as_picture(denormalize(inputs[0], loaded.mean, loaded.std))
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for name in names:
        rows.append(measure(name, loaded.model, inputs, layer, options.top_k, method_options.get(name, {})))
        print("  ".join(rows[-1].cells), flush=True)
        (options.output / "methods.md").write_text(table(rows, about, options.top_k), encoding="utf-8")
        draw(rows, picture, options.output / "methods.png")
    print(f"methods.md and methods.png are in {options.output}")


if __name__ == "__main__":
    main()
