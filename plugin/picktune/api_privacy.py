"""The part of the JSON API for privacy: consent, what is held on a user, and forgetting one."""

from __future__ import annotations

from anyio import to_thread

from picktune.api import endpoint
from picktune.audit import AuditLog, audited
from picktune.bodies_privacy import ConsentChanged, Forget, GiveConsent, Held, Whose
from picktune.endpoint import Call
from picktune.errors import Forbidden
from picktune.forget import Forgetting, look
from picktune.forget import forget as forgotten
from picktune.held import parts


@endpoint(
    "POST",
    "/consents",
    scope="slate",
    body=GiveConsent,
    answer=ConsentChanged,
    errors=("log_unavailable",),
    limit="picks",
)
async def give_consent(call: Call) -> ConsentChanged:
    """Record what a user agrees to from now on, or for one conversation."""
    body: GiveConsent = call.body
    if call.viewer.is_browser:
        raise Forbidden("a user's own application says what the user agrees to: send an API key")
    scope, ref = body.whose()
    turns = await call.service.set_consent(scope, ref, body.consent)
    return ConsentChanged(consent=body.consent, turns=turns)


@endpoint(
    "POST",
    "/forget",
    scope="admin",
    body=Forget,
    answer=Forgetting,
    errors=("log_unavailable", "redaction_failed", "state_unreadable"),
)
async def forget(call: Call) -> Forgetting:
    """Erase a user, or a conversation, and say which adapters learned from them."""
    body: Forget = call.body
    scope, ref = body.whose()
    settings, now = call.service.settings, call.service.now()
    found = await to_thread.run_sync(lambda: look(settings, scope, ref))
    if body.dry_run:
        return found
    await call.service.flush()
    log = AuditLog(settings.folder)
    told = {"adapters": ", ".join(found.adapters), "datasets": str(len(found.datasets))}
    with audited(log, "forgotten", f"a {scope}", by=call.viewer.name, now=now, **told) as noted:
        done = await to_thread.run_sync(lambda: forgotten(settings, scope, ref, now=now))
        noted |= {"conversations": str(done.conversations), "slates": str(done.slates)}
        noted["elsewhere"] = str(done.decided_elsewhere)
    return done


@endpoint(
    "POST",
    "/held",
    scope="admin",
    body=Whose,
    answer=Held,
    errors=("log_unavailable", "redaction_failed", "state_unreadable"),
)
async def held(call: Call) -> Held:
    """All that is held on a user, or of a conversation; picktune held writes the same as it reads it."""
    scope, ref = call.body.whose()
    settings, now = call.service.settings, call.service.now()
    log = AuditLog(settings.folder)
    with audited(log, "held_exported", f"a {scope}", by=call.viewer.name, now=now):
        found = await to_thread.run_sync(
            lambda: tuple({"kind": kind, **content} for kind, content in parts(settings, scope, ref))
        )
    return Held(made_at=now, held=found)
