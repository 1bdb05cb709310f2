"""What a demonstration is asked to do, and the configuration file that it runs the server with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from picktune.records import AnnotatorRole, Record
from picktune.simulate import Taste


class Plan(Record, frozen=True, kw_only=True):
    """One demonstration: where it keeps its files, which model speaks, and how much is decided.

    ``train_slates`` of the base against itself train the adapter; ``fresh_slates`` of unseen tickets then
    test it. ``in_flight`` slates are drawn at a time. ``nightly`` are more options of ``picktune nightly``;
    ``regardless`` lets an adapter join the slates that the nightly did not admit.
    """

    home: Path
    model: str | None = None
    port: int
    taste: Taste = Taste()
    train_slates: Annotated[int, Meta(ge=1)] = 120
    fresh_slates: Annotated[int, Meta(ge=1)] = 150
    in_flight: Annotated[int, Meta(ge=1, le=32)] = 16
    max_tokens: Annotated[int, Meta(ge=1)] = 48
    temperature: float = 0.8
    seed: int = 0
    nightly: tuple[str, ...] = ()
    regardless: bool = False

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}/picktune"

    @property
    def config(self) -> Path:
        """The configuration file; ``PICKTUNE_CONFIG`` gives it to any other ``picktune`` command."""
        return self.home / "picktune.toml"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.home / "serve.log"


def write_config(plan: Plan, *, roles: tuple[AnnotatorRole, ...]) -> None:
    """Write the configuration file: 2 + 2 slates, short replies, and whose picks count."""
    plan.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    settings: dict[str, object] = {
        "home": str(plan.home.resolve()),
        "engine": "local",
        "policy": "2+2",
        "roles": list(roles),
        "port": plan.port,
        "poll": 1.0,
        # A slate waits behind others that are in flight, on two cores that may be busy elsewhere.
        "timeout": 600.0,
        "annotator_cap": max(200, plan.train_slates, 2 * plan.fresh_slates),
    }
    if plan.model is not None:
        settings["model"] = plan.model
    # JSON's strings, numbers and lists are TOML's too.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    lines += ["", "[sampling]", f"max_tokens = {plan.max_tokens}", f"temperature = {plan.temperature}", ""]
    plan.config.write_text("\n".join(lines), encoding="utf-8")
