"""``"package.module:factory"``: a model of one's own, made by a function of one's own."""

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from maskcorrect_plugin.checks import nearest
from maskcorrect_plugin.errors import ArgumentError, reason
from maskcorrect_plugin.models.class_names import read_class_names
from maskcorrect_plugin.models.preprocessing import Preprocessing, ResizeCrop, Transform
from maskcorrect_plugin.models.sources import SOURCES
from maskcorrect_plugin.models.sources.base import ModelSource


class FactorySource(ModelSource):
    """What a factory without arguments returns: a Module, or (Module, transform, class names).

    The current folder is importable while the module is imported and the factory runs. The attribute may be dotted,
    and may be a Module itself. Which weights the model has is the factory's own business; a weights file given
    besides is loaded into it.

    Args:
        name: ``"package.module:attribute"``.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._transform: Transform | None = None
        self._names: tuple[str, ...] | None = None

    @property
    def spec(self) -> str:
        """The spec as its user wrote it: a factory has no prefix."""
        return self.name

    def pretrained(self, weights: str) -> nn.Module:
        """The factory's model."""
        return self.build(None)

    def build(self, num_classes: int | None) -> nn.Module:
        """The factory's model, made once; the number of classes is the factory's own."""
        return self._made

    @cached_property
    def _made(self) -> nn.Module:
        with _current_folder():
            factory = self._find()
            if isinstance(factory, nn.Module):
                return factory
            if not callable(factory):
                raise ArgumentError(f"{self.name!r} is a {type(factory).__name__}, not a function that returns a model")
            try:
                made = factory()
            except Exception as error:
                raise ArgumentError(
                    f"the factory {self.name!r} raised {reason(error)} (it is called without arguments)"
                ) from error
        return self._unpack(made)

    def skeleton(self) -> nn.Module:
        """The factory's model itself: it is made once, and not on the meta device, which its code may not bear."""
        return self._made

    def num_classes(self, model: nn.Module) -> int | None:
        """Unknown: only a forward can tell."""
        return None

    def prepare(
        self, model: nn.Module, size: int | None, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> Preprocessing:
        """The factory's transform, or ImageNet's for 224 pixels changed by what is given."""
        if self._transform is None:
            return ResizeCrop().changed(size, mean, std).prepare()
        given = [name for name, value in (("size", size), ("mean", mean), ("std", std)) if value is not None]
        if given:
            raise ArgumentError(
                f"{', '.join(given)} cannot be given: {self.name!r} returns its own transform. Leave them out, or let "
                "the factory return the Module alone"
            )
        try:
            return Preprocessing.of(self._transform)
        except Exception as error:
            raise ArgumentError(
                f"the transform of {self.name!r} must make a tensor (3,H,W) of an RGB Pillow image, but raised "
                f"{reason(error)}"
            ) from error

    def class_names(self, model: nn.Module, num_classes: int) -> tuple[str, ...] | None:
        """The names that the factory returned."""
        return self._names

    def _find(self) -> Any:
        module_name, _, attribute = self.name.partition(":")
        try:
            found: Any = importlib.import_module(module_name)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing is not None and (module_name + ".").startswith(missing + "."):
                known = [*SOURCES, *(file.stem for file in Path.cwd().glob("*.py"))]
                raise ArgumentError(
                    f"there is no module {missing!r} for {self.name!r}, neither installed nor in the current folder "
                    f"{Path.cwd()!s}{nearest(missing, known)}"
                ) from error
            raise ArgumentError(f"importing {module_name!r} for {self.name!r} raised {reason(error)}") from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                public = [name for name in dir(found) if not name.startswith("_")]
                raise ArgumentError(f"{self.name!r}: {module_name!r} has no {attribute!r}{nearest(part, public)}")
            found = getattr(found, part)
        return found

    def _unpack(self, made: Any) -> nn.Module:
        if isinstance(made, nn.Module):
            return made
        if not isinstance(made, tuple) or len(made) != 3 or not isinstance(made[0], nn.Module):
            parts = ", ".join(type(part).__name__ for part in made) if isinstance(made, tuple) else ""
            raise ArgumentError(
                f"the factory {self.name!r} must return a Module, or a tuple (Module, transform, class names), got "
                + (f"({parts})" if parts else type(made).__name__)
            )
        model: nn.Module = made[0]
        transform, names = made[1:]
        if transform is not None and not callable(transform):
            raise ArgumentError(f"the transform of {self.name!r} must be callable, got {type(transform).__name__}")
        self._transform = transform
        self._names = None if names is None else read_class_names(names)
        return model


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
