"""What an adapter version is on disk, and the registry that keeps all of them."""

from picktune_adapters.records import AdapterVersion, AliasChange, Aliases, AliasName

__all__ = ["AdapterVersion", "AliasChange", "AliasName", "Aliases"]
