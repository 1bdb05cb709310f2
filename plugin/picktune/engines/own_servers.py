"""The vLLM servers that each serve one checkpoint as a model of its own, beside those of the base."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING

from picktune.engines.base import ReplicaState
from picktune.errors import EngineError, PicktuneError

if TYPE_CHECKING:
    from picktune.engines.answers import Model
    from picktune.engines.vllm import VLLMEngine


class OwnServers:
    """Servers at ``urls``, which say themselves which checkpoint they serve: no night needs a new setting.

    ``make`` makes an engine of a URL.
    """

    def __init__(self, urls: Sequence[str], make: Callable[[str], VLLMEngine]) -> None:
        self._servers = {url: make(url) for url in dict.fromkeys(urls)}
        self._found: dict[str, tuple[VLLMEngine, Path]] = {}

    @property
    def replicas(self) -> tuple[ReplicaState, ...]:
        """How each server is."""
        return tuple(state for one in self._servers.values() for state in one.replicas)

    def names(self) -> list[str]:
        """The checkpoints whose servers were found."""
        return sorted(self._found)

    def get(self, name: str | None) -> VLLMEngine | None:
        """The engine of a checkpoint that was found."""
        found = None if name is None else self._found.get(name)
        return None if found is None else found[0]

    async def find(self, name: str, folder: Path) -> None:
        """Find a checkpoint's server; raises ``EngineError``, saying what each serves, if there is none."""
        answers = await asyncio.gather(*map(_served, self._servers.values()))
        for one, answer in zip(self._servers.values(), answers, strict=True):
            if not isinstance(answer, str) and _is_it(answer, name, folder):
                self._found[name] = one, folder
                return
        self._found.pop(name, None)
        seen = "; ".join(
            f"{url}: {answer if isinstance(answer, str) else f'it serves {answer.root or answer.id}'}"
            for url, answer in zip(self._servers, answers, strict=True)
        )
        raise EngineError(
            f"vLLM serves a checkpoint by a server of its own, and there is none for {name!r} "
            f"({seen or 'the setting vllm.checkpoints names no server'}); start one with: vllm serve "
            f"{folder} --served-model-name {name} --dtype float32 --host 127.0.0.1 --port 8001, and name its "
            "URL in 'vllm.checkpoints'"
        )

    def forget(self, name: str) -> bool:
        """Ask its server no more, which runs on; whether there was one."""
        return self._found.pop(name, None) is not None

    async def look(self) -> list[str]:
        """The checkpoints whose servers answer now and still serve them, sorted."""
        found = list(self._found.items())
        answers = await asyncio.gather(*(_served(one) for _, (one, _) in found))
        return sorted(
            name
            for (name, (_, folder)), answer in zip(found, answers, strict=True)
            if not isinstance(answer, str) and _is_it(answer, name, folder)
        )


async def _served(server: VLLMEngine) -> Model | str:
    """What a server serves, or why it does not say."""
    try:
        return await server.look()
    except PicktuneError as error:
        return error.message


def _is_it(model: Model, name: str, folder: Path) -> bool:
    # In a container it may lie elsewhere, and then its name counts; the canary knows whether it is the one.
    return model.id == name or realpath(model.root or model.id) == realpath(folder)
