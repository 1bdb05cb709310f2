"""Campaigns: collecting picks for one scenario on purpose: on which conversations, how many, until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from picktune.errors import InvalidInput
from picktune.records import Conversation, Record, ShortText
from picktune.signals import Scale

TAG = "campaign:"
RESERVED = (TAG, "picktune:")  # what these begin is given by ourselves only
ITSELF = "picktune"  # who closes a campaign that is full or past its time
Status = Literal["open", "full", "over", "closed"]
CampaignName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
Some = Annotated[tuple[ShortText, ...], Meta(max_length=1000)]
Wanted = Annotated[int, Meta(ge=1, le=1_000_000)]


class CampaignSelection(Record, frozen=True, kw_only=True):
    """Which conversations a campaign is about; whatever is left out selects all.

    ``tags``: those with at least one of them. ``locales``: those in one of them; ``zh`` is in ``zh-CN`` too.
    """

    tags: Some = ()
    locales: Some = ()
    scenarios: Some = ()
    sources: Some = ()
    conversations: Some = ()


class Campaign(Record, frozen=True, kw_only=True):
    """What is collected. ``wanted`` counts picks (chosen, tie, none good), ``per_annotator`` at most of one.

    ``annotators`` takes part: all do if it is empty. ``policy`` draws its slates: the settings' own if it is
    ``None``. Experts find ``scale`` beside those of the settings.
    """

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
    created_at: datetime
    created_by: str = ""
    closed_at: datetime | None = None
    closed_by: str | None = None
    closed_why: str | None = None

    @property
    def tag(self) -> str:
        """The tag that its slates' turns carry."""
        return TAG + self.name


class CampaignProgress(Record, frozen=True, kw_only=True):
    """How far a campaign is: picks ``have``, by annotator, and conversations that wait in it now."""

    campaign: Campaign
    status: Status
    have: int
    by_annotator: dict[str, int]
    waiting: int

    @property
    def share(self) -> float:
        """How much of what is wanted is there: from 0 to 1."""
        return min(1.0, self.have / self.campaign.wanted)


def status_of(campaign: Campaign, have: int, now: datetime) -> Status:
    """Whether it is open, and if not, why."""
    if campaign.closed_at is not None:
        by_itself: dict[str | None, Status] = {"full": "full", "over": "over"}
        return by_itself.get(campaign.closed_why, "closed") if campaign.closed_by == ITSELF else "closed"
    if have >= campaign.wanted:
        return "full"
    return "over" if campaign.until is not None and campaign.until <= now else "open"


def takes_part(campaign: Campaign, annotator: str, counts: Mapping[str, int]) -> bool:
    """Whether the annotator is asked, and has not given as many picks as one may."""
    if campaign.annotators and annotator not in campaign.annotators:
        return False
    return campaign.per_annotator is None or counts.get(annotator, 0) < campaign.per_annotator


def selects(selection: CampaignSelection, conversation: Conversation) -> bool:
    """Whether the conversation is one of those that the campaign is about."""
    return (
        (not selection.tags or not set(selection.tags).isdisjoint(conversation.tags))
        and (
            not selection.locales
            or any(
                conversation.locale == one or conversation.locale.startswith(f"{one}-")
                for one in selection.locales
            )
        )
        and (not selection.scenarios or conversation.scenario in selection.scenarios)
        and (not selection.sources or conversation.source in selection.sources)
        and (not selection.conversations or conversation.id in selection.conversations)
    )


def without_reserved(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without those that only we give."""
    return tuple(tag for tag in tags if not tag.startswith(RESERVED))


def check_tags(tags: Sequence[str]) -> None:
    """Raise ``InvalidInput`` for a tag that only we give: else anybody could forge a campaign's figures."""
    for tag in tags:
        if tag.startswith(RESERVED):
            raise InvalidInput(
                f"the tag {tag!r} is given by {'campaigns' if tag.startswith(TAG) else 'Picktune'} only; "
                "leave it out, or begin it with something else",
                field="tags",
            )
