"""Dataset versions: choice sets out of the log, cleaned, split without leaks, and kept by their hash."""

from picktune_retrain.dataset.build import build_dataset, dataset_id
from picktune_retrain.dataset.holdout import HoldOut, freeze, load_hold_out
from picktune_retrain.dataset.quality import Standard, too_poor
from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.rules import RULES
from picktune_retrain.dataset.split import Splits, cluster_names
from picktune_retrain.dataset.store import (
    find_dataset,
    load_dataset,
    load_splits,
    save_dataset,
    save_lineage,
    save_splits,
    stored_versions,
)

__all__ = [
    "RULES",
    "HoldOut",
    "Rows",
    "Splits",
    "Standard",
    "build_dataset",
    "cluster_names",
    "dataset_id",
    "find_dataset",
    "freeze",
    "load_dataset",
    "load_hold_out",
    "load_splits",
    "save_dataset",
    "save_lineage",
    "save_splits",
    "stored_versions",
    "too_poor",
]
