"""``maskcorrect fit``: weights of views from labelled images, or from a finished run, and whether to use them."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from maskcorrect_plugin.commands.terminal import Style, echo, plain_warnings, printable
from maskcorrect_plugin.errors import ArgumentError, RunError
from maskcorrect_plugin.evaluation.atomic import check_writable
from maskcorrect_plugin.evaluation.manifest import NAME, check_output
from maskcorrect_plugin.evaluation.run_folder import RunFolder
from maskcorrect_plugin.evaluation.runner import RecordOptions
from maskcorrect_plugin.evaluation.subset import PAPER_SUBSET
from maskcorrect_plugin.evaluation.text import wrapped
from maskcorrect_plugin.evaluation.worker import Worker
from maskcorrect_plugin.fitting import Fit, fit
from maskcorrect_plugin.fitting.file import save_corrector
from maskcorrect_plugin.fitting.source import FITTED
from maskcorrect_plugin.fitting.words import FitTable, headline, notes, tables
from maskcorrect_plugin.recipe import Recipe

from .evaluate import EvaluateOptions, prepare
from .run_progress import run_progress
from .run_text import opening_text, stopped_text
from .stopping import ending_on_sigterm

RUN_SUFFIX = ".run"
OF_A_RUN = {
    **dict.fromkeys(("views", "top_k", "target_layer", "output", "split", "image_column", "label_column", "root")),
    **dict.fromkeys(("limit", "classes", "size", "mean", "std", "batch_size", "device", "num_workers")),
    **{"model": "", "weights": "DEFAULT", "recipe": "zoom", "model_output": "logits", "precision": "float32"},
}
"""Options that a finished run has had already, each with what it is where it was not given."""


@dataclass(frozen=True, kw_only=True)
class FitOptions(EvaluateOptions):
    """The arguments of ``maskcorrect fit``: those of an evaluation, and these."""

    recipe: str
    method: str | None
    fit_pool: str
    max_forwards: float | None
    corrector: Path
    page: Path | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "FitOptions":
        """From the arguments of the command: what an evaluation has beside them is its default."""
        renamed = {"pool": "fit_pool", "output": "corrector", "run": "output"}
        own = {renamed.get(name, name): value for name, value in given.items()}
        unset = dict.fromkeys(field.name for field in fields(cls) if field.name not in own)
        defaults = {
            "subset": str(PAPER_SUBSET),
            "dry_run": False,
            "as_json": False,
            "compile": "off",
            **vars(RecordOptions()),
        }
        return cls(**{**unset, **defaults, **own})


def run_fit(options: FitOptions) -> int:
    """Runs the command.

    Returns:
        0, also where no correction is better than none.

    Raises:
        MaskCorrectError: wrong usage, before the long work; too few labels.
    """
    if options.corrector.suffix != ".json":
        raise ArgumentError(f"output must end in .json, got {options.corrector.name!r}")
    for file in (options.corrector, options.page):
        if file is not None:
            check_writable(file.parent)
    with plain_warnings(Style.of(sys.stderr)):
        folder, method = _finished_run(options) if (Path(options.data) / NAME).is_file() else _own_run(options)
        found = fit(folder, method, pool=options.fit_pool, max_forwards=options.max_forwards, seed=options.seed)
    identity = folder.manifest.identity
    save_corrector(options.corrector, found, identity["model"], identity["data"])
    if options.page is not None:
        from maskcorrect_plugin.report.fit_page import write_fit_page  # imports matplotlib

        title = f"{identity['model']['spec']} on {folder.manifest.about.get('source') or 'labelled images'}"
        write_fit_page(found, options.page, title)
    if not options.quiet:
        echo(fit_text(found))
        places = [f"The corrector is in {options.corrector}", f"the page in {options.page}" if options.page else ""]
        echo("\n" + printable(", ".join(filter(None, places)) + f"; the run in {folder.path}"))
    return 0


def _finished_run(options: FitOptions) -> tuple[RunFolder, str | None]:
    """A run that is there already: nothing is computed again."""
    folder = RunFolder.open(options.data)
    given = [name for name, default in OF_A_RUN.items() if getattr(options, name) not in (default, [], ())]
    if given:
        names = ", ".join("--run" if name == "output" else f"--{name.replace('_', '-')}" for name in given)
        raise ArgumentError(
            f"{options.data!r} is a finished run, which has its own images and recipes; leave out {names}"
        )
    return folder, options.method


def _own_run(options: FitOptions) -> tuple[RunFolder, str]:
    """Evaluates the recipe and what stands beside it, or resumes that."""
    if not options.model:
        raise ArgumentError("model must be given, such as -m torchvision:resnet50; only a finished run has its own")
    output = options.output or options.corrector.with_suffix(RUN_SUFFIX)
    check_output(output)
    evaluation = prepare(options, _recipes(options), Worker())
    evaluation = replace(evaluation, options=replace(evaluation.options, distributions="float32"))
    evaluation.probe()
    folder = evaluation.open(output)
    if not options.quiet:
        echo(opening_text(evaluation, folder))
    try:
        with ending_on_sigterm(), run_progress(evaluation, folder, quiet=options.quiet) as progress:
            evaluation.run(folder, progress)
    except (KeyboardInterrupt, SystemExit):
        echo(stopped_text(evaluation, folder), stderr=True)
        raise
    if not folder.complete:
        raise RunError(f"{folder.path!s} is not finished: {stopped_text(evaluation, folder)}")
    return folder, FITTED


def _recipes(options: FitOptions) -> dict[str, Recipe]:
    """The recipe that is fitted, and its rivals: no map, the paper's mask, another image's map."""
    methods = [] if options.method is None else [options.method]
    (recipe,) = options.named_recipes([options.recipe], methods).values()
    recipe = replace(recipe, max_gap=None, temperature=1.0, view_weights=None, fitted_for=None)
    rows = {FITTED: recipe, "unguided": Recipe.of("unguided")}
    if recipe.method is not None:
        spec = recipe.method_spec or ""
        rows["paper"] = Recipe(method=recipe.method, method_options=recipe.method_options, top_k=recipe.top_k)
        rows["another image's map"] = recipe.replace(
            method="control:other_image", method_options={"of": spec}, target_layer=recipe.target_layer
        )
    unique: dict[str, Recipe] = {}
    for name, each in rows.items():
        if each not in unique.values():
            unique[name] = each
    return unique


def fit_text(found: Fit) -> str:
    """The whole report for a terminal."""
    parts = ["\n".join(wrapped(headline(found))), *(_table_text(table) for table in tables(found))]
    return printable_lines([*parts, *("\n".join(wrapped(note)) for note in notes(found))])


def printable_lines(parts: Sequence[str]) -> str:
    """Parts with a line between them, without signs that could steer a terminal."""
    return "\n\n".join("\n".join(map(printable, part.split("\n"))) for part in parts)


def _table_text(table: FitTable) -> str:
    widths = [max(len(row[column]) for row in [table.head, *table.rows]) for column in range(len(table.head))]
    lines = [table.title, *(_line(row, widths) for row in [table.head, *table.rows])]
    return "\n".join([*lines, *wrapped(table.note)] if table.note else lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    rest: Any = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
    return "  ".join([f"{first:<{widths[0]}}", *rest]).rstrip()
