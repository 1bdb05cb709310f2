"""Whose a slate and a conversation are: an end user at a browser sees nobody's but the own ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picktune.auth import Viewer
from picktune.errors import ConversationNotFound, Forbidden, SlateNotFound

if TYPE_CHECKING:
    from picktune.service import Service


async def check_own_slate(service: Service, viewer: Viewer, slate_id: str) -> None:
    """Raise ``SlateNotFound`` if a person at a browser asks for a slate that was shown to others only.

    One that was shown to nobody yet belongs to whoever was given its id. Servers say for whom they ask.
    """
    if viewer.is_browser:
        seen_by = await service.viewers_of(slate_id)
        if seen_by and viewer.name not in seen_by:
            raise SlateNotFound(slate_id)


async def check_own_conversation(service: Service, viewer: Viewer, conversation_id: str) -> None:
    """Raise ``ConversationNotFound`` if an end user asks for a conversation that is not the own one.

    A viewer token says itself which one is its holder's, and ``Call.check_bound`` holds it to that.
    """
    if is_end_user(viewer) and viewer.conversation is None:
        conversation = await service.stored_conversation(conversation_id)
        if conversation.user_ref != viewer.name:
            raise ConversationNotFound(conversation_id)


def check_staff(viewer: Viewer) -> None:
    """Raise ``Forbidden`` for an end user, whatever the session's scopes."""
    if is_end_user(viewer):
        raise Forbidden(f"{viewer.name!r} is here as a user; this is for agents: sign in with another role")


def is_end_user(viewer: Viewer) -> bool:
    """Whether this is somebody's browser who is answered here, not one who answers."""
    return viewer.is_browser and viewer.role == "user"
