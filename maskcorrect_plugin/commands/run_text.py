"""What ``maskcorrect evaluate`` says when it begins, when its share is done, and when it is stopped."""

from maskcorrect_plugin.evaluation.job import Evaluation
from maskcorrect_plugin.evaluation.run_folder import RunFolder

from .terminal import printable


def opening_text(evaluation: Evaluation, folder: RunFolder) -> str:
    """The first lines of a run: what it is, whose share this is, how much of it is there."""
    manifest, worker = folder.manifest, evaluation.worker
    methods = ", ".join(evaluation.correctors)
    lines = [f"{evaluation.loaded.spec} on {manifest.num_images:,} images of {evaluation.dataset.source}: {methods}"]
    if worker.size > 1:
        lines.append(f"{worker} ({worker.source})")
    done, total = parts_done(folder)
    if done:
        lines.append(f"going on: {done} of {total} parts are there")
    return "\n".join(map(printable, lines))


def share_text(evaluation: Evaluation, folder: RunFolder) -> str:
    """What a worker says whose share is done while others are not ready."""
    done, total = parts_done(folder)
    return printable(f"{evaluation.worker} has done its share; {done} of {total} parts of the run are in {folder.path}")


def stopped_text(evaluation: Evaluation, folder: RunFolder) -> str:
    """How much of a stopped run is there, and how to go on."""
    done, total = parts_done(folder)
    whose = f"{evaluation.worker} " if evaluation.worker.size > 1 else ""
    return printable(
        f"{whose}stopped; {done} of {total} parts are done and safe in {folder.path}; the same command goes on with "
        "the rest"
    )


def parts_done(folder: RunFolder) -> tuple[int, int]:
    """How many parts of all methods are there, and how many there will be."""
    done = sum(len(folder.done(method)) for method in folder.methods)
    return done, folder.manifest.num_parts * len(folder.methods)
