"""Views by name: this package's, and those of others by entry points of the group ``maskcorrect_plugin.views``."""

import inspect
import warnings
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from maskcorrect_plugin.checks import check_choice
from maskcorrect_plugin.errors import ArgumentError, ArgumentTypeError
from maskcorrect_plugin.options import check_names, options_of, parse_spec

from .base import OptionView, View, known_as
from .crop import CropView, ZoomView
from .mask import MaskView
from .unguided import CenterView, CornersView, FlipView, RandomCropsView, TenCropView, WholeView

GROUP = "maskcorrect_plugin.views"
_OWN = (MaskView, CropView, ZoomView, FlipView, WholeView, CornersView, CenterView, TenCropView, RandomCropsView)
for _cls in _OWN:
    known_as(_cls.name, _cls)


@cache
def view_classes() -> dict[str, type[View]]:
    """All views by name, this package's first; one that cannot be loaded is left out with a warning."""
    classes: dict[str, type[View]] = {cls.name: cls for cls in _OWN}
    for point in entry_points(group=GROUP):
        try:
            found = point.load()
            if not (inspect.isclass(found) and issubclass(found, View)):
                raise ArgumentTypeError(f"it must be a subclass of View, got {found!r}")
        except Exception as error:  # noqa: BLE001  (a plug-in can fail in any way)
            warnings.warn(f"view {point.name!r} is broken and left out: {error!r}", stacklevel=2)
            continue
        if classes.setdefault(point.name, found) is found:
            known_as(point.name, found)
    return classes


def list_views() -> list[str]:
    """Names that `create_view` understands.

    Example:
        >>> list_views()[:3]
        ['mask', 'crop', 'zoom']
    """
    return list(view_classes())


def create_view(view: str | View, **options: Any) -> View:
    """A view by its text form, or the view itself.

    Args:
        view: ``"zoom"``, ``"zoom[threshold=0.3,map=merged]"``, or a `View`.
        **options: Options beside those in the text; only with a text.

    Raises:
        ValueError, TypeError: an unknown name, option or value.

    Example:
        >>> create_view("mask").spec
        'mask[threshold=0.1,fill=zero,map=candidates]'
    """
    classes = view_classes()  # first: the text form of an object goes by them
    if isinstance(view, View):
        if options:
            raise ArgumentTypeError(f"a view given as an object has its own options; remove {', '.join(options)}")
        return view
    if not isinstance(view, str):
        raise ArgumentTypeError(f"view must be a name such as 'zoom[threshold=0.3]' or a View, got {view!r}")
    name, written = parse_spec(view, "view")
    if "." in name and name not in classes:
        raise ArgumentError(
            f"view {name!r} is a class of somebody's own, which a text cannot make again; pass the object, or give it "
            f"an entry point of the group {GROUP}"
        )
    cls = classes[check_choice("view", name, tuple(classes))]
    given = {**written, **options}
    if isinstance(given.get("fill"), str) and given["fill"].startswith("tensor "):
        raise ArgumentError(f"view {view!r} has a tensor, of which a text holds the digest only; pass the object")
    check_names(f"view {name!r}", given, _options(cls))
    return cls(**given)


def _options(cls: type[View]) -> dict[str, Any]:
    if issubclass(cls, OptionView):
        return dict(options_of(cls))
    return dict(inspect.signature(cls).parameters)
