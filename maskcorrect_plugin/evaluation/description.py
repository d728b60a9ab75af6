"""What a run is a run of, gathered from its parts for ``run.json``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maskcorrect_plugin.corrector import ProbabilityCorrector
from maskcorrect_plugin.datasets import ImageDataset
from maskcorrect_plugin.describing import describe_model
from maskcorrect_plugin.models import LoadedModel
from maskcorrect_plugin.registry import NATIVE, get_backend, split_name
from maskcorrect_plugin.versions import versions

from .correctable import Correctable
from .manifest import Manifest, plain_settings

LIBRARIES = {"torch", "torchvision", "captum"}
"""Those whose versions count whatever the model and the method."""
LIBRARIES_OF_MODELS = {"timm": "timm", "hf": "transformers"}


def describe_run(
    correctors: Mapping[str, Correctable],
    dataset: ImageDataset,
    loaded: LoadedModel,
    options: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Manifest:
    """What the run is a run of.

    Args:
        correctors: By name. Their target layers have been found: settings name them.
        dataset: The images.
        loaded: The model.
        options: What is kept.
        about: What else goes into the description without having to match.
    """
    data = dataset.describe()
    source = data.pop("source", None)
    numbers = versions(_libraries(correctors, loaded))
    python = numbers.pop("python")
    identity = {
        "model": {
            "spec": loaded.spec,
            "weights": None if loaded.weights is None else Path(loaded.weights).name,
            **describe_model(loaded.model, loaded.preprocessing),
            "num_classes": loaded.num_classes,
        },
        "data": data,
        "methods": {name: plain_settings(name, getattr(each, "settings", {})) for name, each in correctors.items()},
        "records": dict(options),
        "versions": numbers,
    }
    created = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "python": python}
    return Manifest(
        identity, {**created, "source": source, "mean": loaded.mean, "std": loaded.std, **about}, loaded.class_names
    )


def _libraries(correctors: Mapping[str, Correctable], loaded: LoadedModel) -> set[str]:
    """Import names of the libraries that the model and the methods stand on."""
    model = LIBRARIES_OF_MODELS.get(loaded.spec.partition(":")[0])
    names = LIBRARIES | ({model} if model else set())
    for corrector in correctors.values():
        settings = corrector.settings if isinstance(corrector, ProbabilityCorrector) else {}
        for method in (settings.get("method"), settings.get("inner_method", {}).get("method")):
            backend = split_name(method)[0] if isinstance(method, str) else NATIVE
            if backend != NATIVE:
                names.add(get_backend(backend).library or "")
    return names
