"""What a log keeps beside decisions: signals, scores, campaigns, and edits as preferences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from picktune.campaigns import Campaign
from picktune.comparisons import Comparison, Judged, Judgement
from picktune.edits import EditPreference
from picktune.records import AnnotatorRole, Conversation
from picktune.signals import Score, Signal, SignalKind, SignalTallies


class SignalLogReader(Protocol):
    """The part of a ``LogReader`` that reads them."""

    def signals(
        self,
        slate_id: str | None = None,
        *,
        kind: SignalKind | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Iterator[Signal]:
        """The signals in the order of their coming."""
        ...

    def scores(
        self,
        candidate_id: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        every_version: bool = False,
    ) -> Iterator[Score]:
        """The standing scores by time: each annotator's newest of each reply on each scale."""
        ...

    def edit_preferences(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        roles: Sequence[AnnotatorRole] | None = None,
    ) -> Iterator[EditPreference]:
        """Each standing edit over the reply that it began with, by time."""
        ...

    def tallies(self, *, since: datetime | None = None, until: datetime | None = None) -> SignalTallies:
        """What signals, scores and edits say in all."""
        ...

    def campaigns(self, *, closed: bool = True) -> list[Campaign]:
        """The campaigns, the oldest first; without those that were closed, if ``closed`` is false."""
        ...

    def campaign(self, name: str) -> Campaign:
        """The campaign of that name; raises ``CampaignNotFound``."""
        ...

    def campaign_counts(self, name: str, *, roles: Sequence[AnnotatorRole] | None = None) -> dict[str, int]:
        """How many picks (chosen, tie, none good) stand on the campaign's slates, by annotator."""
        ...

    def campaign_conversations(self, campaign: Campaign, *, limit: int = 50) -> list[Conversation]:
        """The open conversations that the campaign selects, the oldest update first."""
        ...

    def count_campaign_conversations(self, campaign: Campaign) -> int:
        """How many there are."""
        ...

    def comparison(self, comparison_id: str) -> Comparison:
        """The comparison of that id; raises ``ComparisonNotFound``."""
        ...

    def waiting_comparison(self, viewer: str) -> tuple[Comparison | None, int]:
        """What the viewer has not judged, the least judged first, and how many there are."""
        ...

    def judgements(self, comparison_id: str, annotator: str | None = None) -> list[Judgement]:
        """All versions of all judgements on the comparison, oldest first."""
        ...

    def judged(self, *, roles: Sequence[AnnotatorRole] | None = None) -> Iterator[Judged]:
        """The judgements that stand, by time, each with its comparison."""
        ...


class SignalLog(Protocol):
    """The part of a ``Log`` that writes them."""

    async def note(self, signals: Sequence[Signal]) -> list[Signal]:
        """Keep signals, all or none, and return them as they stand; the same key again changes nothing.

        A ``regenerated`` under a key that was used for one before is the one before. Raises
        ``SlateNotFound``, ``CandidateNotFound``, ``NotShown`` if the annotator never saw the slate,
        ``KeyReused``, and ``Conflict`` for one too many, or for replacing a slate that was decided on.
        """
        ...

    async def score(self, score: Score) -> Score:
        """Keep a score as the next version and return it; the same key again changes nothing.

        Raises ``CandidateNotFound``, ``NotShown``, ``KeyReused``, and ``InvalidInput`` for a mark that is not
        on its scale or that is no expert's.
        """
        ...

    async def add_campaign(self, campaign: Campaign) -> Campaign:
        """Keep a campaign; the same one again changes nothing, another of its name is a ``Conflict``."""
        ...

    async def close_campaign(self, name: str, *, at: datetime, by: str, why: str) -> Campaign:
        """Close a campaign for good and return it, as it was closed first; raises ``CampaignNotFound``."""
        ...

    async def add_comparison(self, comparison: Comparison) -> bool:
        """Keep a comparison of whole conversations; whether it is new.

        Raises ``InvalidInput`` if there is nothing to compare, and ``Conflict`` for another one of its id.
        """
        ...

    async def expose_comparison(
        self, comparison_id: str, viewer: str, order: Sequence[str], at: datetime
    ) -> tuple[str, ...]:
        """Keep that a viewer saw the comparison in this order of its sides; the first order stands."""
        ...

    async def judge(self, judgement: Judgement) -> Judgement:
        """Keep a verdict as the next version and return it; the same key again changes nothing.

        Raises as ``record`` does: ``ComparisonNotFound``, ``CandidateNotFound`` for a side that is none,
        ``NotShown``, ``AlreadyDecided``, ``KeyReused``, ``Conflict`` and ``InvalidInput``.
        """
        ...
