"""Taking into a log what an imported row holds: decisions, thumbs, and those on slates that the log has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from picktune.errors import CandidateNotFound, Conflict, SlateNotFound
from picktune.interchange.votes import IMPORTED, Taken, is_the_same
from picktune.records import DecidedSlate, Exposure, Pick, ReactedReply, Reaction, Slate

if TYPE_CHECKING:
    from picktune.late import ReadableLog


async def take(log: ReadableLog, one: Taken) -> bool:
    """Keep it; whether it is new. Nothing is sent to any conversation.

    A vote on a slate that the log has (the same replies under the same ids) becomes a decision on that one,
    so that it counts with the arms behind it. Raises what ``Log.add_decided`` and ``Log.react`` raise.
    """
    if isinstance(one, Reaction):
        return await _react(log, log.reader.slate_of_candidate(one.candidate_id), one)
    if isinstance(one, ReactedReply):
        slate = _adopted(log, one.slate)
        if slate is one.slate:  # what is stored is not redacted again
            await log.add_slate(slate)
        return await _react(log, slate, one.reaction)
    decided = _decided(log, one) if isinstance(one, Pick) else one
    try:
        return await log.add_decided(decided)
    except Conflict:
        adopted = _adopted(log, decided.slate)
        if adopted == decided.slate:
            raise
        return await log.add_decided(structs.replace(decided, slate=adopted))


def about(one: Taken) -> str:
    """The id of what it is about, for a list of refusals."""
    if isinstance(one, Reaction):
        return one.candidate_id
    return one.slate_id if isinstance(one, Pick) else one.slate.id


async def _react(log: ReadableLog, slate: Slate, reaction: Reaction) -> bool:
    known = any(
        (earlier.key, earlier.annotator) == (reaction.key, reaction.annotator)
        for earlier in log.reader.reactions(slate.id)
    )
    await log.react(reaction)
    return not known


def _adopted(log: ReadableLog, slate: Slate) -> Slate:
    try:
        stored = log.reader.slate(slate.id)
    except SlateNotFound:
        return slate
    return stored if is_the_same(stored, slate) or _are_one_row(stored, slate) else slate


def _decided(log: ReadableLog, pick: Pick) -> DecidedSlate:
    """A bare decision with the slate that it is on, as this annotator saw it."""
    slate = (
        log.reader.slate(pick.slate_id)
        if pick.slate_id
        else log.reader.slate_of_candidate(str(pick.candidate_id))
    )
    ids = tuple(one.id for one in slate.candidates)
    if pick.candidate_id is not None and pick.candidate_id not in ids:
        raise CandidateNotFound(pick.candidate_id, slate.id)
    seen = {shown.viewer: shown for shown in log.reader.exposures(slate.id)}
    exposure = seen.get(pick.annotator) or Exposure(
        slate_id=slate.id, viewer=pick.annotator, order=ids, shown_at=pick.decided_at
    )
    return DecidedSlate(slate=slate, exposure=exposure, pick=structs.replace(pick, slate_id=slate.id))


def _are_one_row(stored: Slate, slate: Slate) -> bool:
    # A row again: formats that know no times are given that of the import, and the log may have redacted it.
    ids = [[one.id for one in slate.candidates] for slate in (stored, slate)]
    return slate.policy.startswith(IMPORTED) and stored.policy == slate.policy and ids[0] == ids[1]
