"""Addresses of the JSON API for campaigns."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from picktune.api import endpoint
from picktune.audit import AuditLog, audited
from picktune.campaigns import (
    Campaign,
    CampaignName,
    CampaignProgress,
    CampaignSelection,
    Some,
    Status,
    Wanted,
)
from picktune.endpoint import Call
from picktune.records import Record, ShortText
from picktune.signals import Scale


class CreateCampaign(Record, frozen=True, kw_only=True):
    """A new campaign; see ``Campaign``. The same one again changes nothing."""

    name: CampaignName
    title: Annotated[str, Meta(max_length=200)] = ""
    purpose: Annotated[str, Meta(max_length=2000)] = ""
    selection: CampaignSelection = CampaignSelection()
    policy: ShortText | None = None
    wanted: Wanted
    until: datetime | None = None
    per_annotator: Wanted | None = None
    annotators: Some = ()
    scale: Scale | None = None


class CloseCampaign(Record, frozen=True, kw_only=True):
    """Why a campaign ends before it is full; the reason is kept."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class CampaignView(Record, frozen=True, kw_only=True):
    """A campaign and how far it is: picks ``have``, by annotator, and conversations ``waiting`` in it."""

    campaign: Campaign
    status: Status
    have: int
    by_annotator: dict[str, int]
    waiting: int


class Campaigns(Record, frozen=True, kw_only=True):
    """All campaigns, the oldest first."""

    campaigns: tuple[CampaignView, ...]


@endpoint(
    "POST",
    "/campaigns",
    scope="admin",
    body=CreateCampaign,
    answer=Campaign,
    status=201,
    errors=("conflict", "log_unavailable"),
)
async def create_campaign(call: Call) -> Campaign:
    """Open a campaign: picks for one scenario, collected on purpose."""
    body: CreateCampaign = call.body
    now = call.service.now()
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    log = AuditLog(call.service.settings.folder)
    told = {"wanted": str(body.wanted)}
    with audited(log, "campaign_created", body.name, by=call.viewer.name, now=now, **told):
        campaign: Campaign = await call.service.create_campaign(
            Campaign(**fields, created_at=now, created_by=call.viewer.name)
        )
    return campaign


@endpoint("GET", "/campaigns", scope="read", answer=Campaigns, errors=("log_unavailable",))
async def list_campaigns(call: Call) -> Campaigns:
    """All campaigns with their progress."""
    return Campaigns(campaigns=tuple(_view(one) for one in await call.service.campaigns()))


@endpoint(
    "GET",
    "/campaigns/{name}",
    scope="read",
    answer=CampaignView,
    errors=("campaign_not_found", "log_unavailable"),
)
async def get_campaign(call: Call) -> CampaignView:
    """One campaign with its progress."""
    return _view(await call.service.campaign(call.path["name"]))


@endpoint(
    "POST",
    "/campaigns/{name}/close",
    scope="admin",
    body=CloseCampaign,
    answer=CampaignView,
    errors=("campaign_not_found", "log_unavailable"),
)
async def close_campaign(call: Call) -> CampaignView:
    """Close a campaign for good; its picks stay."""
    name, by = call.path["name"], call.viewer.name
    log, now = AuditLog(call.service.settings.folder), call.service.now()
    with audited(log, "campaign_closed", name, by=by, now=now, reason=call.body.reason):
        await call.service.close_campaign(name, by=by, why=call.body.reason)
    return _view(await call.service.campaign(name))


def _view(one: CampaignProgress) -> CampaignView:
    return CampaignView(
        campaign=one.campaign,
        status=one.status,
        have=one.have,
        by_annotator=one.by_annotator,
        waiting=one.waiting,
    )
