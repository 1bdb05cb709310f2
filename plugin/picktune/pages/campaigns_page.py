"""The campaigns page: what is collected on purpose, how far it is, and from whom."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from picktune.auth import Viewer
from picktune.campaigns import CampaignProgress
from picktune.pages.i18n import Translator, translator
from picktune.pages.render import render
from picktune.records import Record
from picktune.service import Service

TONES = {"open": "", "full": "good", "over": "warn", "closed": ""}
LISTED = ("tags", "locales", "scenarios", "sources")
PEOPLE = 12


class CampaignCard(Record, frozen=True, kw_only=True):
    """One campaign, ready to be shown; ``share`` is in per cent."""

    name: str
    title: str
    purpose: str
    status: str
    tone: str
    share: float
    picks: str
    when: str
    waiting: str
    facts: tuple[tuple[str, str], ...]
    people: tuple[tuple[str, int], ...]


class CampaignsPage:
    """``/campaigns``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, request: Request, viewer: Viewer) -> Response:
        """The page: open campaigns first, then the newest of the others."""
        t = translator(request)
        found = sorted(await self._service.campaigns(), key=lambda one: one.status != "open")
        ended = [one for one in found if one.status != "open"][::-1]
        cards = [_card(one, t) for one in [*(one for one in found if one.status == "open"), *ended]]
        return render(request, "campaigns.html", viewer=viewer, here="campaigns", cards=cards)


def _card(one: CampaignProgress, t: Translator) -> CampaignCard:
    made, when = one.campaign, ""
    if made.closed_at is not None:
        when = t("campaigns.closed", moment=t.moment(made.closed_at))
    elif made.until is not None:
        when = t("campaigns.until", moment=t.moment(made.until))
    facts = [("about", _about(one, t))]
    if made.policy:
        facts.append(("policy", made.policy))
    if made.per_annotator:
        facts.append(("per_annotator", t.number(made.per_annotator)))
    facts.append(("annotators", ", ".join(made.annotators) or t("campaigns.everybody")))
    if made.scale:
        facts.append(("scale", f"{made.scale} {made.scale.rubric}".strip()))
    purpose = made.purpose
    if one.status == "closed" and made.closed_why:
        purpose = f"{purpose} {t('campaigns.why', reason=made.closed_why)}".strip()
    return CampaignCard(
        name=made.name,
        title=made.title or made.name,
        purpose=purpose,
        status=t("campaigns.status_closed" if one.status == "closed" else f"campaigns.{one.status}"),
        tone=TONES[one.status],
        share=round(100 * one.share, 1),
        picks=t("campaigns.picks", have=one.have, wanted=made.wanted),
        when=when,
        waiting=t("campaigns.waiting", n=one.waiting) if one.status == "open" else "",
        facts=tuple(facts),
        people=tuple(one.by_annotator.items())[:PEOPLE],
    )


def _about(one: CampaignProgress, t: Translator) -> str:
    selection = one.campaign.selection
    parts = [
        t(f"campaigns.{name}", list=", ".join(getattr(selection, name)))
        for name in LISTED
        if getattr(selection, name)
    ]
    if selection.conversations:
        parts.append(t("campaigns.conversations", n=len(selection.conversations)))
    return "; ".join(parts) or t("campaigns.all")
