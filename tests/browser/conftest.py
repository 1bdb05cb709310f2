"""A real server on a real log, and a real Chromium that looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from picktune.app import create_app
from picktune.engines import Engine, Generation
from picktune.engines.local import LocalEngine
from picktune.errors import PicktuneError
from picktune.log import SQLiteLog
from picktune.records import Conversation, Message, Pick, Sampling, utc_now
from picktune.service import Service
from picktune.settings import Settings
from picktune_adapters.registry import Registry
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service as Chromedriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=en-US",
)
SOON = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


class ScriptedEngine:
    """An ``Engine`` that says the given texts in turn after ``delay`` seconds, or raises ``error``."""

    base_model = "scripted"

    def __init__(self) -> None:
        self.texts = [f"Reply number {number}." for number in range(1, 41)]
        self.error: PicktuneError | None = None
        self.delay = 0.0
        self._said = 0

    async def start(self) -> None: ...

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        if sampling.temperature == 0:  # greedy: always the same, as the check of a new adapter asks
            same = f"{model or 'The base'} says this."
            return [Generation(text=same, tokens=5, latency=0.1, finish_reason="stop") for _ in range(n)]
        texts = [self.texts[(self._said + i) % len(self.texts)] for i in range(n)]
        self._said += n
        return [Generation(text=text, tokens=5, latency=0.1, finish_reason="stop") for text in texts]

    async def load(self, name: str, folder: Path) -> None: ...

    async def unload(self, name: str) -> None: ...

    async def loaded(self) -> list[str]:
        return []

    async def ready(self) -> bool:
        return True

    async def close(self) -> None: ...


class Desk:
    """The running server, and what the test may do behind its back."""

    def __init__(self, home: Path, engine: Engine) -> None:
        self.engine = engine
        self.ahead = timedelta()
        settings = Settings(
            home=str(home),
            poll=0.1,
            sampling=Sampling(max_tokens=24),
            roles=("user", "agent", "expert", "crowd", "model"),
        )
        settings.folder.mkdir(exist_ok=True)
        self.service = Service(
            settings,
            log=SQLiteLog.open(settings.log_path),
            engine=engine,
            registry=Registry(settings.registry_path),
            rng=random.Random(7),
            now=lambda: utc_now() + self.ahead,
        )
        self.app = create_app(service=self.service)
        config = uvicorn.Config(self.app, host="127.0.0.1", port=0, log_level="warning", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, daemon=True)  # whatever fails, the tests end
        self._loop: asyncio.AbstractEventLoop | None = None

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve()

        asyncio.run(serve())

    def __enter__(self) -> Desk:
        self._thread.start()
        try:
            until(lambda: self._server.started, "the server starts")
            self.do(self.service.until_ready(60))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}{self.service.settings.prefix}"

    def do(self, work: Awaitable[T]) -> T:
        """Run a coroutine in the server's loop."""

        async def run() -> T:
            return await work

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    def link(self, name: str = "mei", *scopes: Any) -> str:
        scopes = scopes or ("slate", "pick", "read")
        return self.service.auth.enter_link(self.url.removesuffix("/picktune"), name, scopes=scopes)

    def add(
        self,
        id: str,
        said: str = "Where is my order?",
        *,
        title: str = "An order",
        locale: str = "en",
        pending: tuple[str, ...] = (),
        tags: tuple[str, ...] = (),
    ) -> str:
        now = self.service.now()
        messages = (Message(role="system", content="Be kind."), Message(role="user", content=said))
        conversation = Conversation(
            id=id,
            title=title,
            locale=locale,
            tags=tags,
            messages=messages,
            pending=pending,
            created_at=now,
            updated_at=now,
        )
        self.do(self.service.add_conversations([conversation]))
        return id

    def said(self, conversation_id: str) -> list[str]:
        conversation = self.service.log.reader.conversation(conversation_id)
        return [message.content for message in conversation.messages if message.role != "system"]

    def picks(self) -> list[Pick]:
        """Every version of every decision, in the order in which they were made."""
        reader = self.service.log.reader
        slates = {one.slate_id for one in reader.decisions()}
        found = [pick for slate_id in slates for pick in reader.picks(slate_id)]
        return sorted(found, key=lambda pick: pick.decided_at)


class Browser:
    """Chromium, as a person uses it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def fresh(self) -> None:
        """A new person at a desktop."""
        self.online()
        while len(self.driver.window_handles) > 1:
            self.driver.close()
            self.driver.switch_to.window(self.driver.window_handles[0])
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.get("about:blank")
        self.size(1280, 800)
        self.driver.get_log("browser")

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def slow(self, milliseconds: int) -> None:
        self._network(milliseconds, offline=False)

    def offline(self) -> None:
        self._network(0, offline=True)

    def online(self) -> None:
        self._network(0, offline=False)

    def _network(self, latency: int, *, offline: bool) -> None:
        conditions = {
            "offline": offline,
            "latency": latency,
            "downloadThroughput": -1,
            "uploadThroughput": -1,
        }
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

    def open(self, address: str) -> None:
        self.driver.get(address)

    def enter(self, desk: Desk, name: str = "mei", *scopes: str) -> None:
        self.open(desk.link(name, *scopes))
        here = "location.pathname.endsWith('/workbench') && document.readyState === 'complete'"
        until(lambda: self.js(here), "the link signs in")

    def desk(self, desk: Desk, conversation_id: str) -> None:
        """Open a conversation and wait for its replies."""
        self.open(f"{desk.url}/workbench/{conversation_id}")
        self.wait("choosing")

    def js(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
        found: list[str] = self.driver.execute_script(script, css)
        return found

    def seen(self, css: str) -> str:
        """What is visible of an element: '' if it is hidden."""
        return " ".join(one.text for one in self.all(css) if one.is_displayed())

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def control(self, key: str) -> None:
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    @property
    def phase(self) -> str:
        phase: str = self.js("document.getElementById('slate')?.dataset.phase ?? ''")
        return phase

    def wait(self, phase: str) -> None:
        until(lambda: self.phase == phase, f"the page is {phase}", lambda: f"it is {self.phase}")

    def wait_for(self, css: str, text: str) -> None:
        until(lambda: text in self.seen(css), f"{css} says {text!r}", lambda: repr(self.seen(css)))

    def replies(self) -> list[str]:
        return self.texts("#cards .card-text")

    def thread(self) -> list[str]:
        return self.texts("#messages .text")

    def complaints(self) -> list[str]:
        """What the browser's console says of scripts and policies; refused requests are the test's own."""
        entries = [entry["message"] for entry in self.driver.get_log("browser")]
        return [one for one in entries if "Failed to load resource" not in one]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        width: int = self.js("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width


def until(
    holds: Callable[[], bool], what: str, now: Callable[[], str] = lambda: "", seconds: float = SOON
) -> None:
    """Wait until it holds; fail with what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # The page may change under the question.
        with contextlib.suppress(WebDriverException):
            if holds():
                return
        time.sleep(0.05)
    pytest.fail(f"waited in vain: {what}; {now()}")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.fail(
            "the browser tests need Debian's chromium and chromium-driver: apt install chromium-driver"
        )
    options = Options()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Chromedriver(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[Browser]:
    browser = Browser(chromium)
    browser.fresh()
    yield browser
    assert browser.complaints() == []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A server whose engine says what the test wants."""
    with Desk(tmp_path / "home", ScriptedEngine()) as desk:
        yield desk


@pytest.fixture
def local_desk(tmp_path: Path, tiny_model: Path) -> Iterator[Desk]:
    """A server whose replies come out of a real, tiny model."""
    with Desk(tmp_path / "home", LocalEngine(tiny_model, queue=32, batch=16)) as desk:
        yield desk


@pytest.fixture
def desk_at() -> type[Desk]:
    """``Desk(home, engine)``, for tests that bring their own engine."""
    return Desk


@pytest.fixture
def see() -> Callable[..., None]:
    """``until``, for the tests."""
    return until
