"""What ``--dry-run`` prints."""

import math

from maskcorrect_plugin.commands.terminal import counted
from maskcorrect_plugin.evaluation.estimate import Estimate


def estimate_text(estimate: Estimate) -> str:
    """The estimate as a table with its sum, and what it rests on."""
    width = max(6, *(len(method.method) for method in estimate.methods))
    lines = [f"{'method':{width}}  {'forwards/image':>14}  {'ms/image':>10}  {'kB/image':>9}  {'measured on':>12}"]
    for method in estimate.methods:
        measured = counted(method.images - method.failed, "image", ",")
        lines.append(
            f"{method.method:{width}}  {method.forwards_per_image:14.1f}  {1000 * method.seconds_per_image:10.1f}  "
            f"{method.bytes_per_image / 1000:9.1f}  {measured:>12}"
        )
    workers = "one worker" if estimate.workers == 1 else f"each of {estimate.workers} workers like this one"
    images, parts = counted(estimate.images, "image", ","), counted(estimate.parts, "part", ",")
    lines += [
        "",
        f"{images} in {parts} a method: about {estimate.forwards:,.0f} forwards,",
        f"{duration(estimate.seconds)} for {workers} ({estimate.device}), and {size(estimate.bytes)} of disk.",
        *_idle_lines(estimate),
        *_share_lines(estimate),
        "A few images stand for all, and for a moment of this computer: take the time as a guess.",
    ]
    return "\n".join(lines)


def _idle_lines(estimate: Estimate) -> list[str]:
    """That some workers have nothing to do, since a part is never shared, and what would give them something."""
    idle = estimate.workers - estimate.parts
    if idle <= 0:
        return []
    return [f"Parts are not shared, so {idle} of the {estimate.workers} workers have none: lower --images-per-part."]


def _share_lines(estimate: Estimate) -> list[str]:
    """How many images are corrected where `max_gap` passes some: this share, and with it the time, is a guess."""
    method = next((method for method in estimate.methods if method.looked_at), None)
    if method is None:
        return []
    error = math.sqrt(method.corrected * (1 - method.corrected) / method.looked_at)
    return [
        f"Of {method.looked_at} images {100 * method.corrected:.0f} % are below max-gap and corrected (standard error "
        f"{100 * error:.0f}); the others take one forward."
    ]


def duration(seconds: float) -> str:
    """Seconds in words that are easy to grasp.

    Example:
        >>> duration(0.3), duration(42), duration(90), duration(30000), duration(400000)
        ('less than 1 s', '42 s', '1.5 min', '8.3 h', '4.6 days')
    """
    if seconds < 1:
        return "less than 1 s"
    for unit, length, limit in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if seconds < length * limit:
            return f"{seconds / length:.0f} {unit}" if unit == "s" else f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"


def size(count: float) -> str:
    """Bytes in the unit that fits.

    Example:
        >>> size(900), size(2.5e6), size(5e11)
        ('900 B', '2.5 MB', '500.0 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
