"""The part of the JSON API for privacy: consent, what is held on a user, and forgetting one."""

from __future__ import annotations

from picktune.api import endpoint
from picktune.bodies_privacy import ConsentChanged, GiveConsent
from picktune.endpoint import Call
from picktune.errors import Forbidden


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
