"""The paper's own figures, in one place: what every protocol run stands beside.

Source: Maeng and Baek, "CNN-based Class Probability Correction using Mask-image" (Korea University): VGG16 on the
50,000 images of ImageNet's validation set, Score-CAM, the five most probable classes, threshold 0.1.
"""

from .statistics import PairedOutcome

MODEL, DATA = "VGG16", "ImageNet validation"
IMAGES = 50_000
RIGHT, WRONG = 35_796, 14_204
"""Images answered rightly and wrongly before correction: 71.59 %."""
TOP5_ACCURACY = 0.9038

BOUND = 0.5
"""Of the histograms (at or below) and of the subset (strictly below)."""
RIGHT_WITHIN_BOUND = 7_272
"""Of the images answered rightly, those with p1 - p2 at or below 0.5."""
WRONG_WITHIN_BOUND = 10_112
"""Of the images answered wrongly, those with p1 - p(true class) at or below 0.5."""

SUBSET_OUTCOME = PairedOutcome(both_right=3_553, fixed=538, broken=464, both_wrong=7_936)
"""On the 12,491 images with p1 - p5 strictly below 0.5: 4,017 -> 4,091 right, 32.16 -> 32.75 %.

The source truncates to 32.1 and 32.7 and gives no test; the exact McNemar p of its table is 0.0211.
"""
