"""When memory runs out."""

import gc

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the host or on the device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def release_memory() -> None:
    """Gives back what a failed attempt left, so that a smaller one finds room."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
