"""The adapters page: the versions, who speaks, what the gate decided, and moving by hand."""

from __future__ import annotations

from anyio import to_thread
from msgspec import UNSET, structs
from picktune_adapters import AdapterVersion, AliasChange, Aliases
from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer
from picktune.errors import AdapterError, LogUnavailable
from picktune.gate.orders import Order, carry_out
from picktune.gate.records import GateDecision, View
from picktune.pages.because import because
from picktune.pages.i18n import translator
from picktune.pages.render import render
from picktune.service import Service
from picktune.wire import json_answer, read_body

SHOWN = 50


class AdaptersPage:
    """``/adapters``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._registry = service.registry

    async def __call__(self, request: Request, viewer: Viewer) -> Response:
        """The page; where the registry or the log cannot be read it says so."""
        t = translator(request)
        aliases, versions, history = Aliases(), list[AdapterVersion](), list[AliasChange]()
        view, decisions = View(), list[GateDecision]()
        troubles = []
        try:
            aliases, versions, history = await to_thread.run_sync(self._read)
            view, decisions = await to_thread.run_sync(self._look)
        except AdapterError as error:
            troubles.append(t("adapters.trouble", message=error.message))
        except LogUnavailable as error:
            troubles.append(t("gate.trouble", message=error.message))
        for name, reason in (await self._service.readiness()).problems.items():
            troubles.append(t("adapters.problem", name=name, reason=reason))
        rules = self._service.settings.gate
        # The registry's history repeats what the gate wrote: by its words, both are said in one language.
        why = {one.reason: because(one, t) for one in decisions if one.by == "gate"}
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
            view=view,
            decisions=decisions,
            why=why,
            rules=rules,
            share=(view.share or rules.canary[0]) if rules.canary else None,
        )

    async def move(self, request: Request, viewer: Viewer) -> Response:
        """What an administrator asks for; the server follows within ``settings.poll`` seconds."""
        order = await read_body(request, Order)
        if order.champion is UNSET and order.move in {"promote", "rollback"}:
            order = structs.replace(order, champion="")  # a page always shows one, or none
        change = await to_thread.run_sync(lambda: self._carry_out(order, viewer.name))
        if change is None:
            return json_answer({"move": order.move})
        return json_answer({"alias": change.alias, "before": change.before, "after": change.after})

    def _read(self) -> tuple[Aliases, list[AdapterVersion], list[AliasChange]]:
        return self._registry.aliases(), self._registry.versions(), self._registry.history()

    def _look(self) -> tuple[View, list[GateDecision]]:
        from picktune.gate.keeper import Gate

        service = self._service
        gate = Gate(service.settings, registry=self._registry, now=service.now)
        return gate.view(), gate.decisions(limit=SHOWN)

    def _carry_out(self, order: Order, by: str) -> AliasChange | None:
        from picktune.gate.keeper import Gate

        service = self._service
        gate = Gate(service.settings, registry=self._registry, now=service.now)
        return carry_out(gate, order, by)
