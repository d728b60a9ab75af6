"""What an object is, in plain values: its class, its parameters, its tensors by their content.

Records of a run hold these descriptions, and a run goes on only where they are the same. What cannot be described is
marked, and a run that is written to disk refuses it.
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .printable import stable_text

DIGEST = 12
"""Hexadecimal digits of a content hash that are kept."""
UNDESCRIBED = "undescribed:"
"""Begins the description of an object whose content cannot be seen."""
DEPTH = 6
"""Objects inside objects that are looked into."""


def describe(value: Any, depth: int = DEPTH) -> Any:
    """A value as JSON values that are equal exactly when the value's content is.

    Numbers and texts stand for themselves; tensors and arrays for their content; functions for their code, defaults and
    what they close over; other objects for their class and attributes.

    Example:
        >>> describe((0.5, "zero", None))
        [0.5, 'zero', None]
        >>> describe(torch.zeros(2)) == describe(torch.zeros(2)), describe(torch.zeros(2)) == describe(torch.ones(2))
        (True, False)
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.generic):
        return describe(value.item(), depth)
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biufc":  # texts, objects
        return describe(value.tolist(), depth)
    if isinstance(value, Tensor | np.ndarray):
        return _array(value)
    if depth == 0:
        return f"{UNDESCRIBED}{qualified_name(type(value))}"
    if isinstance(value, list | tuple):
        return [describe(item, depth - 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((describe(item, depth - 1) for item in value), key=repr)
    if isinstance(value, Mapping):
        return {str(key): describe(item, depth - 1) for key, item in value.items()}
    if isinstance(value, type):
        return qualified_name(value)
    return _code(value, depth) if callable(value) and not _is_object(value) else _object(value, depth)


def is_described(description: Any) -> bool:
    """Whether all of a description says what it describes."""
    return UNDESCRIBED not in json.dumps(description)


def content_digest(*parts: bytes | str) -> str:
    """The first digits of SHA-256 over some parts."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
    return digest.hexdigest()[:DIGEST]


def digest_of(description: Any) -> str:
    """A short name for a description: equal ones have the same."""
    return content_digest(json.dumps(description, sort_keys=True))


def qualified_name(cls: Any) -> str:
    """``package.module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def model_fingerprint(model: nn.Module) -> str:
    """SHA-256 over the names and values of a model's parameters and buffers, in hexadecimal."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):  # what modules add to their state, quantised ones for example
            digest.update(f"{name} {stable_text(value)}".encode())
            continue
        values = value.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def describe_model(model: nn.Module, preprocessing: Any = None) -> dict[str, Any]:
    """What tells one model from another: its class, the names and shapes of its tensors, and their values.

    Args:
        model: The classifier.
        preprocessing: How pictures become its inputs; None where it is not known.
    """
    shapes = [(name, list(value.shape)) for name, value in model.state_dict().items() if isinstance(value, Tensor)]
    return {
        "class": qualified_name(type(model)),
        "architecture": digest_of(shapes),
        "fingerprint": model_fingerprint(model),
        "preprocessing": None if preprocessing is None else describe(preprocessing.describe()),
    }


def _array(value: Tensor | np.ndarray[Any, Any]) -> str:
    array = value.detach().cpu().contiguous() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    data = array.reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"tensor {content_digest(str(array.dtype), str(tuple(array.shape)), data)}"


def _is_object(value: Any) -> bool:
    """An object that can be called, and no function: its attributes say what it does, with the code of its class."""
    return not (inspect.isroutine(value) or isinstance(value, functools.partial))


def _code(function: Any, depth: int) -> Any:
    if isinstance(function, functools.partial):
        called = [describe(part, depth - 1) for part in (function.func, function.args, function.keywords)]
        return {"partial": called}
    if inspect.ismethod(function):
        return [_code(function.__func__, depth), describe(function.__self__, depth - 1)]
    name = f"{getattr(function, '__module__', None) or ''}.{getattr(function, '__qualname__', function)}"
    code = getattr(function, "__code__", None)
    if code is None:  # written in C: its name says all
        return name
    closed_over = [_cell(cell, depth) for cell in function.__closure__ or ()]
    state = describe([function.__defaults__, function.__kwdefaults__, closed_over], depth - 1)
    return f"{name} {content_digest(_bytecode(code), json.dumps(state, sort_keys=True))}{_marks(state)}"


def _marks(state: Any) -> str:
    return "" if is_described(state) else f" {UNDESCRIBED}closure"


def _cell(cell: Any, depth: int) -> Any:
    try:
        return describe(cell.cell_contents, depth - 1)
    except ValueError:  # not filled yet
        return None


def _bytecode(code: Any) -> bytes:
    constants = [_constant(each) for each in code.co_consts]
    return b"|".join([code.co_code, *constants, " ".join(code.co_names).encode()])


def _constant(value: Any) -> bytes:
    """A constant of a function's code; sets of texts have another order in every process."""
    if inspect.iscode(value):
        return _bytecode(value)
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value).encode()


def _object(value: Any, depth: int) -> Any:
    """Class and attributes. A module of torch stands for its class, its tensors and what it prints of its options."""
    name = qualified_name(type(value))
    if isinstance(value, nn.Module):
        printed = content_digest(stable_text(value))
        return {"class": name, "tensors": model_fingerprint(value)[:DIGEST], "printed": printed}
    if dataclasses.is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "__dict__"):
        attributes = vars(value)
    else:
        return f"{UNDESCRIBED}{name}"
    return {"class": name, **describe(attributes, depth - 1)}
