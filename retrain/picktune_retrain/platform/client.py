"""OpenAI's fine-tuning API over HTTP: files, jobs and their events.

The paths and fields of https://developers.openai.com/api/reference/resources/fine_tuning.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx
import msgspec
from msgspec import Struct
from picktune.engines.answers import reason
from picktune_adapters.check_remote import url_fault

from picktune_retrain.errors import NightError

T = TypeVar("T")
Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled", "paused"]
ATTEMPTS = 6
_BUSY = 429
_PAUSE = 2.0


class PlatformError(NightError):
    """A platform refuses a request, fails a job, or cannot be reached."""

    code = "platform_error"


class Fault(Struct):
    """Why a job failed."""

    code: str | None = None
    message: str | None = None


class Job(Struct):
    """As much of a ``fine_tuning.job`` as is used."""

    id: str
    status: Status
    model: str
    fine_tuned_model: str | None = None
    error: Fault | None = None
    trained_tokens: int | None = None
    metadata: dict[str, str] | None = None


class Event(Struct):
    """What a platform says of a job while it runs."""

    id: str
    message: str


class _File(Struct):
    id: str


class _Jobs(Struct):
    data: list[Job]


class _Events(Struct):
    data: list[Event]


class Platform:
    """A platform at the address that OpenAI's clients take as ``base_url``, such as https://api.openai.com/v1.

    Requests that change nothing are tried again for about a minute; those that create something only where
    the platform says that it did not (429), for a second job costs as much as the first. Redirects are not
    followed: the key goes to this address alone.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        if why := url_fault(self.url):
            raise PlatformError(
                f"{url!r} cannot be used: {why}; give an address as https://api.openai.com/v1"
            )
        self.sleep = sleep
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=60.0, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def upload(self, path: Path) -> str:
        """Upload a file of rows for fine-tuning; returns its id."""
        with path.open("rb") as file:
            sent = {"file": (path.name, file.read(), "application/jsonl")}
        return self._call("POST", "/files", _File, files=sent, data={"purpose": "fine-tune"}).id

    def create(self, body: Mapping[str, Any]) -> Job:
        """Create a fine-tuning job."""
        return self._call("POST", "/fine_tuning/jobs", Job, json=dict(body))

    def job(self, id: str) -> Job:
        """A job as it stands."""
        return self._call("GET", f"/fine_tuning/jobs/{id}", Job)

    def jobs(self) -> list[Job]:
        """The newest jobs."""
        return self._call("GET", "/fine_tuning/jobs", _Jobs, params={"limit": 100}).data

    def events(self, id: str) -> list[Event]:
        """The newest events of a job, the oldest of them first."""
        path = f"/fine_tuning/jobs/{id}/events"
        return self._call("GET", path, _Events, params={"limit": 100}).data[::-1]

    def cancel(self, id: str) -> Job:
        """Call a job off."""
        return self._call("POST", f"/fine_tuning/jobs/{id}/cancel", Job)

    def _call(self, method: str, path: str, kind: type[T], **sent: Any) -> T:
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                response = self._client.request(method, self.url + path, **sent)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if last or method != "GET":
                    raise PlatformError(
                        f"{self.url}{path} cannot be reached ({type(error).__name__}: {error}); run the same "
                        "command again to go on"
                    ) from error
            else:
                status = response.status_code
                if response.is_success:
                    try:
                        return msgspec.json.decode(response.content, type=kind)
                    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                        raise PlatformError(
                            f"{self.url}{path} answered something that is not OpenAI's ({error}); check the "
                            "address, which mostly ends in /v1"
                        ) from error
                again = status == _BUSY or (response.is_server_error and method == "GET")
                if last or not again:
                    key = "; put the key into PICKTUNE_PLATFORM_KEY" if status in (401, 403) else ""
                    raise PlatformError(f"{self.url}{path} answered {status}: {reason(response)}{key}")
            self.sleep(_PAUSE * 2**attempt)
        raise AssertionError("unreachable")
