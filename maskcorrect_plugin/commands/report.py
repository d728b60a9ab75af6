"""``maskcorrect report``: finished runs as one HTML page."""

from collections.abc import Sequence
from pathlib import Path

from maskcorrect_plugin.commands.terminal import counted, echo, printable
from maskcorrect_plugin.evaluation.subset import Subset
from maskcorrect_plugin.report import Report, write_report
from maskcorrect_plugin.report.formats import size


def report_runs(
    runs: Sequence[Path], output: Path, subset: str, images: int, title: str | None, overwrite: bool
) -> None:
    """Writes the page and says what is in it.

    Raises:
        MaskCorrectError: no finished run, or a file that would be overwritten.
    """
    made = write_report(runs, output, subset=Subset.parse(subset), pictures=images, title=title, overwrite=overwrite)
    echo(report_text(made))


def report_text(made: Report) -> str:
    """Where the page is, how large it is, and what it leaves out."""
    lines = [
        f"{printable(str(made.path))}: {size(made.size)}, {counted(made.methods, 'method')}, {made.pictured:,} of "
        f"{made.changed:,} changed answers with a picture; it opens in any browser, without a network"
    ]
    if made.listed < made.changed:
        lines.append(f"{made.changed - made.listed:,} changed answers are not listed; they are in the records")
    return "\n".join(lines)
