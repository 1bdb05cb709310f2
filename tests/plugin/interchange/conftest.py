"""Where the public data sets lie, for the tests that need them, and decisions to write out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from picktune.records import Candidate, DecidedSlate, Exposure, Message, Pick, Slate, Turn, new_id

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """``PICKTUNE_SHARED_DATA``, or ``../shared/data`` beside the repository."""
    named = os.environ.get("PICKTUNE_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the public data sets are not at {folder}; name their folder in PICKTUNE_SHARED_DATA")
    return folder


def decision(
    verdict: str = "chosen",
    chosen: int | None = None,
    *,
    texts: Sequence[str] = ("Base one.", "Tuned one.", "Base two.", "Tuned two."),
    order: Sequence[int] | None = None,
    messages: Sequence[Message] = (Message(role="user", content="Where is my order?"),),
    model: str | None = "v1",
    annotator: str = "mei",
    role: str = "agent",
    at: int = 0,
    tags: tuple[str, ...] = ("order",),
    locale: str = "en",
    complete: bool = True,
    slate: Slate | None = None,
    also: dict[int, tuple[str, ...]] | None = None,
    **pick: Any,
) -> DecidedSlate:
    """A decision of an annotator, ``at`` seconds after nine; replies alternate between base and challenger.

    ``chosen`` is a place in the slate as it was drawn; ``order`` the places as the annotator saw them.
    """
    now = datetime(2026, 11, 24, 9, tzinfo=UTC) + timedelta(seconds=at)
    if slate is None:
        turn = Turn(
            id=new_id(),
            conversation_id=new_id(),
            messages=tuple(messages),
            tags=tags,
            locale=locale,
            created_at=now,
        )
        candidates = tuple(
            Candidate(
                id=new_id(),
                arm="challenger" if place % 2 else "base",
                kind="challenger" if place % 2 else "base",
                model=model if place % 2 else None,
                text=text,
                position=place,
                propensity=0.5,
                tokens=3,
                latency=0.25,
                also=(also or {}).get(place, ()),
            )
            for place, text in enumerate(texts)
        )
        slate = Slate(
            id=new_id(),
            turn=turn,
            candidates=candidates,
            policy="2+2",
            seed=7,
            complete=complete,
            created_at=now,
        )
    places = range(len(slate.candidates)) if order is None else order
    exposure = Exposure(
        slate_id=slate.id,
        viewer=annotator,
        order=tuple(slate.candidates[place].id for place in places),
        shown_at=now,
    )
    values: dict[str, Any] = {
        "key": new_id(),
        "slate_id": slate.id,
        "verdict": verdict,
        "candidate_id": None if chosen is None else slate.candidates[chosen].id,
        "annotator": annotator,
        "role": role,
        "decided_at": now + timedelta(seconds=1),
    }
    return DecidedSlate(slate=slate, exposure=exposure, pick=Pick(**values | pick))


@pytest.fixture(scope="session")
def decide() -> Callable[..., DecidedSlate]:
    """Makes decisions; see ``decision``."""
    return decision
