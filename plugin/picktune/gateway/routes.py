"""The gateway's addresses, who may use them, and what becomes of a client that goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from picktune.auth import Viewer, require
from picktune.endpoint import Call
from picktune.engines.base import Streaming
from picktune.errors import InvalidInput, PicktuneError
from picktune.gateway.arms import ALIASES, BASE, arm_completion, arm_names
from picktune.gateway.bodies import ChatCompletion, ChatRequest, ModelCard, ModelList
from picktune.gateway.errors import ModelNotFound, gateway_error, internal_error
from picktune.gateway.live import live_arm
from picktune.gateway.sending import EventStream, gone_from
from picktune.gateway.slates import PICKTUNE, slate_completion
from picktune.gateway.stream import events
from picktune.service import Service
from picktune.wire import json_answer, read_body

T = TypeVar("T")

CONVERSATION_HEADER = "X-Picktune-Conversation"
CLIENT_GONE = 499  # nginx's; nobody is there to read it

logger = logging.getLogger("picktune")


def routes(service: Service) -> list[Route]:
    """``/v1/chat/completions``, ``/v1/models`` and ``/v1/models/{model}``."""
    created = int(service.now().timestamp())

    async def complete(request: Request) -> Response:
        viewer = require(request, "slate")
        service.limits.take("slates", viewer)
        asked = await read_body(request, ChatRequest)
        call = Call(service=service, viewer=viewer, path={}, body=asked)
        if not asked.stream:
            return json_answer(await while_there(request, _answer(request, call)))
        closed = service.limits.open_stream(viewer)
        try:
            return await _stream(request, call, closed)
        except BaseException:
            closed()
            raise

    async def _stream(request: Request, call: Call, closed: Callable[[], None]) -> Response:
        asked: ChatRequest = call.body
        usage = asked.stream_options is not None and bool(asked.stream_options.include_usage)
        patience = service.settings.slow_client
        if asked.model != PICKTUNE and isinstance(service.engine, Streaming):
            await _check_arm(request, call)
            live = await while_there(request, live_arm(call, include_usage=usage))
            return EventStream(live, patience, ended=closed)
        answer = await while_there(request, _answer(request, call))
        return EventStream(events(answer, include_usage=usage), patience, ended=closed)

    async def models(request: Request) -> Response:
        names = await _names(service, require(request, "slate"))
        return json_answer(ModelList(data=tuple(ModelCard(id=name, created=created) for name in names)))

    async def model(request: Request) -> Response:
        viewer, name = require(request, "slate"), request.path_params["model"]
        if name in (BASE, *ALIASES):
            require(request, "admin")
        if name not in await _names(service, viewer):
            raise ModelNotFound(name)
        return json_answer(ModelCard(id=name, created=created))

    return [
        Route("/v1/chat/completions", _guarded(complete), methods=["POST"], name="chat_completions"),
        Route("/v1/models", _guarded(models), methods=["GET"], name="list_models"),
        Route("/v1/models/{model}", _guarded(model), methods=["GET"], name="get_model"),
    ]


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What the work gives; it is cancelled, and ``ClientDisconnect`` raised, when the client goes away."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(gone_from(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _answer(request: Request, call: Call) -> ChatCompletion:
    if call.body.model == PICKTUNE:
        return await slate_completion(call, _conversation(request))
    await _check_arm(request, call)
    return await arm_completion(call)


async def _check_arm(request: Request, call: Call) -> None:
    """Raise ``Forbidden`` or ``ModelNotFound`` unless the key may ask for the named arm, and it is there."""
    name = call.body.model
    if name in (BASE, *ALIASES):
        # The agents at the workbench may read: to know who speaks takes more than that.
        require(request, "admin")
    elif not call.viewer.may("admin") or name not in await call.service.engine.loaded():
        raise ModelNotFound(name)


def _conversation(request: Request) -> str | None:
    given = request.headers.get(CONVERSATION_HEADER)
    if given is None:
        return None
    if not 1 <= len(given) <= 200:
        raise InvalidInput(f"the header {CONVERSATION_HEADER} has 1 to 200 characters")
    return given


async def _names(service: Service, viewer: Viewer) -> list[str]:
    if not viewer.may("admin"):
        return [PICKTUNE]
    return [PICKTUNE, *(await arm_names(service))]


def _guarded(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The handler, whose errors have OpenAI's shape."""

    async def respond(request: Request) -> Response:
        try:
            return await handler(request)
        except PicktuneError as error:
            return gateway_error(error)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)
        except Exception:
            logger.exception("the gateway failed at %s", request.url.path)
            return internal_error()

    return respond
