"""Sending scores to a Langfuse server, in batches, as often as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import httpx
import msgspec
from msgspec import Struct

from picktune.errors import InvalidInput, PicktuneError
from picktune.interchange.langfuse import Score
from picktune.records import Record, utc_now

PUBLIC_KEY, SECRET_KEY = "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"
# Langfuse takes bodies up to 1 MiB there; its own client stays under a million bytes.
MAX_BODY = 900_000
MAX_BATCH = 100
ATTEMPTS = 6

_LONGEST = 60.0  # seconds to wait before another attempt
_SAID = 20


class PushFailed(PicktuneError, RuntimeError):
    """The Langfuse server cannot be reached, or refuses us; what was taken before stays there."""

    code = "push_failed"
    status = 502


class Pushed(Record, frozen=True, kw_only=True):
    """How many scores the server took, how many it did not, and the first reasons."""

    accepted: int
    rejected: int
    reasons: tuple[str, ...] = ()


class _Partly(Struct, frozen=True):
    """An answer with the status 207: ``/scores`` counts, ``/ingestion`` only lists its errors."""

    errors: tuple[dict[str, object], ...]
    rejected: int | None = None


class LangfusePush:
    """A Langfuse server, to which scores are sent once each, whatever becomes of the connection.

    A batch that fails (no connection, 429, 5xx) is sent again, up to six times, ever later, or when
    ``Retry-After`` says; as its scores have ids of their own, that changes nothing. A server that takes no
    lists at ``/api/public/scores`` gets them at ``/api/public/ingestion``. ``keys`` holds the two keys, under
    the names of Langfuse's own variables. Raises ``InvalidInput`` without them, or if ``url`` is no address.
    """

    def __init__(
        self,
        url: str,
        keys: Mapping[str, str],
        *,
        client: httpx.Client | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise InvalidInput(
                "the address of the server must be like https://langfuse.example.org, without a password",
                field="push",
            )
        if not keys.get(PUBLIC_KEY) or not keys.get(SECRET_KEY):
            raise InvalidInput(
                f"set {PUBLIC_KEY} and {SECRET_KEY} in the environment; Langfuse shows them in the project's "
                f"settings",
                field="push",
            )
        self._url = url.rstrip("/")
        self._auth = httpx.BasicAuth(keys[PUBLIC_KEY], keys[SECRET_KEY])
        self._client = client or httpx.Client(timeout=30.0)
        self._sleep = sleep
        self._ingests = False
        self._accepted = self._rejected = 0
        self._reasons: list[str] = []

    def push(self, scores: Iterable[Score]) -> Pushed:
        """Send them; one batch is in memory. Raises ``PushFailed``."""
        batch: list[bytes] = []
        size = 0
        for score in scores:
            data = msgspec.json.encode(score)
            if len(data) > MAX_BODY:
                self._refuse(f"score {score.id} has {len(data):,} bytes; at most {MAX_BODY:,} can be sent")
                continue
            if batch and (len(batch) == MAX_BATCH or size + len(data) > MAX_BODY):
                self._send(batch)
                batch, size = [], 0
            batch.append(data)
            size += len(data) + 1
        if batch:
            self._send(batch)
        return Pushed(accepted=self._accepted, rejected=self._rejected, reasons=tuple(self._reasons))

    def _send(self, batch: list[bytes]) -> None:
        if not self._ingests:
            answer = self._post("/api/public/scores", b"[" + b",".join(batch) + b"]")
            if answer.status_code not in (400, 404, 405):
                self._count(answer, len(batch))
                return
        self._count(self._post("/api/public/ingestion", _events(batch)), len(batch))
        self._ingests = True

    def _post(self, path: str, body: bytes) -> httpx.Response:
        problem = ""
        for attempt in range(1, ATTEMPTS + 1):
            wait = 0.5 * 2**attempt
            try:
                # No redirect is followed: the keys and the scores are for this server only.
                answer = self._client.post(
                    self._url + path,
                    content=body,
                    headers={"Content-Type": "application/json"},
                    auth=self._auth,
                    follow_redirects=False,
                )
            except httpx.TransportError as error:
                problem = str(error) or type(error).__name__
            else:
                if answer.status_code != 429 and answer.status_code < 500:
                    return answer
                problem = f"it answered {answer.status_code}"
                asked = answer.headers.get("Retry-After", "")
                wait = float(asked) if asked.isdecimal() else wait
            if attempt < ATTEMPTS:
                self._sleep(min(_LONGEST, wait))
        raise PushFailed(
            f"{self._url} did not take the scores in {ATTEMPTS} attempts ({problem}); {self._accepted} were "
            f"taken before. Push again later: no score is counted twice"
        )

    def _count(self, answer: httpx.Response, count: int) -> None:
        if not answer.is_success:
            advice = {
                401: f"check {PUBLIC_KEY} and {SECRET_KEY}",
                403: "these keys may not write scores there",
                404: "is it the address of a Langfuse server?",
            }.get(answer.status_code, answer.text[:300])
            raise PushFailed(
                f"{self._url} answered {answer.status_code}: {advice}; {self._accepted} scores were taken "
                f"before"
            )
        refused, errors = 0, tuple[dict[str, object], ...]()
        if answer.status_code == 207:
            try:
                said = msgspec.json.decode(answer.content, type=_Partly)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise PushFailed(f"{self._url} answered what Langfuse does not: {error}") from error
            errors = said.errors
            refused = len(errors) if said.rejected is None else said.rejected
        self._accepted += count - refused
        for error_said in errors:
            self._refuse(str(error_said.get("message") or error_said))
        self._rejected += refused - len(errors)

    def _refuse(self, reason: str) -> None:
        self._rejected += 1
        if len(self._reasons) < _SAID:
            self._reasons.append(reason[:500])


def _events(batch: Iterable[bytes]) -> bytes:
    """The scores as events; the same score is the same event, for Langfuse takes each event once."""
    now = utc_now().isoformat()
    events = [
        {
            "id": str(uuid5(NAMESPACE_URL, data.decode())),
            "type": "score-create",
            "timestamp": now,
            "body": msgspec.Raw(data),
        }
        for data in batch
    ]
    return msgspec.json.encode({"batch": events})
