"""Why a pick is, or is not, in a dataset: which split, which rule, and what to do."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from picktune.errors import SlateNotFound
from picktune.log import SQLiteLogReader
from picktune.records import ChoiceSet, Pick, Record, Slate

from picktune_retrain.dataset.holdout import load_hold_out, row_digest
from picktune_retrain.dataset.rows import Rows
from picktune_retrain.dataset.rules import RULES
from picktune_retrain.dataset.select import unselected
from picktune_retrain.dataset.split import SPLITS
from picktune_retrain.dataset.store import dropped_rows
from picktune_retrain.records import DatasetVersion, SplitName


class Answer(Record, frozen=True, kw_only=True):
    """What became of one decision: in which split it is, or by which rule it is not, and what to do."""

    slate_id: str
    decided_at: datetime | None = None
    split: SplitName | None = None
    frozen: bool = False
    rule: str | None = None
    because: str
    remedy: str = ""


def why(slate: str, version: DatasetVersion, home: Path, log: Path) -> list[Answer]:
    """What became of each decision on the slate, which is an id or a pick's number in the log.

    Raises ``SlateNotFound`` if neither the dataset nor the log knows it.
    """
    folder = home / "datasets" / version.id
    found = _held(slate, folder, home) + _left_out(slate, folder)
    known = {one.decided_at for one in found}
    with SQLiteLogReader(log) as reader:
        if not found and slate.isascii() and slate.isdigit() and len(slate) < 19:
            if (named := reader.slate_of_pick(int(slate))) is None:
                raise SlateNotFound(slate)
            return why(named, version, home, log)
        try:
            one = reader.slate(slate)
            picks = reader.picks(slate)
        except SlateNotFound:
            if found:
                return found
            raise
    standing = {pick.annotator: pick for pick in picks}
    others = [_not_there(pick, one, version) for pick in standing.values() if pick.decided_at not in known]
    if not standing and not found:
        others = [
            Answer(
                slate_id=slate,
                because="nobody has decided on it",
                remedy="decide on it on the workbench, or through the API",
            )
        ]
    return sorted(found + others, key=lambda one: str(one.decided_at))


def _held(slate: str, folder: Path, home: Path) -> list[Answer]:
    needle = f'"slate_id":"{slate}"'.encode()
    hold_out = load_hold_out(home / "datasets")
    digests = hold_out.digests() if hold_out else {}
    found = []
    for split in SPLITS:
        rows = Rows.open(folder / f"{split}.jsonl", ChoiceSet)
        for place, line in enumerate(rows.lines()):
            if needle not in line:
                continue
            row = rows[place]
            if row.slate_id == slate:
                frozen = any(row_digest(row) in some for (held, _), some in digests.items() if held == slate)
                found.append(_in(row, split, frozen))
    return found


def _in(row: ChoiceSet, split: SplitName, frozen: bool) -> Answer:
    because = {
        "train": "it is trained on",
        "validation": "it is held out, to watch the training by",
        "test": "it is held out, to judge the adapter by",
    }[split]
    return Answer(
        slate_id=row.slate_id,
        decided_at=row.decided_at,
        split=split,
        frozen=frozen,
        because=because + (", and frozen for good" if frozen else ""),
    )


def _left_out(slate: str, folder: Path) -> list[Answer]:
    return [
        Answer(
            slate_id=one.slate_id,
            decided_at=one.decided_at,
            rule=one.rule,
            because=RULES[one.rule].english + (f" ({one.detail})" if one.detail else ""),
            remedy=RULES[one.rule].remedy,
        )
        for one in dropped_rows(folder)
        if one.slate_id == slate
    ]


def _not_there(pick: Pick, slate: Slate, version: DatasetVersion) -> Answer:
    """Of a decision that the dataset neither holds nor has dropped: what the log says against it."""
    begins = version.recipe.begins(version.until)
    turn = slate.turn
    because = "it came into the log after the dataset was made"
    remedy = "make a new one: picktune dataset build"
    if pick.verdict != "chosen":
        because = f"its verdict is {pick.verdict}, and choice sets are made of chosen replies"
        remedy = "none_good, ties and edits are learned with other objectives: picktune nightly --objective"
    elif version.roles and pick.role not in version.roles:
        because = f"it was decided in the role {pick.role}, and {', '.join(version.roles)} count"
        remedy = f"--role {pick.role}, or the setting roles"
    elif turn.consent != "train":
        because, remedy = f"the user's consent is {turn.consent!r}", "nothing: it is the user's to give"
    elif len(slate.candidates) < 2:
        because, remedy = "only one reply was shown", "draw two or more: see the setting policy"
    elif pick.decided_at >= version.until:
        because = f"it was decided after {version.until:%Y-%m-%d %H:%M} UTC, where the dataset ends"
    elif begins is not None and pick.decided_at < begins:
        because = f"it was decided before {begins:%Y-%m-%d %H:%M} UTC, where the dataset begins"
        remedy = "--replay draws some of the older ones; or choose an earlier --since, or more --days"
    else:
        row = ChoiceSet(
            slate_id=slate.id,
            conversation_id=turn.conversation_id,
            messages=turn.messages,
            replies=(),
            chosen=0,
            annotator=pick.annotator,
            role=pick.role,
            tags=turn.tags,
            locale=turn.locale,
            decided_at=pick.decided_at,
        )
        if (reason := unselected(row, version.recipe)) is not None:
            because, remedy = reason, "ask for it with --tag, --campaign or --language"
    return Answer(slate_id=slate.id, decided_at=pick.decided_at, because=because, remedy=remedy)
