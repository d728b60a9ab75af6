"""``maskcorrect sweep``: other settings on the maps that a run kept; chosen on one half, reported on the other."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskcorrect_plugin.checks import check_choice, check_number
from maskcorrect_plugin.commands.terminal import Style, echo, plain_warnings
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import iterate_groups, worker_deaths
from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.atomic import write_atomically
from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.manifest import differences
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.sweep.choice import choose
from maskcorrect_plugin.evaluation.sweep.folder import SweepFolder, check_sweepable
from maskcorrect_plugin.evaluation.sweep.grid import Grid, parse_names, parse_numbers, parse_whole_numbers, view_sets
from maskcorrect_plugin.evaluation.sweep.rerun import Rerun
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.recipe_options import POOLS, VOTES, WEIGHTS

from .compare import write_frame
from .evaluate import EvaluateOptions, prepare
from .sweep_text import sweep_text


@dataclass(frozen=True, kw_only=True)
class SweepOptions:
    """The arguments of ``maskcorrect sweep``; None takes the run's own value."""

    run: Path
    method: str | None
    threshold: str | None
    top_k: str | None
    views: Sequence[str] | None
    pool: str | None
    vote: str | None
    candidate_weights: str | None
    share: float
    seed: int
    data: str | None
    model_weights: str | None
    device: str | None
    batch_size: int | None
    output: Path | None
    quiet: bool


def sweep(options: SweepOptions) -> int:
    """Runs the command.

    Raises:
        MaskCorrectError: wrong usage, or a run without maps, before the long work.
    """
    check_number("share", options.share, 0, 1)
    folder = open_sweep(options)
    with plain_warnings(Style.of(sys.stderr)), worker_deaths():
        missing = folder.missing()
        if missing:
            evaluation = rebuild(options, folder)
            folder.describe()
            _run(folder, evaluation, missing, show_progress=sys.stderr.isatty() and not options.quiet)
    results = folder.results()
    answers = folder.run.records(folder.method, ["classes_after"])["classes_after"]
    recorded = answers.map(lambda classes: None if classes is None else classes[0])
    outcome = choose(results, folder.recipes, recorded, share=options.share, seed=options.seed)
    frame = outcome.to_frame()
    write_atomically(folder.path / "settings.csv", lambda file: file.write(frame.to_csv(index=False).encode()))
    if options.output is not None:
        write_frame(frame, options.output)
    if not options.quiet:
        echo(sweep_text(outcome, folder.method))
        echo(f"\nAll {len(outcome.outcomes)} settings: {options.output or folder.path / 'settings.csv'}")
    return 0


def open_sweep(options: SweepOptions) -> SweepFolder:
    """The sweep that the options describe; the run's own setting is always part of it."""
    run = RunFolder.open(options.run)
    swept = [name for name, settings in run.manifest.identity["methods"].items() if settings.get("method") is not None]
    if not swept:
        raise RunError(f"{run.path!s} has no method with maps, only {', '.join(run.methods)}")
    method = options.method or swept[0]
    check_choice("method", method, run.methods)
    check_sweepable(run, method)
    base = run.recipe(method)
    thresholds = None if options.threshold is None else parse_numbers("threshold", options.threshold)
    grid = Grid(
        base,
        views=view_sets(options.views, thresholds, base),
        pools=parse_names("pool", options.pool or base.pool, POOLS),
        top_ks=parse_whole_numbers("top_k", options.top_k or str(base.top_k)),
        votes=parse_names("vote", options.vote or base.vote, VOTES),
        candidate_weights=parse_names(
            "candidate_weights", options.candidate_weights or base.candidate_weights, WEIGHTS
        ),
    )
    return SweepFolder(run, method, tuple(grid.recipes()))


def rebuild(options: SweepOptions, folder: SweepFolder) -> Evaluation:
    """The model, the data and the corrector of the run again, checked against what ``run.json`` says of them.

    Raises:
        RunError: the run was not made by the command line, or model or data are not the same any more.
    """
    recorded = folder.run.manifest.about.get("options")
    if recorded is None:
        raise RunError(f"{folder.run.path!s} was not made by 'maskcorrect evaluate', so its model cannot be made again")
    changes = {"data": options.data, "weights": options.model_weights, "device": options.device}
    given = {name: value for name, value in changes.items() if value is not None}
    again = recorded_options({**recorded, "batch_size": options.batch_size, **given})
    evaluation = prepare(again, {folder.method: folder.run.recipe(folder.method)}, Worker())
    evaluation.probe()
    identity, now = folder.run.manifest.identity, json.loads(json.dumps(evaluation.manifest().identity))
    names = ("model", "data")
    different = [difference for name in names for difference in differences(identity[name], now[name], name)]
    if different:
        name, old, new = different[0]
        raise RunError(
            f"model and data must be those of the run {folder.run.path!s}, but {name} was {old!r} and is {new!r} now; "
            "--data and --weights name where they are"
        )
    return evaluation


def recorded_options(recorded: Mapping[str, Any]) -> EvaluateOptions:
    """The options of a run from its ``run.json``."""
    paths = {"output", "root", "classes"}
    known = {field.name for field in fields(EvaluateOptions)}
    values: dict[str, Any] = {name: value for name, value in recorded.items() if name in known}
    values.update({name: Path(values[name]) for name in paths if values.get(name) is not None})
    try:
        return EvaluateOptions(**values)
    except TypeError as error:
        raise ArgumentError(f"the options of the run are those of another version: {error}") from error


def _run(folder: SweepFolder, evaluation: Evaluation, missing: list[int], *, show_progress: bool) -> None:
    corrector = evaluation.correctors[folder.method]
    if not isinstance(corrector, ProbabilityCorrector):
        raise RunError(f"{folder.method!r} is no method whose maps can be swept")
    manifest = folder.run.manifest
    rerun = Rerun(corrector, evaluation.dataset, list(folder.recipes))
    positions = [list(manifest.part(part)) for part in missing]
    groups = iterate_groups(
        evaluation.dataset,
        evaluation.loaded.preprocessing,
        positions,
        num_workers=evaluation.num_workers,
        pictures=rerun.needs_pictures,
    )
    done = manifest.num_images - sum(map(len, positions))
    with tqdm(
        total=manifest.num_images, initial=done, unit="image", disable=not show_progress, dynamic_ncols=True
    ) as bar:
        for part, group in zip(missing, groups, strict=True):
            rerun.run_part(folder, part, group)
            bar.update(len(group.indices))
