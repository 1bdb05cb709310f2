"""Keys are kept as hashes, sessions are signed and short-lived, and no foreign page acts for a viewer."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from picktune.auth import CSRF_HEADER, Auth, current_viewer, require
from picktune.errors import Conflict, InvalidInput, InvalidSettings, NotFound, PicktuneError, Unauthenticated
from picktune.keys import KeyRing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auth(tmp_path: Path, clock: Clock) -> Auth:
    return Auth(tmp_path / "home", now=clock)


@pytest.fixture
def app(auth: Auth) -> Starlette:
    async def enter(request: Request) -> Response:
        response = JSONResponse({})
        auth.sign_in(request.query_params["token"], response)
        return response

    async def leave(request: Request) -> Response:
        response = JSONResponse({})
        auth.sign_out(response)
        return response

    async def me(request: Request) -> Response:
        viewer = current_viewer(request)
        return JSONResponse({"name": viewer.name, "role": viewer.role, "csrf": viewer.csrf})

    async def pick(request: Request) -> Response:
        return JSONResponse({"name": require(request, "pick").name})

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, PicktuneError)
        return JSONResponse({"error": error.message}, error.status)

    app = Starlette(
        routes=[
            Route("/picktune/enter", enter),
            Route("/picktune/leave", leave),
            Route("/picktune/me", me),
            Route("/picktune/pick", pick, methods=["POST"]),
        ],
        exception_handlers={PicktuneError: refuse},
    )
    app.state.auth = auth
    return app


@pytest.fixture
def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test/picktune")


@pytest.mark.anyio
async def test_a_key_opens_what_its_scopes_say(auth: Auth, client: httpx.AsyncClient) -> None:
    text, _ = auth.keys.create("shop", ["pick"], now=NOW)
    reader, _ = auth.keys.create("report", ["read"], now=NOW)
    admin, _ = auth.keys.create("root", ["admin"], now=NOW)
    assert (await client.post("/pick", headers={"Authorization": f"Bearer {text}"})).json() == {
        "name": "shop"
    }
    assert (await client.post("/pick", headers={"Authorization": f"bearer {admin}"})).status_code == 200
    refused = await client.post("/pick", headers={"Authorization": f"Bearer {reader}"})
    assert refused.status_code == 403
    assert "'pick'" in refused.json()["error"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "header", ["Bearer pk_wrong", "Bearer ", "Basic cGs6cGs=", "pk_wrong", "Bearer \xff\xfe"]
)
async def test_a_wrong_key_opens_nothing(auth: Auth, client: httpx.AsyncClient, header: str) -> None:
    auth.keys.create("shop", ["pick"], now=NOW)
    answer = await client.post("/pick", headers={b"Authorization": header.encode("latin-1")})
    assert answer.status_code == 401


@pytest.mark.anyio
async def test_a_wrong_key_is_not_mended_by_a_good_session(auth: Auth, client: httpx.AsyncClient) -> None:
    await client.get("/enter", params={"token": auth.enter_token("mei")})
    assert (await client.get("/me")).status_code == 200
    assert (await client.get("/me", headers={"Authorization": "Bearer pk_wrong"})).status_code == 401


@pytest.mark.anyio
async def test_a_running_server_sees_new_and_revoked_keys(
    auth: Auth, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    elsewhere = KeyRing(tmp_path / "home" / "keys.json")
    text, _ = elsewhere.create("shop", ["pick"], now=NOW)
    headers = {"Authorization": f"Bearer {text}"}
    assert (await client.post("/pick", headers=headers)).status_code == 200
    elsewhere.revoke("shop", now=NOW)
    assert (await client.post("/pick", headers=headers)).status_code == 401


def test_only_the_hash_is_kept_and_only_the_owner_reads_it(auth: Auth) -> None:
    text, key = auth.keys.create("shop", ["pick", "slate"], now=NOW)
    assert text.startswith("pk_")
    assert len(text) >= 3 + 43
    assert text not in auth.keys.path.read_text("utf-8")
    assert key.sha256 in auth.keys.path.read_text("utf-8")
    assert stat.S_IMODE(auth.keys.path.stat().st_mode) == 0o600


def test_names_are_unique_until_revoked(auth: Auth) -> None:
    auth.keys.create("shop", ["pick"], now=NOW)
    with pytest.raises(Conflict, match="shop"):
        auth.keys.create("shop", ["pick"], now=NOW)
    auth.keys.revoke("shop", now=NOW)
    auth.keys.create("shop", ["read"], now=NOW)
    assert [(key.name, key.revoked_at) for key in auth.keys.all()] == [("shop", NOW), ("shop", None)]
    with pytest.raises(NotFound, match="valid: shop"):
        auth.keys.revoke("shed", now=NOW)


@pytest.mark.parametrize(("name", "scopes"), [("", ["pick"]), ("a\n", ["pick"]), ("a", []), ("a", ["root"])])
def test_a_key_needs_a_name_and_known_scopes(auth: Auth, name: str, scopes: list[str]) -> None:
    with pytest.raises(InvalidInput):
        auth.keys.create(name, scopes, now=NOW)  # type: ignore[arg-type]
    assert auth.keys.all() == ()


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    def make(number: int) -> None:
        KeyRing(tmp_path / "keys.json").create(f"key-{number}", ["read"], now=NOW)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyRing(tmp_path / "keys.json").all()) == 8
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["keys.json"]


def test_a_broken_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(b"\xff{")
    with pytest.raises(InvalidInput, match=r"keys\.json"):
        KeyRing(tmp_path / "keys.json").all()


@pytest.mark.anyio
async def test_a_link_becomes_a_session_bound_to_the_viewer(auth: Auth, client: httpx.AsyncClient) -> None:
    link = auth.enter_link("http://test/", "梅", role="expert")
    entered = await client.get(link)
    cookie = entered.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/picktune", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    me = (await client.get("/me")).json()
    assert (me["name"], me["role"]) == ("梅", "expert")
    assert (await client.post("/pick")).status_code == 403
    assert (await client.post("/pick", headers={CSRF_HEADER: "é".encode()})).status_code == 403
    assert (await client.post("/pick", headers={CSRF_HEADER: me["csrf"]})).json() == {"name": "梅"}


@pytest.mark.anyio
async def test_the_csrf_token_of_one_session_does_not_fit_another(
    auth: Auth, client: httpx.AsyncClient
) -> None:
    await client.get("/enter", params={"token": auth.enter_token("mei")})
    first = (await client.get("/me")).json()["csrf"]
    await client.get("/enter", params={"token": auth.enter_token("mei")})
    assert (await client.post("/pick", headers={CSRF_HEADER: first})).status_code == 403


@pytest.mark.anyio
async def test_links_and_sessions_end(auth: Auth, client: httpx.AsyncClient, clock: Clock) -> None:
    token = auth.enter_token("mei")
    clock.now += timedelta(minutes=14)
    assert (await client.get("/enter", params={"token": token})).status_code == 200
    clock.now += timedelta(minutes=2)
    assert (await client.get("/enter", params={"token": token})).status_code == 401
    assert (await client.get("/me")).status_code == 200
    clock.now += timedelta(hours=12)
    ended = await client.get("/me")
    assert ended.status_code == 401
    assert "picktune link" in ended.json()["error"]


@pytest.mark.anyio
async def test_signing_out_takes_the_cookie_away(auth: Auth, client: httpx.AsyncClient) -> None:
    await client.get("/enter", params={"token": auth.enter_token("mei")})
    await client.get("/leave")
    assert (await client.get("/me")).status_code == 401


@pytest.mark.anyio
async def test_a_token_of_one_use_does_not_serve_another(auth: Auth, client: httpx.AsyncClient) -> None:
    client.cookies.set(auth.cookie, auth.enter_token("mei"))
    assert (await client.get("/me")).status_code == 401


@pytest.mark.anyio
@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "eyJuYW1lIjoibWVpIn0.AAAA",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    ],
)
async def test_forged_tokens_open_nothing(auth: Auth, client: httpx.AsyncClient, token: str) -> None:
    assert (await client.get("/enter", params={"token": token})).status_code == 401


def test_another_installation_signs_differently(auth: Auth, tmp_path: Path) -> None:
    other = Auth(tmp_path / "other", now=lambda: NOW)
    with pytest.raises(Unauthenticated):
        other.sign_in(auth.enter_token("mei"), Response())
    assert other.cookie != auth.cookie
    secret = tmp_path / "home" / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert Auth(tmp_path / "home", now=lambda: NOW).sign_in(auth.enter_token("mei"), Response()).name == "mei"


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(InvalidSettings, match="delete it"):
        Auth(tmp_path).enter_token("mei")


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 201])
def test_a_viewer_needs_a_printable_name(auth: Auth, name: str) -> None:
    with pytest.raises(InvalidInput):
        auth.enter_token(name)
