"""One run of ``maskcorrect correct`` over checked arguments: prints and writes what each group gives."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskcorrect_plugin.commands.corrector_options import CorrectorOptions
from maskcorrect_plugin.commands.drawing import draw_corrected
from maskcorrect_plugin.commands.outcomes import ImageOutcome, correct_files, model_device
from maskcorrect_plugin.commands.outputs import INTERRUPTED, RESULT, OutputFolder
from maskcorrect_plugin.commands.result_json import ResultStream, image_record, run_header
from maskcorrect_plugin.commands.terminal import (
    Style,
    counted,
    echo,
    header_text,
    image_text,
    printable,
    summary_text,
    terminal_width,
)
from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.results import KEEP


@dataclass(frozen=True, kw_only=True)
class CorrectOptions(CorrectorOptions):
    """The arguments of ``maskcorrect correct``; the module `options` says what each means."""

    images: Sequence[Path]
    recipe: str
    method: str | None
    output: Path | None
    overwrite: bool
    figures: bool
    as_json: bool
    quiet: bool


class CorrectRun:
    """Corrects files, prints and writes.

    Args:
        options: What was asked for.
        loaded: The model.
        corrector: What corrects.
        files: Image files.
        folder: Where results go; None writes nothing.
    """

    def __init__(
        self,
        options: CorrectOptions,
        loaded: LoadedModel,
        corrector: ProbabilityCorrector,
        files: Sequence[Path],
        folder: OutputFolder | None,
    ) -> None:
        self.options = options
        self.loaded = loaded
        self.corrector = corrector
        self.files = files
        self.folder = folder
        self.with_figures = folder is not None and options.figures
        self.style = Style.of(sys.stdout)
        self.stream: ResultStream | None = None
        self.started = time.monotonic()
        self.summary = {"images": len(files), "done": 0, "failed": 0, "changed": 0, "corrected": 0}

    def run(self) -> int:
        """Corrects all files; 1 if some failed, else 0."""
        show_progress = sys.stderr.isatty() and not self.options.quiet
        method: Any = self.corrector.method
        if hasattr(method, "show_progress"):
            method.show_progress = show_progress
        bar = tqdm(total=len(self.files), unit="image", disable=not show_progress, leave=False, dynamic_ncols=True)
        try:
            with bar:
                groups = correct_files(
                    self.corrector, self.loaded.preprocessing, self.files, KEEP if self.with_figures else ()
                )
                for index, group in enumerate(groups):
                    if index == 0:
                        self._open()
                    for outcome in group:
                        self._report(outcome)
                        bar.update()
            self._close()
        except BaseException:
            self._abandon()
            raise
        return 1 if self.summary["failed"] else 0

    def _open(self) -> None:
        settings = {
            "recipe": self.corrector.recipe.name,
            **self.corrector.settings,
            "batch_size": self.options.batch_size or "auto",
            "compile": self.options.compile,
            "device": str(model_device(self.corrector.model)),
        }
        header = run_header(self.loaded, settings)
        if self.folder is not None:
            self.folder.open(header)
        if self.options.as_json:
            self.stream = ResultStream(lambda text: echo(text, newline=False), header)
        elif not self.options.quiet:
            echo(header_text(header, self.style))

    def _report(self, outcome: ImageOutcome) -> None:
        record = image_record(outcome, self.loaded.class_names, self._draw(outcome))
        self.summary["failed" if outcome.failure else "done"] += 1
        self.summary["changed"] += bool(record["changed"])
        self.summary["corrected"] += bool(record["corrected"])
        if self.folder is not None:
            self.folder.add(record)
        if self.stream is not None:
            self.stream.add(record)
        if outcome.failure is not None:
            echo(image_text(record, terminal_width(), Style.of(sys.stderr)), stderr=True)
        elif not self.options.as_json and not self.options.quiet:
            echo(image_text(record, terminal_width(), self.style) + "\n")

    def _draw(self, outcome: ImageOutcome) -> str | None:
        """Writes the figure of one image and gives its name; None where there is none to draw."""
        if self.folder is None or not self.with_figures or outcome.result is None or outcome.inputs is None:
            return None
        from maskcorrect_plugin.visualization import save_figure

        image = outcome.inputs if outcome.picture is None else outcome.picture
        figure = draw_corrected(
            self.corrector, self.loaded, image, outcome.result, outcome.row, image_id=str(outcome.path)
        )
        return self.folder.add_figure(outcome.path.stem, lambda path: save_figure(figure, path))

    def _footer(self) -> dict[str, Any]:
        return {"summary": {**self.summary, "seconds": round(time.monotonic() - self.started, 3)}}

    def _close(self) -> None:
        footer = self._footer()
        if self.folder is not None:
            self.folder.finish(footer)
        if self.stream is not None:
            self.stream.close(footer)
        elif not self.options.quiet:
            echo(summary_text(footer["summary"], self.style))
            if self.folder is not None:
                echo(f"{counted(self.folder.figures, 'figure')} and {RESULT} are in {printable(str(self.folder.path))}")

    def _abandon(self) -> None:
        """Says what was written before the run was stopped."""
        handled = self.summary["done"] + self.summary["failed"]
        if self.folder is not None and self.folder.abandon(self._footer()):
            echo(
                f"stopped after {handled} of {len(self.files)} images: {counted(self.folder.figures, 'figure')} and "
                f"{INTERRUPTED} are in {printable(str(self.folder.path))}; there is no {RESULT}",
                stderr=True,
            )
