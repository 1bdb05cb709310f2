"""What the folder of a remote version must be: where somebody else serves a model, and under which name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from picktune_adapters.contents import check_files, fault

REMOTE = "remote.json"
_LIMIT = 1 << 16
_LOCAL = ("127.0.0.1", "::1", "localhost")


class RemoteModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model on a platform: the address that OpenAI's clients take as ``base_url``, and its name there."""

    url: Annotated[str, Meta(max_length=2000)]
    model: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[!-~]+\Z")]
    job: Annotated[str, Meta(max_length=500)] = ""


def url_fault(url: str) -> str | None:
    """Why an address may not be sent a key and what customers said; ``None`` if it may."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not host:
        return "it is no http or https address"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "it may hold no user, password, query or fragment"
    if parts.scheme == "http" and host not in _LOCAL:
        return "without TLS the key could be read on the way; only this machine is reached by http"
    return None


def check_remote(folder: Path) -> RemoteModel:
    """Read ``remote.json``; whether the platform answers is seen in service. Raises ``AdapterCorrupt``."""
    try:
        check_files(folder, (REMOTE,), mend="register the model again")
        with (folder / REMOTE).open("rb") as file:
            content = file.read(_LIMIT)
        found = msgspec.json.decode(content, type=RemoteModel)
    except OSError as error:
        fault(folder, f"it cannot be read ({error})", "mend the folder's permissions")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        fault(folder, f"{REMOTE} cannot be understood ({error})", "register the model again")
    if why := url_fault(found.url):
        fault(folder, f"its address {found.url!r} cannot be used: {why}", "register the model again")
    return found
