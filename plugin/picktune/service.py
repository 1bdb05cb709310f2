"""The service: draws slates, keeps what people decide on them, and stays up when a part of it is down."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import to_thread
from msgspec import structs
from picktune_adapters import Aliases
from picktune_adapters.registry import Registry

from picktune.auth import Auth
from picktune.campaign_service import CampaignService
from picktune.campaigns import TAG, check_tags, without_reserved
from picktune.comparison_service import ComparisonService
from picktune.engines.base import Engine, Speaker
from picktune.errors import Conflict, EngineDown, InvalidInput, LogUnavailable, SlateNotFound
from picktune.follower import Follower
from picktune.gate.canary import Canary
from picktune.gate.watch import watch
from picktune.health import Health, Readiness
from picktune.keeper import Keeper
from picktune.late import LateLog, ReadableLog
from picktune.listeners import Listeners
from picktune.log.base import ConsentScope, LogReader
from picktune.metrics import Metrics
from picktune.naming import NAMED, Unnamed, naming_for, speaking
from picktune.privacy import Privacy
from picktune.ratelimit import RateLimits
from picktune.records import (
    AnnotatorRole,
    Consent,
    Conversation,
    Exposure,
    Message,
    Pick,
    Reaction,
    Sampling,
    Slate,
    Turn,
    new_id,
    utc_now,
)
from picktune.redaction.redaction import Redaction, create_redaction
from picktune.settings import Settings
from picktune.signal_service import SignalService
from picktune.slate import draw, order_for, policy_named
from picktune.spool import Spool
from picktune.supportfeed import SupportFeed
from picktune.tracing import Tracing, create_tracing, provider_of

if TYPE_CHECKING:
    from picktune.support import Share, Support

T = TypeVar("T")

logger = logging.getLogger("picktune")

ANSWERABLE = frozenset({"user", "tool"})


class Service(SignalService, CampaignService, ComparisonService):
    """One running Picktune. ``start`` it in the event loop that will use it, and ``close`` it at the end."""

    def __init__(
        self,
        settings: Settings,
        *,
        log: ReadableLog,
        engine: Engine,
        registry: Registry,
        rng: random.Random | None = None,
        now: Callable[[], datetime] = utc_now,
        redaction: Redaction | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self.tracing = tracing or Tracing()
        self._privacy = Privacy(log, redaction, settings.consent_default)
        self.log = self._privacy.log
        self.engine = engine
        self.registry = registry
        self.rng = rng or random.SystemRandom()
        self.now = now
        self.auth = Auth(
            settings.folder, prefix=settings.prefix, secure_cookies=settings.secure_cookies, now=now
        )
        self.metrics = Metrics()
        self.limits = RateLimits(settings.rates, self.metrics)
        self.canary = Canary(settings.gate, log, registry, poll=settings.poll, now=now)
        self._stored_log = log
        self._keeper = Keeper(log, Spool(settings.spool_folder, limit=settings.spool_limit))
        self._follower = Follower(
            engine,
            registry,
            log,
            poll=settings.poll,
            grace=settings.timeout,
            integrity=settings.integrity,
            now=now,
        )
        self._health = Health(engine, log, registry, self._follower, self._keeper)
        self.listeners = Listeners(self)
        self._feed = SupportFeed()
        self._tasks: list[asyncio.Task[None]] = []
        self._drawing: dict[str, asyncio.Task[Slate]] = {}
        self._stopping = False
        self.configuration_problem: str | None = None

    @property
    def aliases(self) -> Aliases:
        """The adapters that speak in the slates now."""
        return self._follower.aliases

    @property
    def refusals(self) -> Mapping[str, int]:
        """How often an adapter could not be served, by the error's code."""
        return self._follower.refusals

    @property
    def lost(self) -> int:
        """How many slates and exposures were shown and could not be kept."""
        return self._keeper.lost

    @property
    def spooled(self) -> int:
        """How many slates and exposures were written into the journal."""
        return self._keeper.spooled

    @property
    def journal_bytes(self) -> int:
        """How much is in the journal now."""
        return self._keeper.journal_bytes

    @property
    def log_seconds(self) -> float | None:
        """How long the log took when readiness last asked it to write, until that was on disk."""
        return self._health.log_seconds

    async def start(self) -> None:
        """Begin to start the engine and to follow the adapters, and return at once. Safe to call twice."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follower.run()),
                asyncio.create_task(self._keeper.run(self.settings.poll)),
                asyncio.create_task(self.canary.run(lambda: self.aliases)),
                asyncio.create_task(watch(self.settings, self.registry, self.now)),
            ]

    async def until_ready(self, seconds: float = 300.0) -> None:
        """Wait until the engine answers; raises ``EngineDown`` with its reason after so many ``seconds``."""
        await self.start()
        try:
            async with asyncio.timeout(seconds):
                await self._follower.started.wait()
        except TimeoutError:
            raise EngineDown(self._follower.engine_problem or "the engine did not start") from None

    def check_engine(self) -> None:
        """Raise ``EngineDown``, saying why, if the engine does not run, or if nothing is drawn any more."""
        if self._stopping:
            raise EngineDown("the server is being stopped and draws no more; try again in a moment")
        if self._follower.engine_problem is not None:
            raise EngineDown(self._follower.engine_problem)

    async def readiness(self) -> Readiness:
        """Whether a slate could be drawn and kept now, and if not, what is missing."""
        readiness = await self._health.readiness()
        if self.configuration_problem is not None:
            readiness = structs.replace(readiness, configuration=self.configuration_problem)
        return structs.replace(readiness, ready=False, stopping=True) if self._stopping else readiness

    def apply(self, changed: Mapping[str, Any]) -> None:
        """Go on with other values of settings that are looked up at use; see ``picktune.reload``."""
        self.settings = structs.replace(self.settings, **changed)
        self.limits.change(self.settings.rates)
        self._privacy.usual = self.settings.consent_default

    @property
    def drawing(self) -> int:
        """How many slates are being drawn now."""
        return self.metrics.in_progress

    def drain(self) -> None:
        """Draw no new slates, and be not ready, from now on; what is being drawn goes on, picks are taken."""
        logger.info("stopping: %d slates are still being drawn", self.drawing)
        self._stopping = True

    async def close(self) -> None:
        """Stop what runs in the background, hand the log what it still has to learn, and let go of all."""
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self._drawing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._keeper.close()
        await self.listeners.close()
        await self.engine.close()
        await self.log.close()
        await to_thread.run_sync(self.tracing.close)
        if self._privacy.redaction is not None:
            self._privacy.redaction.vault.close()

    # Slates

    async def draw(
        self,
        messages: Sequence[Message],
        *,
        conversation_id: str | None = None,
        user_ref: str | None = None,
        tags: Sequence[str] = (),
        locale: str = "en",
        policy: str | None = None,
        sampling: Sampling | None = None,
        speaker: Speaker | None = None,
        campaign: str | None = None,
        consent: Consent | None = None,
        redacted: bool = False,
        viewer: str | None = None,
        beside: bool = False,
    ) -> Slate:
        """Draw a slate for the messages and keep it; ``is_kept`` tells if it has to wait for the log.

        With a ``viewer`` it is kept as shown to that one, in their order (``order_for``). ``beside``: it is
        returned while it is being written, so that no answer waits for the disk.

        ``sampling`` replaces the settings' own, and ``speaker`` the engine, for this slate, which is drawn
        under the ``campaign``. ``consent`` is what the user agrees to, by default the settings'
        ``consent_default``; with ``none`` nothing is kept. The messages are redacted before the model or the
        log sees them, unless they are ``redacted`` already; what is returned is as it was said. Raises
        ``InvalidInput`` for messages that leave nothing to answer or an unknown policy, ``EngineBusy`` and
        ``EngineDown``.
        """
        _check_answerable(messages)
        check_tags(tags)
        chosen = policy_named(policy or self.settings.policy)
        now = self.now()
        turn = Turn(
            id=new_id(),
            conversation_id=conversation_id or new_id(),
            messages=tuple(messages),
            user_ref=user_ref,
            tags=(*tags, *([TAG + campaign] if campaign else [])),
            locale=locale,
            created_at=now,
            consent=await self._privacy.consent(consent, user_ref, conversation_id),
        )
        if not redacted:
            turn = await self._privacy.redacted(turn)
        with (
            self.metrics.drawing(),
            self.tracing.span("draw", policy=chosen.name) as span,
        ):
            self.check_engine()
            aliases, chance = await self.canary.admit(await self._follower.current(), turn.conversation_id)
            naming = naming_for(self.engine.base_model, speaking(aliases), self.settings.self_names)
            spoken_by = self.tracing.speaker(
                speaker or self.engine,
                provider=provider_of(self.engine),
                base=self.engine.base_model,
                conversation_id=turn.conversation_id,
                content=turn.consent != "none" and self._privacy.redaction is None,
            )
            slate = await draw(
                turn,
                chosen,
                Unnamed(spoken_by, naming) if self.settings.self_naming == "filter" else spoken_by,
                aliases,
                rng=self.rng,
                now=now,
                sampling=sampling or self.settings.sampling,
                timeout=self.settings.timeout,
                chance=chance,
            )
            if span is not None:
                span.set_attribute("picktune.slate.id", slate.id)
                span.set_attribute("picktune.slate.complete", slate.complete)
        if self.settings.self_naming == "flag":  # a filter has left none
            slate = naming.tagged(slate)
            if NAMED in slate.turn.tags:
                logger.warning("a reply says which model wrote it", extra={"slate_id": slate.id})
        self.metrics.drew(slate)
        self._follower.drew(len({one.kind for one in slate.candidates}))
        logger.debug("drew %d replies", len(slate.candidates), extra={"slate_id": slate.id})
        if turn.consent == "none":
            self._privacy.hold(slate)
            if viewer is not None:
                self._privacy.held_for(slate.id, viewer)
            return slate
        stored = await self._privacy.kept_form(slate)
        exposure = None
        if viewer is not None:
            order = order_for(slate, viewer)
            exposure = Exposure(slate_id=slate.id, viewer=viewer, order=order, shown_at=self.now())
        if beside:
            await self._keeper.beside(stored, self._keep_slate(stored, exposure), viewer=viewer)
        else:
            await self._keep_slate(stored, exposure)
        return await self._privacy.shown(stored, slate)

    async def _keep_slate(self, slate: Slate, exposure: Exposure | None) -> bool:
        with self.metrics.phase("log_write"), self.tracing.span("log_write", slate__id=slate.id):
            kept = await self._keeper.keep_slate(slate, exposure)
        if kept:
            self.metrics.committed(self.now())
        return kept

    async def slate_for(self, conversation_id: str, viewer: str) -> Slate:
        """The slate that waits for the viewer in a stored conversation, or a fresh one.

        Callers that ask for one conversation at the same time get one slate, drawn once. Raises
        ``ConversationNotFound``, ``Conflict`` if the conversation waits for no reply, and what ``draw``
        raises.
        """
        waiting = await self._waiting(conversation_id, viewer)
        if waiting is not None:
            return await self._privacy.shown(waiting)
        task = self._drawing.get(conversation_id)
        if task is None:
            task = asyncio.create_task(self._draw_for(conversation_id, viewer))
            self._drawing[conversation_id] = task
            task.add_done_callback(lambda done: self._drawn(conversation_id, done))
        # One caller that gives up must not take the slate from the others.
        return await asyncio.shield(task)

    async def slate(self, slate_id: str) -> Slate:
        """The slate of that id; raises ``SlateNotFound``."""
        held = self._privacy.held(slate_id)
        return held if held is not None else await self._privacy.shown(await self.stored_slate(slate_id))

    async def stored_slate(self, slate_id: str) -> Slate:
        """The slate as it is, or will be, in the log: redacted, if that is on; raises ``SlateNotFound``."""
        waiting = self._keeper.waiting_slate(slate_id)
        return waiting if waiting is not None else await self._ask(lambda reader: reader.slate(slate_id))

    async def keep_stored(self, slate: Slate) -> None:
        """Keep a slate whose words came from the log, and are redacted already."""
        await self._stored_log.add_slate(slate)

    async def slate_of_candidate(self, candidate_id: str) -> Slate:
        """The slate that holds the candidate; raises ``CandidateNotFound``."""
        await self._keeper.flush()
        await self._keeper.settle()
        return await self._ask(lambda reader: reader.slate_of_candidate(candidate_id))

    def is_kept(self, slate_id: str) -> bool:
        """Whether the slate does not wait for the log to come back."""
        return self._keeper.is_kept(slate_id) and self._privacy.held(slate_id) is None

    async def expose(self, slate_id: str, viewer: str) -> Exposure:
        """Keep that the viewer sees the slate, in the viewer's own order; raises ``SlateNotFound``."""
        slate = await self.slate(slate_id)
        order = order_for(slate, viewer)
        if self._privacy.held(slate_id) is not None:
            self._privacy.held_for(slate_id, viewer)
            return Exposure(slate_id=slate_id, viewer=viewer, order=order, shown_at=self.now())
        return await self._keeper.keep_exposure(
            Exposure(slate_id=slate_id, viewer=viewer, order=order, shown_at=self.now())
        )

    async def viewers_of(self, slate_id: str) -> set[str]:
        """Those to whom the slate was shown."""
        waiting = self._keeper.waiting_viewers(slate_id) | self._privacy.held_viewers(slate_id)
        if self._privacy.held(slate_id) is not None or self._keeper.waiting_slate(slate_id) is not None:
            return waiting
        return waiting | {one.viewer for one in await self._ask(lambda reader: reader.exposures(slate_id))}

    # Decisions

    async def pick(self, pick: Pick) -> Pick:
        """Keep a decision; it is on disk when this returns. Raises what ``Log.record`` raises."""
        self._privacy.check_kept(pick.slate_id)
        traced = self.tracing.span("pick", slate__id=pick.slate_id, verdict=pick.verdict, role=pick.role)
        with self.metrics.phase("pick"), traced:
            await self._keeper.flush()
            try:
                kept = await self.log.record(pick)
            except SlateNotFound:
                if not await self._keeper.arrives(pick.slate_id, self.now()):
                    raise
                await self._keeper.flush()  # or the log was away, and it waits for it to come back
                kept = await self.log.record(pick)
        self.metrics.committed(self.now())
        if kept.decided_at == pick.decided_at:  # otherwise it is the one that was sent before
            self.metrics.picked(kept)
            self.listeners.tell(kept)
        return kept

    async def undo(self, slate_id: str, *, annotator: str, role: AnnotatorRole, key: str) -> Pick:
        """Take back the annotator's standing decision on the slate.

        Raises ``Conflict`` if none stands, or if the arms were revealed to whoever decided.
        """
        if self.settings.reveal:
            raise Conflict(
                f"the decision on slate {slate_id!r} stands: who said what was revealed after it",
                field="slate_id",
            )
        return await self.pick(
            Pick(
                key=key,
                slate_id=slate_id,
                verdict="undone",
                annotator=annotator,
                role=role,
                decided_at=self.now(),
            )
        )

    async def react(self, reaction: Reaction) -> Reaction:
        """Keep a reaction; it is on disk when this returns. Raises what ``Log.react`` raises."""
        self._privacy.check_candidate_kept(reaction.candidate_id)
        await self._keeper.flush()
        if self._privacy.redaction is not None and reaction.comment is not None:
            await self._keeper.settle()  # the comment's words are compared with those of its slate
        kept = await self.log.react(reaction)
        self.metrics.committed(self.now())
        if kept.reacted_at == reaction.reacted_at:
            self.metrics.reacted(kept)
        return kept

    async def picks_as_said(self, slate: Slate, annotator: str) -> list[Pick]:
        """What the annotator decided on the slate, oldest first, with placeholders turned back into words."""
        found = await self.picks(slate.id, annotator)
        redaction = self._privacy.redaction
        if redaction is None:
            return found

        def restored(pick: Pick) -> Pick:
            def back(text: str | None) -> str | None:
                return None if text is None else redaction.restore(slate.turn.conversation_id, text)

            reasons = tuple(redaction.restore(slate.turn.conversation_id, one) for one in pick.reasons)
            return structs.replace(
                pick, edited_text=back(pick.edited_text), comment=back(pick.comment), reasons=reasons
            )

        return await to_thread.run_sync(lambda: [restored(one) for one in found])

    async def picks(self, slate_id: str, annotator: str | None = None) -> list[Pick]:
        """All versions of all decisions on the slate, oldest first."""
        return await self._ask(lambda reader: reader.picks(slate_id, annotator))

    async def supports(
        self, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Support]:
        """The support rate of every adapter that stood beside the base, of the roles that count."""
        return await self._ask(lambda reader: _supports(reader, self.settings, since, until))

    async def shares(self, by: str, *, model: str | None, days: int) -> tuple[Share, ...]:
        """The support rate of one adapter (``None``: the base against itself) by groups, lately.

        Answered from memory, which the first call fills. Raises ``InvalidInput`` for unknown groups.
        """
        since, settings = self.now() - timedelta(days=days), self.settings
        return await self._ask(
            lambda reader: self._feed.shares(
                reader,
                by,
                model=model,
                since=since,
                roles=settings.roles,
                alpha=settings.alpha,
                annotator_cap=settings.annotator_cap,
            )
        )

    # Conversations

    async def add_conversations(self, conversations: Sequence[Conversation]) -> int:
        """Keep new conversations; returns how many were new."""
        return await self.log.add_conversations(conversations)

    async def flush(self) -> None:
        """Hand the log what still waits for it, and wait for it; raises ``LogUnavailable``."""
        await self._keeper.settle()
        await self._keeper.flush()

    async def set_consent(self, scope: ConsentScope, ref: str, level: Consent) -> int:
        """Keep what a user agrees to from now on, or for a conversation; see ``Log.set_consent``."""
        await self._keeper.flush()
        return await self.log.set_consent(scope, ref, level, self.now())

    async def conversation(self, conversation_id: str) -> Conversation:
        """The conversation with the replies sent so far; raises ``ConversationNotFound``."""
        return await self._privacy.conversation(await self.stored_conversation(conversation_id))

    async def stored_conversation(self, conversation_id: str) -> Conversation:
        """The conversation as it is in the log: redacted, if that is on; raises ``ConversationNotFound``."""
        return await self._ask(lambda reader: reader.conversation(conversation_id))

    async def conversations(
        self, *, status: str | None = "open", locale: str | None = None, limit: int = 50, offset: int = 0
    ) -> list[Conversation]:
        """A page of the conversations, the oldest update first."""
        found = await self._ask(
            lambda reader: reader.conversations(status=status, locale=locale, limit=limit, offset=offset)
        )
        return await self._privacy.conversations(found)

    async def count_conversations(self, *, status: str | None = "open", locale: str | None = None) -> int:
        """How many conversations there are."""
        return await self._ask(lambda reader: reader.count_conversations(status=status, locale=locale))

    async def _ask(self, question: Callable[[LogReader], T]) -> T:
        # SQLite blocks, so reads go to threads; so does the opening of a log that was not there at first.
        return await to_thread.run_sync(lambda: question(self.log.reader))

    async def _waiting(self, conversation_id: str, viewer: str) -> Slate | None:
        return await self._ask(lambda reader: reader.waiting_slate(conversation_id, viewer=viewer))

    async def _draw_for(self, conversation_id: str, viewer: str) -> Slate:
        # Another draw may have ended between the caller's look and this one.
        waiting = await self._waiting(conversation_id, viewer)
        if waiting is not None:
            return await self._privacy.shown(waiting)
        conversation = await self.stored_conversation(conversation_id)
        messages = conversation.messages
        if conversation.status == "closed" or not messages or messages[-1].role not in ANSWERABLE:
            raise Conflict(
                f"conversation {conversation_id!r} waits for no reply; open another one",
                field="conversation_id",
            )
        user_ref, level = conversation.user_ref, conversation.consent
        if await self._privacy.consent(level, user_ref, conversation_id) == "none":
            raise Conflict(
                f"the user of conversation {conversation_id!r} agrees to nothing being kept; answer it "
                "elsewhere, and erase it with: picktune forget",
                field="conversation_id",
            )
        campaign = await self.campaign_for(conversation, viewer)
        return await self.draw(
            messages,
            conversation_id=conversation_id,
            user_ref=user_ref,
            tags=without_reserved(conversation.tags),
            locale=conversation.locale,
            policy=campaign.policy if campaign else None,
            campaign=campaign.name if campaign else None,
            consent=level,
            redacted=True,
        )

    def _drawn(self, conversation_id: str, task: asyncio.Task[Slate]) -> None:
        self._drawing.pop(conversation_id, None)
        if not task.cancelled():
            task.exception()  # looked at, for all callers may have given up


def create_service(
    settings: Settings, *, engine: Engine | None = None, tracing: Tracing | None = None
) -> Service:
    """A service over the files under ``settings.folder``, which are made where they are missing.

    ``tracing`` replaces that of the settings, as for the provider that an application has already. A log that
    cannot be opened now is opened as soon as it can be. Raises ``MissingExtra`` if the engine's packages, or
    those of tracing, are not installed.
    """
    from picktune.engines import create_engine
    from picktune.log import SQLiteLog

    tracing = tracing or create_tracing(settings.telemetry)
    with suppress(OSError):  # the log's own attempt says what is wrong
        settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    late = LateLog(lambda: SQLiteLog.open(settings.log_path))
    try:
        log: ReadableLog = late.open()
    except LogUnavailable:
        log = late
    return Service(
        settings,
        log=log,
        engine=create_engine(settings) if engine is None else engine,
        registry=Registry(settings.registry_path),
        redaction=create_redaction(settings),
        tracing=tracing,
    )


def _check_answerable(messages: Sequence[Message]) -> None:
    if not messages:
        raise InvalidInput("the conversation is empty; send at least one message", field="messages")
    last, where = messages[-1], f"messages[{len(messages) - 1}]"
    if last.role not in ANSWERABLE:
        raise InvalidInput(
            f"the last message is from the {last.role}; there is nothing to answer", field=f"{where}.role"
        )
    if not last.content.strip():
        raise InvalidInput("the last message is empty; there is nothing to answer", field=f"{where}.content")


def _supports(
    reader: LogReader, settings: Settings, since: datetime | None, until: datetime | None
) -> list[Support]:
    from picktune.support import compare

    decisions = reader.decisions(since=since, until=until, roles=settings.roles)
    return compare(decisions, alpha=settings.alpha, annotator_cap=settings.annotator_cap)
