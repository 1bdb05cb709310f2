"""Who is asking: a server with an API key, or a person with a signed browser session."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from itsdangerous import BadData, Signer, URLSafeSerializer
from starlette.requests import Request
from starlette.responses import Response

from picktune.errors import Forbidden, InvalidInput, InvalidSettings, Unauthenticated
from picktune.keys import SCOPES, KeyRing, Scope, write_private
from picktune.records import AnnotatorRole, Record, utc_now

CSRF_HEADER = "X-Picktune-CSRF"
ENTER_FOR = timedelta(minutes=15)
SESSION_FOR = timedelta(hours=12)
TOKEN_PREFIX = "pv_"  # noqa: S105 - how a viewer token begins
TOKEN_SCOPES: tuple[Scope, ...] = ("pick", "slate")
WORKBENCH_SCOPES: tuple[Scope, ...] = ("slate", "pick", "read")


class Viewer(Record, frozen=True, kw_only=True):
    """Who is asking. ``csrf`` is the token that a session must send back; ``None`` for a key or a token.

    ``conversation`` is the one that a viewer token is for: its holder sees and decides nothing else.
    """

    name: str
    role: AnnotatorRole
    scopes: frozenset[Scope]
    csrf: str | None = None
    conversation: str | None = None

    @property
    def is_browser(self) -> bool:
        """Whether a person asks, by a session or a viewer token: one that decides in its own name only."""
        return self.csrf is not None or self.conversation is not None

    def may(self, scope: Scope) -> bool:
        """Whether the scope is granted; ``admin`` includes every other."""
        return scope in self.scopes or "admin" in self.scopes


class _Token(Record, frozen=True, kw_only=True):
    name: str
    role: AnnotatorRole
    scopes: tuple[Scope, ...]
    id: str
    until: float
    conversation: str | None = None


class Auth:
    """The keys and the sessions of one installation, whose files lie under ``home``."""

    def __init__(
        self,
        home: Path,
        *,
        prefix: str = "/picktune",
        secure_cookies: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.keys = KeyRing(home / "keys.json")
        self.prefix = prefix
        self.secure_cookies = secure_cookies
        self._now = now
        self._secret_path = home / "secret"
        self._secret_read: bytes | None = None

    @property
    def cookie(self) -> str:
        """The session cookie's name: of this installation's own, for cookies do not tell ports apart."""
        return f"picktune_{hashlib.sha256(self._secret).hexdigest()[:8]}"

    def enter_token(
        self,
        name: str,
        *,
        role: AnnotatorRole = "agent",
        scopes: Iterable[Scope] = WORKBENCH_SCOPES,
    ) -> str:
        """A token that opens a browser session for a viewer; valid for fifteen minutes.

        Raises ``InvalidInput`` for a name that is empty, unprintable or longer than 200 characters.
        """
        _check_name(name)
        return self._sign("enter", name, role, tuple(sorted(set(scopes))), ENTER_FOR)

    def viewer_token(
        self, name: str, conversation_id: str, *, lasting: timedelta, role: AnnotatorRole = "user"
    ) -> tuple[str, datetime]:
        """A token for one viewer's browser and one conversation, and until when it is good.

        Its holder sees the slates of that conversation and decides on those that are shown to ``name``.
        Raises ``InvalidInput`` for a name or a conversation that is empty, unprintable or too long.
        """
        _check_name(name)
        if not 1 <= len(conversation_id) <= 200:
            raise InvalidInput("a conversation's id has 1 to 200 characters", field="conversation_id")
        until = self._now() + lasting
        return TOKEN_PREFIX + self._sign("viewer", name, role, TOKEN_SCOPES, lasting, conversation_id), until

    def enter_link(
        self,
        base_url: str,
        name: str,
        *,
        role: AnnotatorRole = "agent",
        scopes: Iterable[Scope] = WORKBENCH_SCOPES,
    ) -> str:
        """The address that signs a viewer in; ``base_url`` is scheme, host and port."""
        token = self.enter_token(name, role=role, scopes=scopes)
        return f"{base_url.rstrip('/')}{self.prefix}/enter?{urlencode({'token': token})}"

    def sign_in(self, token: str, response: Response) -> Viewer:
        """Exchange an enter token for a session cookie on the response; raises ``Unauthenticated``."""
        entry = self._read("enter", token)
        if entry is None:
            raise Unauthenticated(
                "the sign-in link is not valid any more; make a new one with: picktune link"
            )
        session = self._sign("session", entry.name, entry.role, entry.scopes, SESSION_FOR)
        response.set_cookie(
            self.cookie,
            session,
            max_age=int(SESSION_FOR.total_seconds()),
            path=self.prefix,
            httponly=True,
            samesite="strict",
            secure=self.secure_cookies,
        )
        viewer = self._viewer(self._read("session", session))
        assert viewer is not None  # noqa: S101 - it was signed a line above
        return viewer

    def sign_out(self, response: Response) -> None:
        """Take the session cookie away."""
        response.delete_cookie(
            self.cookie,
            path=self.prefix,
            httponly=True,
            samesite="strict",
            secure=self.secure_cookies,
        )

    def viewer_of(self, request: Request) -> Viewer:
        """Who sent the request: its API key, or else its session; raises ``Unauthenticated``."""
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, text = header.partition(" ")
            if scheme.lower() == "bearer" and text.strip().startswith(TOKEN_PREFIX):
                return self._bound(text.strip())
            key = self.keys.find(text.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                raise Unauthenticated(
                    "the API key is not valid; make one with: picktune keys create --name NAME"
                )
            return Viewer(name=key.name, role="user", scopes=frozenset(key.scopes))
        session = request.cookies.get(self.cookie)
        if session is None:
            raise Unauthenticated(
                "send an API key as 'Authorization: Bearer pk_…', or sign in with a link from: picktune link"
            )
        viewer = self._viewer(self._read("session", session))
        if viewer is None:
            raise Unauthenticated("the session has ended; sign in with a new link from: picktune link")
        return viewer

    def check_csrf(self, viewer: Viewer, token: str | None) -> None:
        """Raise ``Forbidden`` unless a browser sent its session's CSRF token; API keys need none."""
        if viewer.csrf is not None and not hmac.compare_digest(
            viewer.csrf.encode(), (token or "").encode("utf-8", "surrogateescape")
        ):
            raise Forbidden(f"send the session's CSRF token in the header {CSRF_HEADER}")

    def _bound(self, text: str) -> Viewer:
        token = self._read("viewer", text.removeprefix(TOKEN_PREFIX))
        if token is None or token.conversation is None:
            raise Unauthenticated("the viewer token is not valid any more; ask your server for a new one")
        return Viewer(
            name=token.name, role=token.role, scopes=frozenset(token.scopes), conversation=token.conversation
        )

    def _viewer(self, token: _Token | None) -> Viewer | None:
        if token is None:
            return None
        csrf = Signer(self._secret, salt="csrf", digest_method=hashlib.sha256).get_signature(token.id)
        return Viewer(
            name=token.name, role=token.role, scopes=frozenset(token.scopes), csrf=csrf.decode("ascii")
        )

    def _sign(
        self,
        use: str,
        name: str,
        role: AnnotatorRole,
        scopes: tuple[Scope, ...],
        lasting: timedelta,
        conversation: str | None = None,
    ) -> str:
        until = (self._now() + lasting).timestamp()
        token = _Token(
            name=name,
            role=role,
            scopes=scopes,
            id=secrets.token_urlsafe(16),
            until=until,
            conversation=conversation,
        )
        signed = self._serializer(use).dumps(msgspec.to_builtins(token))
        return signed if isinstance(signed, str) else signed.decode("ascii")

    def _read(self, use: str, text: str) -> _Token | None:
        try:
            token = msgspec.convert(self._serializer(use).loads(text), _Token)
        except (BadData, msgspec.ValidationError, ValueError):
            return None
        return token if token.until > self._now().timestamp() else None

    def _serializer(self, use: str) -> URLSafeSerializer:
        # The salt keeps a token of one use from serving another.
        return URLSafeSerializer(self._secret, salt=use, signer_kwargs={"digest_method": hashlib.sha256})

    @property
    def _secret(self) -> bytes:
        if self._secret_read is None:
            if not self._secret_path.exists():
                write_private(self._secret_path, secrets.token_bytes(32), replace=False)
            secret = self._secret_path.read_bytes()
            if len(secret) < 32:
                raise InvalidSettings(f"{self._secret_path} is too short to sign with; delete it")
            self._secret_read = secret
        return self._secret_read


def current_viewer(request: Request) -> Viewer:
    """Who sent the request; raises ``Unauthenticated``. The application keeps its ``Auth`` in its state."""
    auth: Auth = request.app.state.auth
    return auth.viewer_of(request)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInput("a viewer's name has 1 to 200 printable characters", field="viewer")


def require(request: Request, scope: Scope, *, bound: bool = False) -> Viewer:
    """The viewer, if the scope is granted and, on anything but a read by a browser, the CSRF header fits.

    The holder of a viewer token is let in only if ``bound``, and whoever lets it in sees to it that it
    touches its own conversation only. Raises ``Unauthenticated`` or ``Forbidden``.
    """
    auth: Auth = request.app.state.auth
    viewer = auth.viewer_of(request)
    if viewer.conversation is not None and not bound:
        raise Forbidden("a viewer token is for the slates of one conversation; use an API key for this")
    if not viewer.may(scope):
        held = ", ".join(name for name in SCOPES if name in viewer.scopes) or "none"
        raise Forbidden(f"this needs the scope {scope!r}; {viewer.name!r} has: {held}")
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        auth.check_csrf(viewer, request.headers.get(CSRF_HEADER))
    return viewer
