"""How patient we are with vLLM, and how much it is asked at once: the table ``vllm`` of the settings."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from picktune.records import Record

Seconds = Annotated[float, Meta(gt=0.0)]


class VLLMLimits(Record, frozen=True, kw_only=True):
    """The replicas of one vLLM and the limits of each; all times are seconds.

    ``urls`` are the replicas; without any, there is that of ``vllm_url``. ``checkpoints`` are further
    servers, of which each serves one checkpoint of the registry as a model of its own. ``whole`` is how long
    an answer may take, ``read`` any other request; of an answer that is streamed, ``first`` the first token,
    and ``between`` each one after it. ``outstanding`` requests may run at one replica; ``spill``
    is by how many more than the idlest one a conversation's own replica may have before it goes elsewhere.
    ``python``, ``max_rank``, ``max_loras``, ``options`` and ``plugin``, whether it loads ours, are for a vLLM
    that we start ourselves.
    ``failures`` in a row open a replica's breaker for ``cooldown``, doubled up to ``longest_cooldown``.
    """

    urls: tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+")], ...] = ()
    checkpoints: tuple[Annotated[str, Meta(pattern=r"^https?://[^/\s]+")], ...] = ()
    connect: Seconds = 5.0
    write: Seconds = 30.0
    pool: Seconds = 30.0
    read: Seconds = 60.0
    whole: Seconds = 180.0
    first: Seconds = 60.0
    between: Seconds = 30.0
    outstanding: Annotated[int, Meta(ge=1)] = 64
    spill: Annotated[int, Meta(ge=0)] = 4
    attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    hedge: Annotated[float, Meta(ge=0.0)] = 0.0
    failures: Annotated[int, Meta(ge=1)] = 5
    cooldown: Seconds = 2.0
    longest_cooldown: Seconds = 30.0
    python: str | None = None
    max_rank: Annotated[int, Meta(ge=1, le=512)] = 16
    max_loras: Annotated[int, Meta(ge=1)] = 32
    options: tuple[str, ...] = ()
    plugin: bool = True
