"""The errors of this package. All of them are also a built-in error, whichever fits: a ValueError most often."""


class MaskCorrectError(Exception):
    """Base of every error that this package raises on purpose."""


class ArgumentError(MaskCorrectError, ValueError):
    """An argument has a value that is not allowed. The message names it, what was given and what is allowed."""


class ArgumentTypeError(MaskCorrectError, TypeError):
    """An argument has a type that is not allowed."""


class UnknownMethodError(ArgumentError):
    """No backend offers the attribution method of that name."""


class LayerError(ArgumentError):
    """A target layer does not exist, cannot be found by itself, or does not give feature maps."""


class ModelOutputError(ArgumentError):
    """What the model returns is not one row of finite class scores per input."""


class WeightsError(ArgumentError):
    """A weights file cannot be read safely or does not fit the model."""


class ImageError(ArgumentError):
    """A file cannot be read as one image.

    Args:
        reason: Why.
        name: Which one, by the name that its user knows; the message begins with it.

    Attributes:
        reason: Why, without the name.
    """

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason if name is None else f"{name}: {reason}")
        self.reason = reason


class LoadingError(MaskCorrectError, RuntimeError):
    """The processes that load images cannot go on, whatever the images."""


class RunError(ArgumentError):
    """The folder of an evaluation cannot be used: not writable, no space, damaged, or of another run."""


class MissingLibraryError(MaskCorrectError, ImportError):
    """An optional library is not installed. The message ends with the command that installs it."""


def missing_library(library: str, extra: str, purpose: str) -> MissingLibraryError:
    """The one wording for an optional library that is not installed.

    Args:
        library: Name of the library as its users know it.
        extra: The extra of this distribution that installs it.
        purpose: What it is needed for, for example ``"timm models"``.
    """
    return MissingLibraryError(
        f'{purpose} need {library}, which is not installed. Install it with: pip install "maskcorrect-plugin[{extra}]"'
    )


def reason(error: Exception) -> str:
    """Type and text of another library's error, to stand inside a sentence."""
    return f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
