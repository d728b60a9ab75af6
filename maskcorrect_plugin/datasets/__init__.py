"""The data sets that an evaluation runs over, and their batches."""

from .base import ImageDataset, ImageRecord
from .loading import LoadedGroup, is_worker_death, iterate_groups, worker_deaths
from .opening import as_image_dataset, load_dataset
from .sampled import SampledDataset
from .wrapped import WrappedDataset

__all__ = [
    "ImageDataset",
    "ImageRecord",
    "LoadedGroup",
    "SampledDataset",
    "WrappedDataset",
    "as_image_dataset",
    "is_worker_death",
    "iterate_groups",
    "load_dataset",
    "worker_deaths",
]
