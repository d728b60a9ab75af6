"""``maskcorrect demo``: the whole method on the embedded data set, in under a minute, and what came out of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from maskcorrect_plugin.checks import check_int
from maskcorrect_plugin.commands.outputs import OutputFolder
from maskcorrect_plugin.commands.result_json import run_header
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.evaluation.paper import BOUND as MAX_GAP
from maskcorrect_plugin.evaluation.statistics import PairedOutcome
from maskcorrect_plugin.evaluation.text import p_text, verdict
from maskcorrect_plugin.models import LoadedModel, load_model
from maskcorrect_plugin.options import default_of
from maskcorrect_plugin.recipe import PAPER
from maskcorrect_plugin.results import CorrectionResult
from maskcorrect_plugin.views import MaskView

from .scenes import CLASS_NAMES, SceneDataset

IMAGES_PER_BATCH = 32
CASES = 3
"""Figures of each kind: fixed, and broken."""


@dataclass(frozen=True)
class DemoOutcome:
    """What correction did to the held-out scenes.

    Attributes:
        everything: The 2 x 2 table over all scenes.
        difficult: The same over scenes with p1 - p5 below 0.5.
        result: The results of all scenes, without maps.
        labels: The truth, (N,) int64.
        seconds: Time of the correction.
    """

    everything: PairedOutcome
    difficult: PairedOutcome
    result: CorrectionResult
    labels: Tensor
    seconds: float


def run_demo(
    output: Path | None,
    count: int = 500,
    seed: int = 0,
    method: str = "ScoreCAM",
    echo: Callable[[str], None] = lambda text: None,
) -> DemoOutcome:
    """Corrects held-out scenes with the paper's settings and says what came out.

    Args:
        output: Folder for the figures; an earlier demo's own files in it are replaced. None writes nothing.
        count: Number of scenes.
        seed: Of the scenes.
        method: The attribution method.
        echo: Takes each line of text.
    """
    check_int("count", count, 1)
    folder = None if output is None else OutputFolder(output, overwrite=True)
    loaded = load_model("demo")
    corrector = ProbabilityCorrector(loaded.model, method, preprocessing=loaded.preprocessing)
    scenes = SceneDataset("test", count, seed)
    echo(f"{count} held-out scenes of {len(CLASS_NAMES)} classes, corrected by {method} with the paper's settings:")
    threshold = default_of(MaskView, "threshold")
    echo(f"the {PAPER.top_k} most probable classes, threshold {threshold:g}, masked image, R = sum of Y[c_k] P_k.\n")
    outcome = _evaluate(corrector, loaded, scenes)
    for line in report(outcome):
        echo(line)
    if folder is not None:
        names = _draw_cases(folder, corrector, loaded, scenes, outcome)
        echo(f"\n{len(names)} figures are in {folder.path}: {', '.join(names)}")
    return outcome


def _evaluate(corrector: ProbabilityCorrector, loaded: LoadedModel, scenes: SceneDataset) -> DemoOutcome:
    started = time.monotonic()
    results, labels = [], []
    for start in range(0, len(scenes), IMAGES_PER_BATCH):
        batch = [scenes.scene(index) for index in range(start, min(len(scenes), start + IMAGES_PER_BATCH))]
        inputs = torch.stack([loaded.transform(Image.fromarray(scene.image)) for scene in batch])
        results.append(corrector.correct(inputs).to("cpu"))
        labels += [scene.label for scene in batch]
    result, truth = CorrectionResult.cat(results), torch.tensor(labels)
    before, after = result.prediction, result.corrected_prediction
    return DemoOutcome(
        PairedOutcome.of(before, after, truth),
        PairedOutcome.of(before, after, truth, result.gap < MAX_GAP),
        result,
        truth,
        time.monotonic() - started,
    )


def report(outcome: DemoOutcome) -> Iterator[str]:
    """The outcome as lines of text, whichever way it fell."""
    yield f"{'':27}{'images':>7}{'before':>9}{'after':>9}{'fixed':>7}{'broken':>8}{'exact McNemar p':>18}"
    rows = (("all images", outcome.everything), (f"p1 - p5 < {MAX_GAP} (difficult)", outcome.difficult))
    for title, table in rows:
        yield (
            f"{title:27}{table.total:7}{table.accuracy_before:9.1%}{table.accuracy_after:9.1%}"
            f"{table.fixed:7}{table.broken:8}{p_text(table.mcnemar_p):>18}"
        )
    yield ""
    yield verdict(outcome.everything)
    seconds = outcome.seconds
    yield f"{len(outcome.labels)} images in {seconds:.1f} s, {len(outcome.labels) / seconds:.1f} images a second."


def instructive_cases(outcome: DemoOutcome, limit: int = CASES) -> list[tuple[str, int]]:
    """Scenes worth a look: of those fixed and of those broken, where the true class gained or lost most.

    Returns:
        Pairs of kind (``"fixed"`` or ``"broken"``) and scene index; where there are fewer, fewer.
    """
    result, labels = outcome.result, outcome.labels
    was, now = result.prediction == labels, result.corrected_prediction == labels
    gain = (result.corrected_probs - result.probs).gather(1, labels[:, None]).squeeze(1)
    cases: list[tuple[str, int]] = []
    for kind, chosen, score in (("fixed", ~was & now, gain), ("broken", was & ~now, -gain)):
        order = torch.where(chosen, score, -torch.inf).argsort(descending=True, stable=True)
        cases += [(kind, int(index)) for index in order[: min(limit, int(chosen.sum()))]]
    return cases


def _draw_cases(
    folder: OutputFolder,
    corrector: ProbabilityCorrector,
    loaded: LoadedModel,
    scenes: SceneDataset,
    outcome: DemoOutcome,
) -> list[str]:
    from maskcorrect_plugin.visualization import draw_correction, draw_outcome, render_views, save_figure

    folder.open({**run_header(loaded, corrector.settings), "scenes": {"split": scenes.split, "seed": scenes.seed}})
    tables = {"all images": outcome.everything, f"p1 - p5 < {MAX_GAP}": outcome.difficult}
    tables = {name: table for name, table in tables.items() if table.total}
    p_values = {name: table.mcnemar_p for name, table in tables.items()}
    overview = draw_outcome({name: vars(table) for name, table in tables.items()}, p_values=p_values)
    names = [folder.add_figure("outcome", partial(save_figure, overview))]
    folder.add({"scene": None, "figure": names[0]})
    for kind, index in instructive_cases(outcome):
        scene = scenes.scene(index)
        image = Image.fromarray(scene.image)
        inputs = loaded.transform(image).unsqueeze(0)
        result = corrector.correct(inputs, keep=("attributions", "view_probs"))
        figure = draw_correction(
            image,
            result,
            class_names=loaded.class_names,
            view_images=render_views(corrector, inputs, result),
            title=f"scene {index}: {kind}",
            label=scene.label,
        )
        names.append(folder.add_figure(f"{kind}-{index}", partial(save_figure, figure)))
        folder.add({"scene": index, "kind": kind, "figure": names[-1]})
    table = outcome.everything
    folder.finish({"summary": {**vars(table), "mcnemar_p": table.mcnemar_p, "seconds": round(outcome.seconds, 3)}})
    return names
