"""What an adapter version is on disk, and the registry that keeps all of them."""

from picktune_adapters.check import AdapterShape, check_adapter
from picktune_adapters.records import (
    AdapterKind,
    AdapterVersion,
    AliasChange,
    Aliases,
    AliasName,
    RemovedAdapter,
)
from picktune_adapters.registry import Registry

__all__ = [
    "AdapterKind",
    "AdapterShape",
    "AdapterVersion",
    "AliasChange",
    "AliasName",
    "Aliases",
    "Registry",
    "RemovedAdapter",
    "check_adapter",
]
