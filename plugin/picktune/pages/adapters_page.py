"""The adapters page: the versions, who speaks, every move, and moving."""

from __future__ import annotations

from typing import Annotated, Literal

from anyio import to_thread
from msgspec import Meta
from picktune_adapters import AdapterVersion, AliasChange, Aliases
from starlette.requests import Request
from starlette.responses import Response

from picktune.audit import AuditLog, audited
from picktune.auth import Viewer
from picktune.errors import AdapterError, Conflict, InvalidInput
from picktune.pages.i18n import translator
from picktune.pages.render import render
from picktune.records import Record
from picktune.service import Service
from picktune.wire import json_answer, read_body


class Move(Record, frozen=True, kw_only=True):
    """What an administrator asks for; ``champion`` is the one that the page showed, or ''."""

    move: Literal["promote", "rollback"]
    name: str | None = None
    reason: Annotated[str, Meta(max_length=500)]
    champion: str = ""


class AdaptersPage:
    """``/adapters``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = service.registry

    async def __call__(self, request: Request, viewer: Viewer) -> Response:
        """The page; where the registry cannot be read it says so."""
        t = translator(request)
        aliases, versions, history = Aliases(), list[AdapterVersion](), list[AliasChange]()
        troubles = []
        try:
            aliases, versions, history = await to_thread.run_sync(self._read)
        except AdapterError as error:
            troubles.append(t("adapters.trouble", message=error.message))
        for name, reason in (await self._service.readiness()).problems.items():
            troubles.append(t("adapters.problem", name=name, reason=reason))
        return render(
            request,
            "adapters.html",
            viewer=viewer,
            here="adapters",
            aliases={"champion": aliases.champion, "challenger": aliases.challenger},
            versions=versions[::-1],
            history=history[::-1],
            simulated=any(version.simulated for version in versions),
            may_move=viewer.may("admin"),
            can_roll_back=aliases.champion is not None,
            troubles=troubles,
        )

    async def move(self, request: Request, viewer: Viewer) -> Response:
        """Promote or roll back; the server follows within ``settings.poll`` seconds."""
        move = await read_body(request, Move)
        reason = move.reason.strip()
        if not reason:
            raise InvalidInput("say why: the reason is kept in the history", field="reason")
        change = await to_thread.run_sync(self._move, move, reason, viewer.name)
        return json_answer({"alias": change.alias, "before": change.before, "after": change.after})

    def _read(self) -> tuple[Aliases, list[AdapterVersion], list[AliasChange]]:
        return self._registry.aliases(), self._registry.versions(), self._registry.history()

    def _move(self, move: Move, reason: str, by: str) -> AliasChange:
        champion = self._registry.aliases().champion or ""
        if champion != move.champion:
            raise Conflict(
                f"the champion is {champion or 'none'!r} now: somebody has moved it; load the page again",
                field="champion",
            )
        now = self._service.now()
        log = AuditLog(self._service.settings.folder)
        if move.move == "rollback":
            with audited(log, "rolled_back", by=by, now=now, reason=reason) as told:
                change = self._registry.rollback(by=by, reason=reason, now=now)
                told.update(before=change.before or "the base", after=change.after or "the base")
            return change
        if not move.name:
            raise InvalidInput("say which adapter to promote", field="name")
        with audited(log, "promoted", move.name, by=by, now=now, reason=reason) as told:
            change = self._registry.promote(move.name, by=by, reason=reason, now=now)
            told["before"] = change.before or "the base"
        return change
