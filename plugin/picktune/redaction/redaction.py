"""Redaction of a conversation: the same value gets the same placeholder, and all of it can be taken back."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import structs

from picktune.errors import PicktuneError, RedactionFailed
from picktune.records import Conversation, Message, Slate, utc_now
from picktune.redaction.base import Found, Kind, Redactor, settled
from picktune.redaction.placeholders import LITERAL, PLACEHOLDER, Entry, known_in, replaced, restored
from picktune.redaction.vault import Vault
from picktune.settings import Settings

WITHHELD = "[WITHHELD]"
"""What is stored in place of a text that could not be redacted."""

_REMEMBERED = 4096
_HOUR = 3600.0


class Redaction:
    """A redactor with its vault. Blocking; any number of threads may share one.

    Its methods raise ``RedactionFailed`` if the redactor or the vault fails, whatever it was.
    """

    def __init__(
        self,
        redactor: Redactor,
        vault: Vault,
        *,
        keep_days: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.vault = vault
        self._redactor = redactor
        self._keep_days = keep_days
        self._now = now
        self._pruned: datetime | None = None
        self._lock = threading.Lock()
        self._remembered: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    def texts(
        self, conversation_id: str, texts: Sequence[str], *, asked: str = "", placeholders: bool = False
    ) -> list[str]:
        """The texts, one after the other as they were said, redacted; ``asked`` came before the first.

        What was redacted before is redacted as it was. With ``placeholders``, those in the texts are meant as
        such (a model wrote them, or they were stored before); otherwise a person wrote what looks like one.
        """
        if not texts:
            return []
        try:
            self._keep_to_time()
            return self._texts(conversation_id, texts, asked, placeholders)
        except PicktuneError as error:
            if isinstance(error, RedactionFailed):
                raise
            raise RedactionFailed(f"what was said cannot be redacted: {error.message}") from error
        except Exception as error:
            raise RedactionFailed(
                f"what was said cannot be redacted ({type(error).__name__}); see the server's log"
            ) from error

    def _texts(self, conversation_id: str, texts: Sequence[str], asked: str, placeholders: bool) -> list[str]:
        keys = [(conversation_id, _digest(text, placeholders)) for text in texts]
        with self._lock:
            done = [self._remembered.get(key) for key in keys]
        entries = self.vault.entries(conversation_id)
        found: list[list[Found]] = []
        for place, text in enumerate(texts):
            before = texts[place - 1] if place else asked
            found.append([] if done[place] is not None else self._find(text, before, entries, placeholders))
        found = _alike(texts, found)
        # Names that are said later are found in what was said before, too.
        values = _values(texts, found)
        if values:
            entries = self.vault.assign(conversation_id, values, self._now())
        for place, text in enumerate(texts):
            if done[place] is None:
                found[place] = _with_known(text, found[place], entries)
        later = [one for one in _values(texts, found) if one not in set(values)]
        if later:
            entries = self.vault.assign(conversation_id, later, self._now())
        result = []
        for place, text in enumerate(texts):
            before_now = done[place]
            redacted = replaced(text, found[place], entries) if before_now is None else before_now
            result.append(redacted)
            self._remember(keys[place], redacted)
        return result

    def text(
        self, conversation_id: str, text: str | None, *, asked: str = "", placeholders: bool = False
    ) -> str | None:
        """One text; ``None`` stays."""
        if text is None:
            return None
        return self.texts(conversation_id, [text], asked=asked, placeholders=placeholders)[0]

    def messages(
        self, conversation_id: str, messages: Sequence[Message], *, placeholders: bool = False
    ) -> tuple[Message, ...]:
        """The messages with their contents redacted."""
        contents = self.texts(conversation_id, [one.content for one in messages], placeholders=placeholders)
        return tuple(
            structs.replace(one, content=content) for one, content in zip(messages, contents, strict=True)
        )

    def slate(self, slate: Slate, *, turn: bool = True, placeholders: bool = False) -> Slate:
        """The slate with its replies redacted, and with its ``turn``'s messages, if they are not yet."""
        conversation_id = slate.turn.conversation_id
        if turn:
            messages = self.messages(conversation_id, slate.turn.messages, placeholders=placeholders)
            slate = structs.replace(slate, turn=structs.replace(slate.turn, messages=messages))
        replies = self.texts(conversation_id, [one.text for one in slate.candidates], placeholders=True)
        candidates = tuple(
            structs.replace(one, text=text) for one, text in zip(slate.candidates, replies, strict=True)
        )
        return structs.replace(slate, candidates=candidates)

    def remember(self, conversation_id: str, stored: Sequence[Message]) -> None:
        """Let what these stored messages were be redacted as they are stored, also after a restart."""
        entries = self.vault.entries(conversation_id)
        for message in stored:
            original = restored(message.content, entries)
            self._remember((conversation_id, _digest(original, False)), message.content)

    # And back

    def restore(self, conversation_id: str, text: str) -> str:
        """The text as it was, of a conversation."""
        return restored(text, self.vault.entries(conversation_id)) if PLACEHOLDER.search(text) else text

    def restore_slate(self, slate: Slate) -> Slate:
        """The slate with its messages and its replies as they were."""
        entries = self.vault.entries(slate.turn.conversation_id)
        if not entries:
            return slate
        turn = structs.replace(slate.turn, messages=_restored_messages(slate.turn.messages, entries))
        candidates = tuple(structs.replace(one, text=restored(one.text, entries)) for one in slate.candidates)
        return structs.replace(slate, turn=turn, candidates=candidates)

    def restore_conversation(self, conversation: Conversation) -> Conversation:
        """The conversation as it was."""
        entries = self.vault.entries(conversation.id)
        if not entries:
            return conversation
        scenario = conversation.scenario
        return structs.replace(
            conversation,
            title=restored(conversation.title, entries),
            scenario=None if scenario is None else restored(scenario, entries),
            messages=_restored_messages(conversation.messages, entries),
            pending=tuple(restored(one, entries) for one in conversation.pending),
        )

    def forget(self, conversation_ids: Sequence[str]) -> int:
        """Erase the vault of these conversations, and what is remembered of them; how many entries."""
        gone = set(conversation_ids)
        with self._lock:
            for key in [key for key in self._remembered if key[0] in gone]:
                del self._remembered[key]
        return self.vault.erase(gone)

    def _find(self, text: str, asked: str, entries: dict[str, Entry], placeholders: bool) -> list[Found]:
        marks = [match.span() for match in PLACEHOLDER.finditer(text)]
        found = list(_beside(text, self._redactor.find(text, asked=asked), marks))
        if not placeholders:
            found += (Found(start=start, end=end, kind=LITERAL, sure=9) for start, end in marks)  # type: ignore[arg-type]
        return settled(found)

    def _remember(self, key: tuple[str, bytes], redacted: str) -> None:
        with self._lock:
            self._remembered[key] = redacted
            self._remembered.move_to_end(key)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def _keep_to_time(self) -> None:
        now = self._now()
        if self._keep_days and (self._pruned is None or (now - self._pruned).total_seconds() > _HOUR):
            self._pruned = now
            self.vault.prune(now, self._keep_days)


def create_redaction(settings: Settings, now: Callable[[], datetime] = utc_now) -> Redaction | None:
    """The redaction that the settings ask for, if they do; raises ``MissingExtra``."""
    if not settings.redaction.on:
        return None
    from picktune.redaction.redactor import create_redactor

    kinds: Sequence[Kind] = settings.redaction.kinds
    redactor = create_redactor(kinds=kinds, locales=settings.redaction.locales)
    return Redaction(
        redactor, Vault(vault_path(settings.folder)), keep_days=settings.redaction.keep_days, now=now
    )


def vault_path(home: Path) -> Path:
    """Where the vault of a home lies."""
    return home / "vault.db"


def _values(texts: Sequence[str], found: Sequence[Sequence[Found]]) -> list[tuple[str, str]]:
    return [
        (one.kind, text[one.start : one.end]) for text, each in zip(texts, found, strict=True) for one in each
    ]


def _with_known(text: str, found: Sequence[Found], entries: dict[str, Entry]) -> list[Found]:
    marks = [match.span() for match in PLACEHOLDER.finditer(text)]
    known = [
        Found(start=start, end=end, kind=kind, sure=0)  # type: ignore[arg-type]
        for start, end, kind in known_in(text, entries)
    ]
    return settled([*found, *_beside(text, known, marks)])


def _alike(texts: Sequence[str], found: Sequence[list[Found]]) -> list[list[Found]]:
    """The same finds wherever the same text stands: what a question gives away is then hidden in all."""
    by_text: dict[str, list[Found]] = {}
    for text, each in zip(texts, found, strict=True):
        by_text.setdefault(text, []).extend(each)
    together = {text: settled(each) for text, each in by_text.items()}
    return [together[text] for text in texts]


def _beside(text: str, found: Iterable[Found], marks: Sequence[tuple[int, int]]) -> Iterator[Found]:
    """What of the finds lies beside the marks, which have a place of their own: one may come in parts."""
    for one in found:
        at = one.start
        touched = [mark for mark in marks if mark[0] < one.end and one.start < mark[1]]
        for start, end in (*touched, (one.end, one.end)):
            part = text[at : max(at, start)]
            if not touched or any(letter.isalnum() for letter in part):
                yield structs.replace(one, start=at, end=at + len(part))
            at = max(at, end)


def _restored_messages(messages: Sequence[Message], entries: dict[str, Entry]) -> tuple[Message, ...]:
    return tuple(structs.replace(one, content=restored(one.content, entries)) for one in messages)


def _digest(text: str, placeholders: bool) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=16, person=b"stored" if placeholders else b"said").digest()
