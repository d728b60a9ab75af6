"""WordNet ids, by which ImageNet names its classes."""

import re
from functools import cache

from maskcorrect_plugin.errors import missing_library

_WORDNET_ID = re.compile(r"n\d{8}")


def is_wordnet_id(name: str) -> bool:
    """Whether a name has the form of a noun's WordNet id.

    Example:
        >>> is_wordnet_id("n01440764"), is_wordnet_id("tench")
        (True, False)
    """
    return _WORDNET_ID.fullmatch(name) is not None


@cache
def synset_indices() -> dict[str, int]:
    """WordNet id -> class index of the 1,000 classes of ImageNet (ILSVRC 2012), from the list that timm carries.

    Raises:
        ImportError: timm is not installed; the message says how to install it.
    """
    try:
        from timm.data import ImageNetInfo
    except ImportError as error:
        raise missing_library("timm", "timm", purpose="folders of some of ImageNet's WordNet ids") from error
    return {name: index for index, name in enumerate(ImageNetInfo("imagenet-1k").label_names())}
