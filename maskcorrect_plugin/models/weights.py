"""Weights files: read without running anything that is in them, loaded only when everything fits."""

import os
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskcorrect_plugin.errors import WeightsError

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the state_dict next to their optimiser and epoch."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every name."""
OPTIONAL = "num_batches_tracked"
"""A counter of BatchNorm that files from before torch 0.4.1 lack and that inference never reads."""


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a weights file, by name, on the CPU.

    Nothing in the file is run: ``.safetensors`` holds tensors only, the other formats are read with
    ``torch.load(weights_only=True)``. ``{"state_dict": ...}``, ``{"model": ...}`` and ``{"model_state_dict": ...}`` are
    unwrapped; prefixes are left for `match_prefixes`, which knows the model.

    Args:
        path: A file ending in one of `SUFFIXES`.

    Raises:
        WeightsError: no such file, a folder, empty, damaged, not a state_dict, or a pickle that asks for more than
            tensors.
    """
    file = Path(path)
    try:
        _check_file(file)
    except WeightsError:
        raise
    except (OSError, ValueError) as error:
        raise WeightsError(f"weights file {file!s} cannot be opened: {error}") from error
    content = _read_safetensors(file) if file.suffix.lower() == ".safetensors" else _read_torch(file)
    return _check_tensors(_unwrap(content), file)


def match_prefixes(state_dict: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """The same tensors without the prefixes of a wrapper (`PREFIXES`).

    A prefix is taken off only while no name is one of the model's own, and only where every name carries it: a
    network that really has a part called ``model`` keeps it.

    Args:
        state_dict: Tensors by name.
        expected: The model's own names.
    """
    tensors = dict(state_dict)
    names = set(expected)
    while tensors and names.isdisjoint(tensors):
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in tensors)), None)
        if prefix is None:
            break
        tensors = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


def infer_num_classes(state_dict: Mapping[str, Tensor], model: nn.Module, num_classes: int) -> int | None:
    """The number of classes that the tensors were trained for, read off the class head.

    The head is whatever differs from `model` in its first axis only, where `model` has `num_classes`, and all of it
    must agree on one number. Only shapes are looked at, so `model` may live on the meta device.

    Args:
        state_dict: Tensors by name, without prefixes.
        model: The same architecture with `num_classes` classes.
        num_classes: Classes of `model`.

    Returns:
        The number of classes; `num_classes` itself where every shape agrees; None where they differ in any other way.
    """
    counts = set()
    for name, own in model.state_dict().items():
        given = state_dict.get(name)
        if given is None or given.shape == own.shape:
            continue
        if given.ndim != own.ndim or given.shape[1:] != own.shape[1:] or own.shape[0] != num_classes:
            return None
        counts.add(int(given.shape[0]))
    if not counts:
        return num_classes
    return counts.pop() if len(counts) == 1 else None


def load_into(model: nn.Module, state_dict: Mapping[str, Tensor], source: str | os.PathLike[str]) -> None:
    """Copies tensors into a model, all of them or none.

    Values are converted to the model's own floating-point precision and device. A missing ``num_batches_tracked`` is
    allowed.

    Args:
        model: The model that is changed in place.
        state_dict: Tensors by name; see `match_prefixes` for the prefixes that may stand before them.
        source: Where they come from, for the messages.

    Raises:
        WeightsError: missing, unexpected or mis-shaped tensors, integers where numbers with a fraction belong (or the
            reverse), NaN or infinite values. The model is as before.
    """
    own = model.state_dict()
    tensors = match_prefixes(state_dict, own)
    problems = _misfits(own, tensors)
    if problems:
        raise WeightsError(
            f"{source!s} does not fit {type(model).__name__}: {'; '.join(problems)}. If its head or its parts were "
            "rebuilt, load it through a factory of your own: 'package.module:factory'"
        )
    broken = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if broken:
        raise WeightsError(f"{source!s} holds NaN or infinite values in {_shorten(broken)}")
    # Starting from the model's own state_dict keeps its version metadata, which safetensors cannot carry and which
    # some modules demand, and the counters that an old file lacks.
    own.update(tensors)
    model.load_state_dict(own)


def _misfits(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    both = [name for name in own if name in given]
    found = {
        "missing": [name for name in own if name not in given and not name.endswith(OPTIONAL)],
        "unexpected": [name for name in given if name not in own],
        "of another shape": [
            f"{name} {tuple(given[name].shape)} where {tuple(own[name].shape)} belongs"
            for name in both
            if given[name].shape != own[name].shape
        ],
        "of another kind": [
            f"{name} {given[name].dtype} where {own[name].dtype} belongs"
            for name in both
            if given[name].is_floating_point() != own[name].is_floating_point()
        ],
    }
    return [f"{kind}: {_shorten(names)}" for kind, names in found.items() if names]


def _is_finite(tensor: Tensor) -> bool:
    if tensor.is_floating_point() and tensor.itemsize == 1:
        tensor = tensor.float()  # isfinite is not implemented for the 8-bit formats
    return bool(torch.isfinite(tensor).all())


def _shorten(names: list[str], count: int = 5) -> str:
    rest = f", ... ({len(names)} in all)" if len(names) > count else ""
    return ", ".join(names[:count]) + rest


def _check_file(file: Path) -> None:
    if file.suffix.lower() not in SUFFIXES:
        raise WeightsError(f"a weights file must end in {', '.join(SUFFIXES)}, got {file!s}")
    if file.is_dir():
        raise WeightsError(f"{file!s} is a folder, not a weights file")
    if not file.exists():
        raise WeightsError(f"there is no weights file {file!s}")
    if not file.is_file():
        raise WeightsError(f"{file!s} is not a regular file")
    if file.stat().st_size == 0:
        raise WeightsError(f"weights file {file!s} is empty")


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(file, device="cpu")
    except Exception as error:
        raise WeightsError(f"{file!s} is damaged or not a safetensors file: {error}") from error


def _read_torch(file: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about what is refused below (TorchScript, other pickles)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked is None:
            raise WeightsError(f"{file!s} is damaged or not a file that torch.save wrote") from error
        raise WeightsError(
            f"{file!s} is refused, and nothing in it was run: it holds more than tensors and asks for {asked[1]!r}, "
            "which is code (a whole pickled network or training state does that too). Where it was written, save the "
            "tensors alone: torch.save(model.state_dict(), PATH)"
        ) from error
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(
            f"{file!s} is damaged or not a file that torch.save wrote: {type(error).__name__}: {reason}"
        ) from error


def _unwrap(content: Any) -> Any:
    while isinstance(content, Mapping):
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content


def _check_tensors(content: Any, file: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"{file!s} holds a {type(content).__name__}, not a state_dict (tensors by name)")
    others = [str(key) for key, value in content.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if not content or len(others) == len(content):
        held = f"only {_shorten(others)}" if others else "nothing"
        raise WeightsError(f"{file!s} is not a state_dict (tensors by name): it holds {held}")
    if others:
        raise WeightsError(f"{file!s} is not a state_dict: besides tensors by name it holds {_shorten(others)}")
    tensors = {name: tensor.detach() for name, tensor in content.items()}
    unusual = [
        name
        for name, tensor in tensors.items()
        if tensor.is_quantized or tensor.is_meta or tensor.layout != torch.strided or tensor.is_complex()
    ]
    if unusual:
        raise WeightsError(f"{file!s} holds quantised, sparse, complex or empty (meta) tensors: {_shorten(unusual)}")
    return tensors
