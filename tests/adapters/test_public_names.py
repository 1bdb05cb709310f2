"""What ``picktune_adapters`` exports is a promise; this list holds it."""

from __future__ import annotations

import picktune_adapters
from picktune_adapters import errors


def test_public_names() -> None:
    assert picktune_adapters.__all__ == [
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
    assert picktune_adapters.__all__ == sorted(picktune_adapters.__all__)
    assert all(hasattr(picktune_adapters, name) for name in picktune_adapters.__all__)


def test_error_tree_is_drawn_in_full_and_codes_are_unique() -> None:
    tree = errors.__doc__ or ""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PicktuneError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert kind.__name__ in tree
    assert len({kind.code for kind in kinds}) == len(kinds)
