"""An upstream that answers at once: what a server of chat completions says, with no model behind it.

``python bench/gateway_upstream.py`` prints the port that it listens at. Streams send a token every ``PACE``
seconds, as a model would, so that whoever holds back a stream until its end is seen to.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from typing import Any

import msgspec

MODEL = "bench"
PACE = 0.005
TEXT = "your order left our warehouse this morning and will be with you by the end of the day"
WORDS = TEXT.split()

_encode = msgspec.json.encode
_numbers = itertools.count()


class Upstream(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, as much of it as proxies send."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._buffer = b""
        self._streams: set[asyncio.Task[None]] = set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            self._answer(head.split(b" ", 2)[1], body)

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams:
            stream.cancel()

    def _answer(self, path: bytes, body: bytes) -> None:
        if not path.endswith(b"/chat/completions"):
            listed = {"object": "list", "data": [{"id": MODEL, "object": "model", "root": MODEL}]}
            self._send(_encode(listed))
            return
        asked = msgspec.json.decode(body)
        if asked.get("stream"):
            task = asyncio.ensure_future(self._stream(asked))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        else:
            self._send(_encode(completion(asked)))

    def _send(self, content: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(content) + content)

    async def _stream(self, asked: dict[str, Any]) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(asyncio.CancelledError):
            for event in events(asked):
                content = b"".join(b"data: %b\n\n" % one for one in event)
                self._transport.write(b"%x\r\n%b\r\n" % (len(content), content))
                await asyncio.sleep(PACE)
            self._transport.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def completion(asked: dict[str, Any]) -> dict[str, Any]:
    """The whole answer; no two texts are the same, for a slate draws what is repeated once more."""
    count = asked.get("n") or 1
    choices = [
        {
            "index": place,
            "message": {"role": "assistant", "content": f"No. {next(_numbers)}: {TEXT}"},
            "finish_reason": "stop",
            "logprobs": None,
        }
        for place in range(count)
    ]
    return {**_about("chat.completion"), "choices": choices, "usage": _usage(count)}


def events(asked: dict[str, Any]) -> list[list[bytes]]:
    """The answer in the chunks that are sent together."""
    about, count = _about("chat.completion.chunk"), asked.get("n") or 1

    def chunk(place: int, delta: dict[str, Any], ended: str | None = None) -> bytes:
        choice = {"index": place, "delta": delta, "logprobs": None, "finish_reason": ended}
        return _encode({**about, "choices": [choice]})

    rounds = [[chunk(place, {"role": "assistant", "content": ""}) for place in range(count)]]
    rounds[0] += [chunk(place, {"content": f"No. {next(_numbers)}:"}) for place in range(count)]
    rounds += [[chunk(place, {"content": f" {word}"}) for place in range(count)] for word in WORDS]
    rounds.append([chunk(place, {}, "stop") for place in range(count)])
    if (asked.get("stream_options") or {}).get("include_usage"):
        rounds.append([_encode({**about, "choices": [], "usage": _usage(count)})])
    return rounds


def _about(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{next(_numbers)}", "object": kind, "created": 1, "model": MODEL}


def _usage(count: int) -> dict[str, int]:
    tokens = count * (len(WORDS) + 2)
    return {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": tokens + 12}


async def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as bound:
        print(bound.getsockname()[1], flush=True)
        server = await asyncio.get_running_loop().create_server(Upstream, sock=bound)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
