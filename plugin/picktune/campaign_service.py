"""The part of the service that runs campaigns: which one a slate is drawn under, and when it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from picktune.campaigns import ITSELF, Campaign, CampaignProgress, selects, status_of, takes_part
from picktune.errors import InvalidInput
from picktune.policy import policy_named
from picktune.records import AnnotatorRole, Conversation

if TYPE_CHECKING:
    from picktune.late import ReadableLog
    from picktune.log.base import Log, LogReader
    from picktune.settings import Settings


class CampaignService:
    """See ``Service``, which this is a part of."""

    if TYPE_CHECKING:
        settings: Settings
        log: ReadableLog
        now: Callable[[], datetime]
        _ask: Callable[[Callable[[LogReader], Any]], Awaitable[Any]]

    async def create_campaign(self, campaign: Campaign) -> Campaign:
        """Open a campaign. The same again changes nothing; raises ``InvalidInput`` and ``Conflict``."""
        return await self.log.add_campaign(checked_campaign(campaign, self.now()))

    async def close_campaign(self, name: str, *, by: str, why: str) -> Campaign:
        """Close a campaign for good; raises ``CampaignNotFound``."""
        return await self.log.close_campaign(name, at=self.now(), by=by, why=why)

    async def campaigns(self, *, closed: bool = True) -> list[CampaignProgress]:
        """The campaigns with their progress, the oldest first; those that are full or over are closed now."""
        found: list[CampaignProgress] = await self._ask(
            lambda reader: progress_of(reader, self.settings.roles, self.now(), closed=closed)
        )
        settled = [await settle(self.log, one, self.now()) for one in found]
        return [one for one in settled if closed or one.status == "open"]

    async def campaign(self, name: str) -> CampaignProgress:
        """One campaign with its progress; raises ``CampaignNotFound``."""
        found: CampaignProgress = await self._ask(
            lambda reader: progress(reader, reader.campaign(name), self.settings.roles, self.now())
        )
        return await settle(self.log, found, self.now())

    async def campaign_for(self, conversation: Conversation, annotator: str) -> Campaign | None:
        """The first open campaign in which this annotator would decide on this conversation."""
        for one in await self.campaigns(closed=False):
            if takes_part(one.campaign, annotator, one.by_annotator) and selects(
                one.campaign.selection, conversation
            ):
                return one.campaign
        return None

    async def campaign_queue(self, annotator: str, limit: int = 50) -> list[tuple[str, Conversation]]:
        """The open conversations of the campaigns in which the annotator takes part, with the titles."""
        found: list[tuple[str, Conversation]] = []
        for one in await self.campaigns(closed=False):
            if len(found) < limit and takes_part(one.campaign, annotator, one.by_annotator):
                campaign = one.campaign
                ask = partial(_waiting, campaign=campaign, limit=limit - len(found))
                found += [(campaign.title or campaign.name, waits) for waits in await self._ask(ask)]
        return found


def _waiting(reader: LogReader, *, campaign: Campaign, limit: int) -> list[Conversation]:
    return reader.campaign_conversations(campaign, limit=limit)


def checked_campaign(campaign: Campaign, now: datetime) -> Campaign:
    """The campaign, if it can be opened; raises ``InvalidInput``."""
    if campaign.policy is not None:
        policy_named(campaign.policy)
    if campaign.until is not None:
        if campaign.until.tzinfo is None:
            raise InvalidInput("until has no time zone; use a time in UTC", field="until")
        if campaign.until <= now:
            raise InvalidInput("until lies in the past; the campaign would be over at once", field="until")
    return structs.replace(campaign, closed_at=None, closed_by=None, closed_why=None)


def progress(
    reader: LogReader, campaign: Campaign, roles: tuple[AnnotatorRole, ...], now: datetime
) -> CampaignProgress:
    """How far the campaign is, by the picks of the roles that count."""
    counts = reader.campaign_counts(campaign.name, roles=roles)
    have = sum(counts.values())
    status = status_of(campaign, have, now)
    return CampaignProgress(
        campaign=campaign,
        status=status,
        have=have,
        by_annotator=counts,
        waiting=reader.count_campaign_conversations(campaign) if status == "open" else 0,
    )


def progress_of(
    reader: LogReader, roles: tuple[AnnotatorRole, ...], now: datetime, *, closed: bool = True
) -> list[CampaignProgress]:
    """All campaigns, or those that nobody has closed, the oldest first."""
    return [progress(reader, one, roles, now) for one in reader.campaigns(closed=closed)]


async def settle(log: Log, found: CampaignProgress, now: datetime) -> CampaignProgress:
    """Close a campaign that is full or past its time, so that it stays closed whatever is undone later."""
    if found.status == "open" or found.campaign.closed_at is not None:
        return found
    at = now if found.status == "full" or found.campaign.until is None else found.campaign.until
    campaign = await log.close_campaign(found.campaign.name, at=at, by=ITSELF, why=found.status)
    return structs.replace(found, campaign=campaign)
