"""Score-CAM and the correction as float64 loops, straight from the formulas, sharing no code with the package.

One image, one channel, one class at a time. Slow, and meant to be read next to the papers.
"""

import torch
import torch.nn.functional as F


def bilinear(channel, size, align_corners=False):
    return F.interpolate(channel[None, None], size=size, mode="bilinear", align_corners=align_corners)[0, 0]


def minmax(values):
    return (values - values.min()) / (values.max() - values.min())


def activations_of(model, layer, image):
    seen = []
    handle = layer.register_forward_hook(lambda m, i, o: seen.append(o.detach().clone()))
    try:
        with torch.no_grad():
            model(image[None])
    finally:
        handle.remove()
    return seen[-1][0]


def score_cam(model, layer, image, target):
    """Wang et al.'s own code ("official"): (H,W) map, or None where it is flat."""
    size = image.shape[-2:]
    activations = activations_of(model, layer, image)
    total = torch.zeros(size, dtype=image.dtype)
    for channel in activations:
        upsampled = bilinear(channel, size)
        if channel.max() == channel.min():
            continue
        with torch.no_grad():
            alpha = model((image * minmax(upsampled))[None]).softmax(-1)[0, target]
        total = total + alpha * upsampled
    total = total.relu()
    return None if total.max() == total.min() else minmax(total)


def score_cam_paper_v2(model, layer, image, target):
    """The text of arXiv v2: increase of confidence over the baseline, softmax over (live) channels."""
    size = image.shape[-2:]
    live = [channel for channel in activations_of(model, layer, image) if channel.max() > channel.min()]
    with torch.no_grad():
        baseline = model(torch.zeros_like(image)[None]).softmax(-1)[0, target]
        increase = torch.stack(
            [model((image * minmax(bilinear(a, size)))[None]).softmax(-1)[0, target] - baseline for a in live]
        )
    alphas = increase.softmax(0)
    total = sum(alpha * bilinear(a, size) for alpha, a in zip(alphas, live, strict=True)).relu()
    return None if total.max() == total.min() else minmax(total)


def cam(weight, activations, target, size):
    total = sum(weight[target, k] * activations[k] for k in range(len(activations))).relu()
    upsampled = bilinear(total, size)
    return None if upsampled.max() == upsampled.min() else minmax(upsampled)


def correct(model, image, maps, candidates, probs, threshold):
    """Equation of the correction for one image, with maps given per candidate (None is flat)."""
    correction = torch.zeros_like(probs)
    for candidate, attribution in zip(candidates, maps, strict=True):
        if attribution is None:
            mask = torch.ones(image.shape[-2:], dtype=image.dtype)
        else:
            mask = torch.where(attribution <= threshold, torch.zeros_like(attribution), attribution)
        with torch.no_grad():
            again = model((image * mask)[None]).softmax(-1)[0]
        correction = correction + probs[candidate] * again
    scores = probs + correction
    return correction, scores / (1 + sum(probs[c] for c in candidates))
