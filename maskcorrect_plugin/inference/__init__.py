"""The pass engine: many lazily made inputs through one classifier, in full batches.

Score-CAM's masked passes and the re-evaluation of masked inputs both run on it. `engine` packs inputs into batches and
backs off when memory runs out; `calibration` finds the fast batch size and memory format, `folding` and `compilation`
make the network itself faster where that repays; `outputs` turns what a model returns into class scores.
"""

from .engine import AUTO_LIMIT, AUTO_PIXELS, PRECISIONS, PassEngine
from .memory import is_out_of_memory
from .modes import evaluation_mode, first_tensor
from .outputs import OUTPUTS, are_distributions, check_finite_scores, class_scores

__all__ = [
    "AUTO_LIMIT",
    "AUTO_PIXELS",
    "OUTPUTS",
    "PRECISIONS",
    "PassEngine",
    "are_distributions",
    "check_finite_scores",
    "class_scores",
    "evaluation_mode",
    "first_tensor",
    "is_out_of_memory",
]
