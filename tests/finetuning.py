"""A platform of ours, and strict: OpenAI's files, fine-tuning jobs and chat completions on a real socket.

It refuses what OpenAI's reference and guides do not allow: fields that it does not know, rows of another
form, too few of them, metadata that is too long. A job goes one status further each time it is looked at.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Annotated, Any, Literal, Self

import msgspec
import uvicorn
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODEL = "gpt-4.1-mini-2025-04-14"
STEPS = ("validating_files", "queued", "running", "succeeded")
LEAST = 10


class Strict(Struct, forbid_unknown_fields=True):
    """Whatever is sent."""


class Said(Strict, tag_field="role", tag="assistant"):
    content: Annotated[str, Meta(min_length=1)]
    weight: Literal[0, 1] | UnsetType = UNSET


class Asked(Strict, tag_field="role", tag="user"):
    content: str


class Told(Strict, tag_field="role", tag="system"):
    content: str


class Input(Strict):
    messages: Annotated[list[Said | Asked | Told], Meta(min_length=1)]
    tools: list[dict[str, Any]] | UnsetType = UNSET
    parallel_tool_calls: bool | UnsetType = UNSET


Output = Annotated[list[Said], Meta(min_length=1, max_length=1)]


class PreferenceRow(Strict):
    input: Input
    preferred_output: Output
    non_preferred_output: Output


class SupervisedRow(Input):
    pass


class Hyper(Strict):
    n_epochs: Literal["auto"] | Annotated[int, Meta(ge=1, le=50)] | UnsetType = UNSET
    batch_size: Literal["auto"] | int | UnsetType = UNSET
    learning_rate_multiplier: Literal["auto"] | float | UnsetType = UNSET


class HyperDPO(Hyper):
    beta: Literal["auto"] | Annotated[float, Meta(gt=0, le=2)] | UnsetType = UNSET


class OfDPO(Strict):
    hyperparameters: HyperDPO | UnsetType = UNSET


class OfSupervised(Strict):
    hyperparameters: Hyper | UnsetType = UNSET


class Method(Strict):
    type: Literal["dpo", "supervised"]
    dpo: OfDPO | UnsetType = UNSET
    supervised: OfSupervised | UnsetType = UNSET


class Create(Strict):
    model: str
    training_file: str
    validation_file: str | None = None
    method: Method = msgspec.field(default_factory=lambda: Method(type="supervised"))
    suffix: Annotated[str, Meta(max_length=64)] | None = None
    seed: int | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]],
            Meta(max_length=16),
        ]
        | None
    ) = None


class Chat(Strict):
    model: str
    messages: Annotated[list[Said | Asked | Told], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=1, le=128)] = 1
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(ge=0, le=1)] = 1.0
    max_tokens: int | None = None
    seed: int | None = None
    stop: list[str] | str | None = None
    stream: bool = False


class Refused(Exception):
    """Answered in OpenAI's form."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        kind = "requests" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
        self.answer = JSONResponse(
            {"error": {"message": message, "type": kind, "param": param, "code": code}}, status
        )


class FineTuning:
    """The platform and what it was asked. ``faults`` are statuses that the next calls of a path get.

    ``steps`` are the statuses of new jobs, ``created`` is called between creating a job and answering.
    """

    def __init__(self, key: str = "sk-good") -> None:
        self.key = key
        self.asked: list[str] = []
        self.files: dict[str, tuple[str, bytes]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.wanted: dict[str, Create] = {}
        self.chats: list[Chat] = []
        self.faults: dict[str, list[int]] = {}
        self.steps: tuple[str, ...] = STEPS
        self.most = 128
        self.created: Callable[[], object] = lambda: None
        self._left: dict[str, list[str]] = {}
        self._number = itertools.count(1)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        routes = [
            ("/v1/files", "POST", self._upload),
            ("/v1/fine_tuning/jobs", "POST", self._create),
            ("/v1/fine_tuning/jobs", "GET", self._list),
            ("/v1/fine_tuning/jobs/{id}", "GET", self._job),
            ("/v1/fine_tuning/jobs/{id}/events", "GET", self._events),
            ("/v1/fine_tuning/jobs/{id}/cancel", "POST", self._cancel),
            ("/v1/chat/completions", "POST", self._chat),
        ]
        app = Starlette(routes=[Route(at, self._guarded(do), methods=[how]) for at, how, do in routes])
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        self._socket.close()

    def rows(self, job: str) -> list[Any]:
        """What a job learns from."""
        return [json.loads(line) for line in self.files[self.wanted[job].training_file][1].splitlines()]

    def count(self, what: str) -> int:
        """How often that was asked, as ``POST /files``."""
        return self.asked.count(what)

    def _guarded(
        self, do: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def call(request: Request) -> Response:
            what = f"{request.method} {request.url.path.removeprefix('/v1')}"
            self.asked.append(what)
            try:
                said = request.headers.get("authorization", "")
                if not said:
                    raise Refused(401, "You didn't provide an API key.")
                if said != f"Bearer {self.key}":
                    raise Refused(401, "Incorrect API key provided: sk-***.", "invalid_api_key")
                if waiting := self.faults.get(what):
                    status = waiting.pop(0)
                    if status >= 500 and what == "POST /fine_tuning/jobs":
                        await do(request)  # it was made, and the answer got lost
                    raise Refused(status, "told to", "rate_limit_exceeded" if status == 429 else None)
                return await do(request)
            except Refused as refused:
                return refused.answer

        return call

    async def _upload(self, request: Request) -> Response:
        async with request.form() as form:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile) or not file.filename:
                raise Refused(400, "'file' is a required property", param="file")
            if purpose != "fine-tune":
                raise Refused(400, f"{purpose!r} is not one of ['fine-tune']", param="purpose")
            name, content = file.filename, await file.read()
        for number, line in enumerate(content.splitlines(), start=1):
            try:
                msgspec.json.decode(line, type=dict[str, Any])
            except (msgspec.MsgspecError, UnicodeDecodeError):
                raise Refused(
                    400, f"Expected file to have JSONL format. Line {number} is not JSON."
                ) from None
        id = f"file-{next(self._number)}"
        self.files[id] = (name, content)
        about = {"id": id, "object": "file", "bytes": len(content), "created_at": int(time.time())}
        return JSONResponse(about | {"filename": name, "purpose": purpose, "status": "processed"})

    async def _create(self, request: Request) -> Response:
        wanted = _read(await request.body(), Create)
        if wanted.model != MODEL:
            raise Refused(
                400, f"Model {wanted.model} is not available for fine-tuning.", "model_not_available"
            )
        for name in ("training_file", "validation_file"):
            id = getattr(wanted, name)
            if id is not None and id not in self.files:
                raise Refused(400, f"invalid {name}: {id}", "invalid_file", name)
        kind = wanted.method.type
        others = {"dpo", "supervised"} - {kind}
        if any(getattr(wanted.method, other) is not UNSET for other in others):
            raise Refused(400, f"method {kind} takes no other's settings", param="method")
        id = f"ftjob-{next(self._number)}"
        self.wanted[id], self._left[id] = wanted, list(self.steps)
        self.jobs[id] = {
            "id": id,
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "error": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "hyperparameters": {"n_epochs": "auto"},
            "model": wanted.model,
            "organization_id": "org-1",
            "result_files": [],
            "seed": wanted.seed or 0,
            "status": "validating_files",
            "trained_tokens": None,
            "training_file": wanted.training_file,
            "validation_file": wanted.validation_file,
            "metadata": wanted.metadata,
            "method": msgspec.to_builtins(wanted.method),
        }
        self.created()
        return JSONResponse(self.jobs[id])

    async def _list(self, request: Request) -> Response:
        limit = int(request.query_params.get("limit", "20"))
        newest = list(self.jobs.values())[::-1]
        return JSONResponse({"object": "list", "data": newest[:limit], "has_more": len(newest) > limit})

    async def _job(self, request: Request) -> Response:
        job = self._of(request)
        left = self._left[job["id"]]
        if job["status"] not in ("succeeded", "failed", "cancelled"):
            job["status"] = left.pop(0) if len(left) > 1 else left[0]
            if (why := self._wrong(job["id"])) and job["status"] != "validating_files":
                job |= {"status": "failed", "error": {"code": "invalid_training_file", "message": why}}
            elif job["status"] == "failed":
                job["error"] = {
                    "code": "server_error",
                    "message": "The job ran out of cluster.",
                    "param": None,
                }
            elif job["status"] == "succeeded":
                name = f"ft:{job['model']}:org:{self.wanted[job['id']].suffix or ''}:{job['id'][6:]}"
                job |= {"fine_tuned_model": name, "trained_tokens": 1234, "finished_at": int(time.time())}
        return JSONResponse(job)

    async def _events(self, request: Request) -> Response:
        job = self._of(request)
        data = [
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{job['id']}-{place}",
                "created_at": int(time.time()),
                "level": "info",
                "message": text,
                "type": "message",
                "data": None,
            }
            for place, text in enumerate([f"Created fine-tuning job: {job['id']}", f"It is {job['status']}"])
        ]
        return JSONResponse({"object": "list", "data": data[::-1], "has_more": False})

    async def _cancel(self, request: Request) -> Response:
        job = self._of(request)
        job["status"] = "cancelled"
        return JSONResponse(job)

    async def _chat(self, request: Request) -> Response:
        asked = _read(await request.body(), Chat)
        known = [job["fine_tuned_model"] for job in self.jobs.values()]
        if asked.model not in known:
            raise Refused(404, f"The model `{asked.model}` does not exist.", "model_not_found")
        self.chats.append(asked)
        choices = [
            {
                "index": place,
                "message": {
                    "role": "assistant",
                    "content": f"Sorry! Which order? ({place})",
                    "refusal": None,
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
            for place in range(min(asked.n, self.most))
        ]
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": 5 * len(choices),
            "total_tokens": 9 + 5 * len(choices),
        }
        about = {"id": "chatcmpl-1", "object": "chat.completion", "created": int(time.time())}
        return JSONResponse(about | {"model": asked.model, "choices": choices, "usage": usage})

    def _of(self, request: Request) -> dict[str, Any]:
        id = request.path_params["id"]
        if id not in self.jobs:
            raise Refused(404, f"Could not find fine tune: {id}", "fine_tune_not_found", "fine_tune_id")
        return self.jobs[id]

    def _wrong(self, id: str) -> str | None:
        """What is wrong with a job's files."""
        wanted = self.wanted[id]
        for name in ("training_file", "validation_file"):
            if (file := getattr(wanted, name)) is None:
                continue
            lines = self.files[file][1].splitlines()
            if name == "training_file" and len(lines) < LEAST:
                return f"Training file has {len(lines)} example(s), but must have at least {LEAST} examples"
            for number, line in enumerate(lines, start=1):
                if why := _row_fault(line, wanted.method.type):
                    return f"Invalid file format. Line {number}: {why}"
        return None


def _row_fault(line: bytes, method: str) -> str | None:
    try:
        if method == "dpo":
            row = msgspec.json.decode(line, type=PreferenceRow)
            if isinstance(row.input.messages[-1], Said):
                return "the input ends with an assistant's message"
            same = row.preferred_output[0].content == row.non_preferred_output[0].content
            return "both outputs are the same" if same else None
        if not isinstance(msgspec.json.decode(line, type=SupervisedRow).messages[-1], Said):
            return "the last message must be from the assistant"
    except msgspec.MsgspecError as error:
        return str(error)
    return None


def _read(content: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        raise Refused(400, str(error)) from None
