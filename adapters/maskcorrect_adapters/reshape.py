"""Transformers as if they were CNNs: tokens put back where their patches are, and the layer that is worth reading.

ViT-like networks (torchvision, timm, Hugging Face) give tokens (N,T,C) with class, distillation or register tokens in
front; Swin-like ones give (N,h,w,C), or (N,T,C) in Hugging Face. Both become feature maps (N,C,h,w).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import LayerError
from maskcorrect_plugin.layers import find_target_layer

KINDS = ("auto", "vit", "swin")
MOST_PREFIX_TOKENS = 16
"""Class, distillation and register tokens in front of the patches; no published network has more."""


@dataclass(frozen=True)
class Reshape:
    """Tokens to feature maps.

    Args:
        kind: ``"vit"`` or ``"swin"``.
        size: Height and width of the images, which tell the grid of patches.
        prefix: Tokens in front of the patches; None takes the fewest that leave a grid of the images' proportions.
    """

    kind: str
    size: tuple[int, int] = (1, 1)
    prefix: int | None = None

    def sized(self, inputs: Tensor) -> "Reshape":
        """The same for images of another size."""
        return replace(self, size=(inputs.shape[-2], inputs.shape[-1]))

    def __call__(self, values: Tensor) -> Tensor:
        """(N,T,C) or (N,h,w,C) to (N,C,h,w); feature maps as they are."""
        if values.ndim == 4:
            channels_last = self.kind == "swin" and self._fits(values.shape[1], values.shape[2])
            return values.permute(0, 3, 1, 2) if channels_last else values
        if values.ndim != 3:
            raise LayerError(f"reshape_transform={self.kind!r} understands tokens (N,T,C), got {tuple(values.shape)}")
        prefix, height, width = self._grid(values.shape[1])
        return values[:, prefix:].transpose(1, 2).reshape(len(values), -1, height, width)

    def _fits(self, height: int, width: int) -> bool:
        return height * self.size[1] == width * self.size[0]

    def _grid(self, tokens: int) -> tuple[int, int, int]:
        for prefix in range(MOST_PREFIX_TOKENS) if self.prefix is None else (self.prefix,):
            height = math.isqrt(max(0, (tokens - prefix) * self.size[0]) // self.size[1])
            if height and (tokens - prefix) % height == 0 and self._fits(height, (tokens - prefix) // height):
                return prefix, height, (tokens - prefix) // height
        raise LayerError(
            f"{tokens} tokens make no grid of patches in the proportions of {self.size[0]} x {self.size[1]} images; "
            "pass reshape_transform, a function from the layer's output to feature maps (N,C,h,w)"
        )


def make_reshape(
    reshape_transform: str | Callable[[Tensor], Tensor] | None, model: nn.Module
) -> Callable[[Tensor], Tensor] | None:
    """What makes feature maps of a layer's output.

    Args:
        reshape_transform: ``"vit"`` or ``"swin"``; ``"auto"`` chooses between them, and None for CNNs, by the model's
            blocks; a callable is taken as it is; None changes nothing.
        model: The classifier.
    """
    if reshape_transform is None or callable(reshape_transform):
        return reshape_transform
    kind = check_choice("reshape_transform", reshape_transform, KINDS)
    if kind == "auto":
        block = _last_block(model)
        if block is None:
            return None
        kind = "swin" if "swin" in f"{type(block[1]).__name__} {type(model).__name__}".lower() else "vit"
    prefix = getattr(model, "num_prefix_tokens", None)  # timm
    return Reshape(kind, prefix=prefix if isinstance(prefix, int) and kind == "vit" else None)


def find_layer(model: nn.Module, inputs: Tensor) -> str:
    """The name of the layer to read: `find_target_layer` for CNNs; in transformers the first norm of the last block.

    Not the last norm: behind the last attention only the class token counts, and the patches have no gradient.

    Raises:
        LayerError: neither is there.
    """
    try:
        return find_target_layer(model, inputs)
    except LayerError:
        block = _last_block(model)
        if block is None:
            raise
        name, module = block
        norm = next(child for child, layer in module.named_children() if _is_norm(layer))
        return f"{name}.{norm}" if name else norm


def _last_block(model: nn.Module) -> tuple[str, nn.Module] | None:
    """The last module with at least two norms of its own beside a submodule: a transformer's block, in every family."""
    blocks = [(name, module) for name, module in model.named_modules() if sum(map(_is_norm, module.children())) >= 2]
    return blocks[-1] if blocks else None


def _is_norm(module: nn.Module) -> bool:
    name = type(module).__name__
    return isinstance(module, nn.LayerNorm) or name in ("RMSNorm", "LayerNorm", "RmsNorm")
