"""Dataset versions: choice sets out of the log, cleaned, split without leaks, and kept by their hash."""

from picktune_retrain.dataset.build import build_dataset, dataset_id
from picktune_retrain.dataset.clean import clean
from picktune_retrain.dataset.split import Splits, cluster_names
from picktune_retrain.dataset.store import (
    load_dataset,
    load_splits,
    save_dataset,
    save_lineage,
    save_splits,
)

__all__ = [
    "Splits",
    "build_dataset",
    "clean",
    "cluster_names",
    "dataset_id",
    "load_dataset",
    "load_splits",
    "save_dataset",
    "save_lineage",
    "save_splits",
]
