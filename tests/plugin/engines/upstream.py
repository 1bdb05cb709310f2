"""A process that speaks as much of vLLM's HTTP as we use, does what it is told, and says what it was asked.

    python upstream.py PORT

``POST /test`` sets what it does: ``status`` and ``seconds`` of replies, ``retry_after``. ``GET /test`` counts
the requests that run, that were answered and that their clients gave up, and lists the bodies.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

does: dict[str, Any] = {"status": 200, "seconds": 0.0, "retry_after": None, "model": "/srv/model"}
does |= {
    "key": None,
    "loading": True,
    "max_rank": 16,
    "sees": True,
    "lora": True,
    "version": "0.32.0",
    "slots": 8,
    "masked": False,
}
seen: dict[str, Any] = {"running": 0, "answered": 0, "gone": 0, "bodies": [], "most": 0}
adapters: dict[str, str] = {}


async def test(request: Request) -> Response:
    if request.method == "POST":
        does.update(await request.json())
    return JSONResponse(seen | {"adapters": adapters})


async def models(request: Request) -> Response:
    if does["key"] and request.headers.get("authorization") != f"Bearer {does['key']}":
        return JSONResponse({"error": "Unauthorized"}, 401)
    base = {"id": "served", "root": does["model"], "parent": None, "max_model_len": 2048}
    loaded = [{"id": name, "root": path, "parent": "served"} for name, path in adapters.items()]
    return JSONResponse({"object": "list", "data": [base, *loaded]})


async def complete(request: Request) -> Response:
    body = await request.json()
    seen["bodies"].append(body)
    if body["model"] not in ("served", *adapters):
        return JSONResponse({"error": {"message": f"The model `{body['model']}` does not exist."}}, 404)
    seen["running"] += 1
    gone = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({gone}, timeout=does["seconds"])
        if gone.done():
            seen["gone"] += 1
            return Response(status_code=499)
    finally:
        gone.cancel()
        seen["running"] -= 1
    if does["status"] != 200:
        headers = {} if does["retry_after"] is None else {"Retry-After": str(does["retry_after"])}
        return JSONResponse({"error": {"message": "told to"}}, does["status"], headers)
    seen["answered"] += 1
    choices = [
        {"index": i, "message": {"content": f"{body['model']} {i}"}, "finish_reason": "stop"}
        for i in range(body.get("n", 1))
    ]
    return JSONResponse({"choices": choices, "usage": {"completion_tokens": 4, "prompt_tokens": 3}})


async def score(request: Request) -> Response:
    """log p of a token is minus a hundredth of its id, half of that under an adapter."""
    body = await request.json()
    seen["running"] += 1
    seen["most"] = max(seen["most"], seen["running"])
    await asyncio.sleep(0.01)
    seen["running"] -= 1
    (token,) = body["allowed_token_ids"]
    found = 0.0 if does["masked"] else -token / (100 if body["model"] == "served" else 200)
    logprobs = {"tokens": ["x"], "token_logprobs": [found], "top_logprobs": [{}], "text_offset": [0]}
    return JSONResponse({"choices": [{"index": 0, "text": "x", "logprobs": logprobs}]})


async def tokenize(request: Request) -> Response:
    return JSONResponse({"tokens": list((await request.json())["prompt"].encode())})


async def disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def read(folder: str) -> Any:
    path = Path(folder, "adapter_config.json")
    return json.loads(path.read_text("utf-8")) if path.exists() else None


async def load(request: Request) -> Response:
    body = await request.json()
    config = read(body["lora_path"])
    refusal = None
    if not does["loading"]:
        return JSONResponse({"detail": "Not Found"}, 404)
    if not does["sees"] or config is None:
        return JSONResponse({"error": {"message": "Loading lora failed: No adapter found for <path>"}}, 404)
    if not does["lora"]:
        refusal = "LoRA is not enabled. Use --enable-lora to enable LoRA."
    elif (rank := config["r"]) > does["max_rank"]:
        refusal = f"LoRA rank {rank} is greater than max_lora_rank {does['max_rank']}."
    if refusal is not None:
        return JSONResponse({"error": {"message": f"Call to add_lora method failed: {refusal}"}}, 500)
    if body["lora_name"] in adapters:
        return JSONResponse({"error": {"message": "has already been loaded"}}, 400)
    adapters[body["lora_name"]] = body["lora_path"]
    return Response("Success")


async def unload(request: Request) -> Response:
    known = adapters.pop((await request.json())["lora_name"], None)
    return Response("Success") if known else JSONResponse({"error": {"message": "not found"}}, 404)


async def health(request: Request) -> Response:
    return Response()


async def version(request: Request) -> Response:
    return JSONResponse({"version": does["version"]})


async def metrics(request: Request) -> Response:
    return Response(f'vllm:lora_requests_info{{max_lora="{does["slots"]}",running_lora_adapters=""}} 1.0\n')


app = Starlette(
    routes=[
        Route("/test", test, methods=["GET", "POST"]),
        Route("/health", health),
        Route("/version", version),
        Route("/metrics", metrics),
        Route("/v1/models", models),
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/completions", score, methods=["POST"]),
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/v1/load_lora_adapter", load, methods=["POST"]),
        Route("/v1/unload_lora_adapter", unload, methods=["POST"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None)
