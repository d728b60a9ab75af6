"""What a run will take: passes, time, disk."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodEstimate:
    """What one method takes, per image: of those that it corrects and those that `max_gap` passes, in their shares.

    Attributes:
        method: Its name.
        images: Images that were measured; the forward that finds the layer is not in it.
        failed: Of them, could not be done.
        seconds_per_image: Reading and records included.
        forwards_per_image: Mean.
        bytes_per_image: On disk, in all files of the run.
        bytes_per_part: What a part's files take with no image in them.
        corrected: Share of the images that are corrected; 1 without `max_gap`.
        looked_at: Images that this share was learnt from.
    """

    method: str
    images: int
    failed: int
    seconds_per_image: float
    forwards_per_image: float
    bytes_per_image: float
    bytes_per_part: float
    corrected: float = 1.0
    looked_at: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a run takes.

    Attributes:
        images: In the data set.
        parts: Of each method.
        workers: That share the run.
        share: Images of the worker that has most of them; whole parts are shared out.
        device: On which it was measured.
        methods: What each takes.
    """

    images: int
    parts: int
    workers: int
    share: int
    device: str
    methods: tuple[MethodEstimate, ...]

    @property
    def forwards(self) -> float:
        """Of all images and methods."""
        return self.images * sum(method.forwards_per_image for method in self.methods)

    @property
    def seconds(self) -> float:
        """Of the worker that has most to do, if the workers are alike and share nothing else."""
        return self.share * sum(method.seconds_per_image for method in self.methods)

    @property
    def bytes(self) -> float:
        """On disk."""
        return sum(self.images * method.bytes_per_image + self.parts * method.bytes_per_part for method in self.methods)
