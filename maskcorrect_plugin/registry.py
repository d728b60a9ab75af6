"""Names to attribution methods: registered backends first, then the built-in table, then entry points.

Nothing here imports a library: the built-in table is strings, and a backend's class is loaded when it is asked for.
"""

import fnmatch
import importlib
import importlib.util
import inspect
import warnings
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from torch import nn

from .attribution import AttributionBackend, AttributionMethod, MethodInfo
from .checks import nearest
from .errors import ArgumentError, ArgumentTypeError, MissingLibraryError, UnknownMethodError

GROUP = "maskcorrect_plugin.backends"
NATIVE = "native"

BUILTIN_BACKENDS = {
    "native": "maskcorrect_adapters.native:NativeBackend",
    "captum": "maskcorrect_adapters.captum_:CaptumBackend",
    "pytorch_grad_cam": "maskcorrect_adapters.pytorch_grad_cam_:GradCamBackend",
    "torchcam": "maskcorrect_adapters.torchcam_:TorchcamBackend",
    "callable": "maskcorrect_adapters.callable_:CallableBackend",
    "control": "maskcorrect_adapters.controls:ControlBackend",
}
"""Kept equal to the entry points in pyproject.toml, so that a source checkout works without installation."""

_registered: dict[str, AttributionBackend] = {}
_loaded: dict[str, AttributionBackend] = {}
_broken: set[str] = set()


def register_backend(backend: AttributionBackend | type[AttributionBackend], *, replace: bool = False) -> None:
    """Adds a backend by hand, in front of all others; also usable as a class decorator without arguments.

    Args:
        backend: The class, or an instance.
        replace: Allow a name that is already taken.

    Raises:
        TypeError: not an `AttributionBackend`.
        ValueError: no name, or a name that is taken.
    """
    instance = backend() if inspect.isclass(backend) and issubclass(backend, AttributionBackend) else backend
    if not isinstance(instance, AttributionBackend):
        raise ArgumentTypeError(f"backend must be an AttributionBackend, got {backend!r}")
    name = getattr(instance, "name", "")
    if not isinstance(name, str) or not name.isidentifier():
        raise ArgumentError(f"backend.name must be an identifier, got {name!r} from {type(instance).__name__}")
    if not replace and name in list_backends():
        raise ArgumentError(f"backend name {name!r} is taken; pass replace=True to replace it")
    _registered[name] = instance


def unregister_backend(name: str) -> None:
    """Takes back what `register_backend` added; unknown names are ignored."""
    _registered.pop(name, None)


def list_backends() -> list[str]:
    """Names of all backends that load, native first."""
    names = [*BUILTIN_BACKENDS, *_registered, *_entry_points()]
    unique = list(dict.fromkeys(names))
    return [name for name in unique if name not in _broken]


def list_attributions(pattern: str = "*") -> list[str]:
    """Names that `create_attribution` understands, also of libraries that are not installed.

    Args:
        pattern: Shell-style, case-insensitive: ``"*Score*"``.

    Example:
        >>> list_attributions("*score*")[0]
        'ScoreCAM'
    """
    return [name for name in describe_methods() if fnmatch.fnmatch(name.lower(), pattern.lower())]


def describe_methods() -> dict[str, MethodInfo]:
    """All methods with what is known of them, by the name that `create_attribution` understands."""
    described = {}
    for backend_name in list_backends():
        backend = _load_or_warn(backend_name)
        for method in backend.methods() if backend else ():
            described[full_name(backend_name, method)] = backend.info(method) if backend else MethodInfo(method)
    return described


def full_name(backend: str, method: str) -> str:
    """``"library:method"``; native methods go without a prefix."""
    return method if backend == NATIVE else f"{backend}:{method}"


def split_name(name: str) -> tuple[str, str]:
    """``"library:method"`` into its parts; no prefix means native."""
    backend, separator, method = name.partition(":")
    return (backend, method) if separator else (NATIVE, name)


def is_installed(backend: AttributionBackend) -> bool:
    """Whether the library behind a backend can be found (it is not imported)."""
    return backend.library is None or importlib.util.find_spec(backend.library) is not None


def get_backend(name: str) -> AttributionBackend:
    """The backend of that name.

    Raises:
        UnknownMethodError: there is none.
        ImportError, or whatever its module raises: it exists but cannot be loaded.
    """
    if name in _registered:
        return _registered[name]
    if name not in _loaded:
        _loaded[name] = _load(name)
    return _loaded[name]


def create_attribution(
    method: Any, model: nn.Module, target_layer: str | nn.Module | None = None, **options: Any
) -> AttributionMethod:
    """One door for every attribution method, by name or by object.

    Args:
        method: ``"ScoreCAM"`` (native), ``"library:ItsClassName"``, one of a library's own attribution objects, or an
            `AttributionMethod`, which is given back as it is, or any function ``fn(model, inputs, targets) -> maps``.
        model: The classifier.
        target_layer: A module or its name; None finds it at the first call. Only with a name.
        **options: The method's own options. Only with a name.

    Raises:
        UnknownMethodError: nobody offers that name; the message has the nearest ones.
        MissingLibraryError: the library is not installed; the message has the command that installs it.
        TypeError: an object that no backend knows, or options beside an object, which has its own.
    """
    if not isinstance(model, nn.Module):
        raise ArgumentTypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(method, str):
        return _create_by_name(method, model, target_layer, options)
    if target_layer is not None or options:
        given = ["target_layer"] * (target_layer is not None) + list(options)
        raise ArgumentTypeError(f"a method given as an object has its own settings; remove {', '.join(given)}")
    if isinstance(method, AttributionMethod):
        return method
    # Any callable is a method, so that backend comes last: an object of somebody's library may well be callable.
    for name in sorted(list_backends(), key=lambda label: label == "callable"):
        backend = _load_or_warn(name)
        adopted = backend.adopt(method, model) if backend else None
        if adopted is not None:
            return adopted
    raise ArgumentTypeError(
        "method must be a name, a function fn(model, inputs, targets), an AttributionMethod or an attribution object "
        f"of {', '.join(list_backends())}; got {_described(method)}"
    )


def _create_by_name(
    name: str, model: nn.Module, target_layer: str | nn.Module | None, options: dict[str, Any]
) -> AttributionMethod:
    backend_name, method = split_name(name)
    if backend_name not in list_backends():
        raise UnknownMethodError(_unknown(name))
    backend = get_backend(backend_name)
    if method not in backend.methods():
        raise UnknownMethodError(_unknown(name))
    if not is_installed(backend):
        raise MissingLibraryError(
            f"{name} needs {backend.library}, which is not installed. Install it with: {backend.install}"
        )
    created = backend.create(method, model, target_layer, **options)
    if not isinstance(created, AttributionMethod):
        raise ArgumentTypeError(f"backend {backend_name!r} must create an AttributionMethod, got {created!r}")
    return created


def _described(method: Any) -> str:
    if inspect.isclass(method):
        return f"the class {method.__module__}.{method.__qualname__}; make an object of it, bound to the model"
    if inspect.isroutine(method):
        return f"the function {method.__name__}{_signature(method)}"
    return f"{type(method).__module__}.{type(method).__qualname__}"


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):  # of a function that is written in C
        return "(...)"


def _unknown(name: str) -> str:
    names = list_attributions()
    method = split_name(name)[1].lower()
    same = [known for known in names if split_name(known)[1].lower() == method]  # it is the library that is missing
    if len(same) > 1:
        hint = f"; did you mean {' or '.join(map(repr, same))}?"
    else:
        hint = nearest(name, names) or nearest(method, names) or f"; known: {', '.join(names)}"
    available = ", ".join(label for label in list_backends() if is_installed(get_backend(label)))
    return f"unknown attribution method {name!r}{hint} (backends installed: {available})"


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(name: str) -> AttributionBackend:
    if name in BUILTIN_BACKENDS:
        module, _, attribute = BUILTIN_BACKENDS[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
    elif name in (points := _entry_points()):
        found = points[name].load()
    else:
        raise UnknownMethodError(f"unknown backend {name!r}{nearest(name, list_backends())}")
    if not (inspect.isclass(found) and issubclass(found, AttributionBackend)):
        raise ArgumentTypeError(f"backend {name!r} must be a subclass of AttributionBackend, got {found!r}")
    backend: AttributionBackend = found()
    return backend


def _load_or_warn(name: str) -> AttributionBackend | None:
    """The backend, or None with one warning that names it: somebody's broken plug-in must harm nobody else."""
    if name in _broken:
        return None
    try:
        return get_backend(name)
    except Exception as error:  # noqa: BLE001  (a plug-in can fail in any way)
        _broken.add(name)
        warnings.warn(f"attribution backend {name!r} is broken and left out: {error!r}", stacklevel=3)
        return None
