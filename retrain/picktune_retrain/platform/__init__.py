"""Models that are not ours to train: the picks go to a platform's fine-tuning API, and a model comes back."""

from picktune_retrain.platform.client import Platform, PlatformError
from picktune_retrain.platform.job import Wanted, finetune

__all__ = ["Platform", "PlatformError", "Wanted", "finetune"]
