"""What a host application's handlers hold: draw replies, record picks and reactions, in a few words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
from msgspec import structs

from picktune.bodies import SlateView, view_of
from picktune.errors import InvalidInput
from picktune.records import AnnotatorRole, Consent, Message, Pick, Reaction, ReactionValue, Verdict, new_id
from picktune.service import Service
from picktune.signals import Noticed, Score
from picktune.slate import order_for


class Feedback:
    """The service as one request's handlers use it, found at ``request.state.picktune``.

    Nothing that it returns tells the arms apart, so all of it may be handed to a browser.
    """

    def __init__(self, service: Service, viewer: str | None = None, role: AnnotatorRole = "user") -> None:
        self.service = service
        self.viewer = viewer
        self.role = role

    def of(self, viewer: str, role: AnnotatorRole = "user") -> Feedback:
        """The same, bound to a viewer: whoever your application knows the request to come from."""
        return Feedback(self.service, viewer, role)

    async def draw(
        self,
        messages: Sequence[Message | Mapping[str, str]],
        *,
        conversation_id: str | None = None,
        user_ref: str | None = None,
        tags: Sequence[str] = (),
        locale: str = "en",
        policy: str | None = None,
        consent: Consent | None = None,
    ) -> SlateView:
        """Candidate replies to the messages, in the order in which to show them.

        Bound to a viewer, this also records that they are shown to that viewer. Raises ``InvalidInput``,
        ``EngineBusy`` and ``EngineDown``.
        """
        slate = await self.service.draw(
            _messages(messages),
            conversation_id=conversation_id,
            user_ref=user_ref,
            tags=tags,
            locale=locale,
            policy=policy,
            consent=consent,
        )
        if self.viewer is None:
            view = view_of(slate, tuple(candidate.id for candidate in slate.candidates))
        else:
            await self.service.expose(slate.id, self.viewer)
            view = view_of(slate, order_for(slate, self.viewer))
        return view if self.service.is_kept(slate.id) else structs.replace(view, kept=False)

    async def pick(
        self,
        slate_id: str,
        candidate_id: str | None = None,
        *,
        verdict: Verdict = "chosen",
        key: str | None = None,
        edited_text: str | None = None,
        reasons: Sequence[str] = (),
        comment: str | None = None,
        dwell_ms: int | None = None,
    ) -> Pick:
        """Record the viewer's decision; it is on disk when this returns.

        Send your own ``key`` if the request may be repeated. Raises what ``Log.record`` raises.
        """
        viewer = self._viewer()
        return await self.service.pick(
            Pick(
                key=key or new_id(),
                slate_id=slate_id,
                verdict=verdict,
                candidate_id=candidate_id,
                edited_text=edited_text,
                reasons=tuple(reasons),
                comment=comment,
                annotator=viewer,
                role=self.role,
                dwell_ms=dwell_ms,
                decided_at=self.service.now(),
            )
        )

    async def undo(self, slate_id: str, *, key: str | None = None) -> Pick:
        """Take the viewer's decision back; raises ``Conflict`` if none stands."""
        return await self.service.undo(
            slate_id, annotator=self._viewer(), role=self.role, key=key or new_id()
        )

    async def react(
        self,
        candidate_id: str,
        value: ReactionValue,
        *,
        key: str | None = None,
        reasons: Sequence[str] = (),
        comment: str | None = None,
    ) -> Reaction:
        """Record the viewer's thumbs up or down; it is on disk when this returns."""
        return await self.service.react(
            Reaction(
                key=key or new_id(),
                candidate_id=candidate_id,
                value=value,
                reasons=tuple(reasons),
                comment=comment,
                annotator=self._viewer(),
                role=self.role,
                reacted_at=self.service.now(),
            )
        )

    def token(self, conversation_id: str, *, lasting: timedelta = timedelta(minutes=15)) -> str:
        """A token for the viewer's own browser: it shows and decides this conversation's slates."""
        token, _ = self.service.auth.viewer_token(
            self._viewer(), conversation_id, role=self.role, lasting=lasting
        )
        return token

    async def note(self, slate_id: str, *noticed: Noticed, key: str | None = None) -> None:
        """Record what the viewer did with a slate: ``Copied``, ``Visible`` and ``Dwell``.

        Send your own ``key`` if the request may be repeated. Raises what ``Log.note`` raises.
        """
        keyed = [(f"{key or new_id()}-{place}", one) for place, one in enumerate(noticed)]
        await self.service.note(slate_id, keyed, annotator=self._viewer(), role=self.role)

    async def regenerate(self, slate_id: str, *, key: str | None = None) -> SlateView:
        """Other replies to the turn of a slate, shown to the viewer in place of it.

        Raises ``Conflict`` if the viewer has decided on it, and what ``draw`` raises.
        """
        viewer = self._viewer()
        slate = await self.service.regenerate(slate_id, annotator=viewer, role=self.role, key=key or new_id())
        view = view_of(slate, (await self.service.expose(slate.id, viewer)).order)
        return view if self.service.is_kept(slate.id) else structs.replace(view, kept=False)

    async def score(
        self,
        candidate_id: str,
        value: int,
        *,
        scale: str = "quality",
        key: str | None = None,
        comment: str | None = None,
    ) -> Score:
        """Record the viewer's mark for a reply; the viewer must be bound with the role ``expert``."""
        return await self.service.score(
            candidate_id,
            value,
            scale=scale,
            annotator=self._viewer(),
            role=self.role,
            key=key or new_id(),
            comment=comment,
        )

    def _viewer(self) -> str:
        if self.viewer is None:
            raise InvalidInput(
                "nobody decides here; say who it is with request.state.picktune.of(name)", field="viewer"
            )
        return self.viewer


def _messages(messages: Sequence[Message | Mapping[str, str]]) -> tuple[Message, ...]:
    try:
        return tuple(
            message if isinstance(message, Message) else msgspec.convert(dict(message), Message)
            for message in messages
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"a message has a role and a content: {error}", field="messages") from None
