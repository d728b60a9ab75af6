"""Each step towards speed alone: what memory format, folding, half precision, compiling and batch size do to a pass.

    python benchmarks/speed_steps.py --weights DIR --networks squeezenet1_1 mobilenet_v2

Passes of inputs that are there already go through the pass engine, the variants one after the other, round after round.
Reported is, for each variant, the median over the rounds of how many times faster it was than the first one, and what
compiling cost.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from speed_networks import LAYERS, Subject, load_subject
from speed_table import row, table_head
from speed_timing import now

from maskcorrect_plugin.inference import PassEngine, engine, evaluation_mode

PASSES = 64
"""In a round."""
OFTEN = 10**9
"""A number of passes that is never reached."""


@dataclass(frozen=True)
class Variant:
    """One way to run the passes."""

    name: str
    precision: str = "float32"
    channels_last: bool = True
    folded: bool = False
    compiled: bool = False
    batch_size: int = 16

    def open(self, subject: Subject) -> PassEngine:
        """An engine that does it."""
        return PassEngine(
            subject.model,
            batch_size=self.batch_size,
            precision=self.precision,
            channels_last=self.channels_last,
            compile=self.compiled,
        )


VARIANTS = [
    Variant("float32, contiguous", channels_last=False),
    Variant("float32"),
    *(Variant(f"float32, {size} a batch", batch_size=size) for size in (4, 8, 32, 64)),
    Variant("float32, folded", folded=True),
    Variant("bfloat16, contiguous", "bfloat16", channels_last=False),
    Variant("bfloat16", "bfloat16"),
    Variant("bfloat16, folded", "bfloat16", folded=True),
]
COMPILED = [
    Variant("float32, compiled", folded=True, compiled=True),
    Variant("bfloat16, compiled", "bfloat16", folded=True, compiled=True),
]


def seconds(variant: Variant, passes: PassEngine, subject: Subject) -> float:
    """Of one round, in milliseconds a pass."""
    inputs = subject.photos(PASSES)
    engine.FOLDED_FROM = 0 if variant.folded else OFTEN
    begun = now(subject)
    with evaluation_mode(subject.model):
        for _ in passes.run(len(inputs), inputs, lambda start, stop: (inputs[start:stop],)):
            pass
    return 1e3 * (now(subject) - begun) / PASSES


def measure(name: str, options: argparse.Namespace) -> None:
    """Prints the rows of one network."""
    device = torch.device(options.device)
    subject = load_subject(name, options.weights, [], device)
    variants = VARIANTS + (COMPILED if options.compiled else [])
    engines = [variant.open(subject) for variant in variants]
    first = [seconds(variant, passes, subject) for variant, passes in zip(variants, engines, strict=True)]
    rounds = [
        [seconds(variant, passes, subject) for variant, passes in zip(variants, engines, strict=True)]
        for _ in range(options.runs)
    ]
    for place, variant in enumerate(variants):
        each = statistics.median(times[place] for times in rounds)
        faster = statistics.median(times[0] / times[place] for times in rounds)
        cost = f"{(first[place] - each) * PASSES / 1e3:.0f}" if variant.compiled else ""
        print(row([name, variant.name, f"{each:.2f}", f"{faster:.2f}", cost]), flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=list(LAYERS), default=list(LAYERS), metavar="NAME")
    parser.add_argument("--weights", type=Path, help="folder with squeezenet1_1.pt and the like; random without")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-compile", dest="compiled", action="store_false", help="leave compiling out: no compiler")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", file=sys.stderr)
    print("\n".join(table_head("network", "passes", "ms a pass", "times faster", "seconds to compile")))
    for name in options.networks:
        measure(name, options)


if __name__ == "__main__":
    main()
