"""Nobody can tell from what reaches a client which arm said a reply, but by its words.

400 slates of two base and two tuned replies are drawn over a real socket. All that comes back is recorded
(status, headers, bodies, ids, the places where the network cut a stream, and when each piece came), the words
are left out, and a random forest learns on half of the slates who said what. On the other half it must do no
better than chance: a permutation test of its scores within each slate, at 5 %. One leak that does exist fails
that test and the next; chance alone fails one in twenty, and so has to do it twice, on slates of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from picktune.records import Conversation, Message, new_id, utc_now
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer

SLATES = 400
PERMUTATIONS = 9_999
ASK = {"role": "user", "content": "Where is my order?"}

# What is known of each reply of a slate, in the order shown, and whether the tuned arm said it.
Known = list[tuple[dict[str, Any], bool]]
WORDS = frozenset({"content", "text"})


def leaves(found: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a JSON document with its path, but the words; ids and long texts digit by digit."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield f"{path}.{key}", "there"
            if key not in WORDS:
                yield from leaves(value, f"{path}.{key}")
    elif isinstance(found, list):
        yield f"{path}.length", float(len(found))
        for place, value in enumerate(found):
            yield from leaves(value, f"{path}[{place}]")
    elif isinstance(found, str) and len(found) >= 16:
        yield from ((f"{path}:{i}", float(ord(letter))) for i, letter in enumerate(found[:64]))
    elif isinstance(found, bool) or found is None or isinstance(found, str):
        yield path, str(found)
    else:
        yield path, float(found)


def of_answer(answer: httpx.Response, seconds: float, whole: Any, replies: list[Any]) -> list[dict[str, Any]]:
    """What one answer tells of each reply: of itself, and of the slate with the reply's place in it."""
    shared = dict(leaves(whole, "slate"))
    shared |= {f"header {name}": value for name, value in answer.headers.items() if name != "date"}
    shared |= {"status": float(answer.status_code), "seconds": seconds}
    return [
        {**shared, **dict(leaves(reply, "reply")), "place": float(place)}
        for place, reply in enumerate(replies)
    ]


class Client:
    """Draws a slate in one of the ways that there are, and records what comes back."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk
        self._server = desk.client("slate", "pick")
        self._browser = desk.client("slate", "pick", "read", signed_in=True)

    def known(self, slate_id: str, ids: list[str], told: list[dict[str, Any]]) -> Known:
        tuned = self._desk.do(self._desk.tuned(slate_id))
        return [(one, id in tuned) for one, id in zip(told, ids, strict=True)]

    def api(self, number: int) -> Known:
        """``POST /v1/slates``, then the same slate read once more."""
        begun = time.perf_counter()
        answer = self._server.post("/v1/slates", json={"messages": [ASK], "viewer": f"u{number}"})
        seconds = time.perf_counter() - begun
        slate = answer.json()
        again = self._server.get(f"/v1/slates/{slate['id']}", params={"viewer": f"u{number}"})
        replies = slate.pop("candidates")
        reread = [{**one, "again": two} for one, two in zip(replies, again.json()["candidates"], strict=True)]
        return self.known(
            slate["id"], [one["id"] for one in replies], of_answer(answer, seconds, slate, reread)
        )

    def desk(self, number: int) -> Known:
        """The workbench: the page's source, and what its script asks for."""
        now = utc_now()
        conversation = Conversation(
            id=new_id(),
            title="An order",
            locale="en",
            messages=(Message(role="user", content=ASK["content"]),),
            created_at=now,
            updated_at=now,
        )
        self._desk.do(self._desk.service.add_conversations([conversation]))
        begun = time.perf_counter()
        answer = self._browser.post(f"/v1/conversations/{conversation.id}/slate", json={})
        seconds = time.perf_counter() - begun
        slate = answer.json()
        page = self._browser.get(f"/workbench/{conversation.id}")
        assert page.status_code == 200
        replies = slate.pop("candidates")
        ids = [one["id"] for one in replies]
        # The page knows nothing of the replies: its script draws them.
        slate |= {
            "page": len(page.text),
            "heads": dict(page.headers),
            "named": sum(id in page.text for id in ids),
        }
        slate["heads"].pop("date")
        return self.known(slate["id"], ids, of_answer(answer, seconds, slate, replies))

    def completion(self, number: int) -> Known:
        """The gateway's answer in one piece."""
        asked = {"model": "picktune", "messages": [ASK], "user": f"u{number}"}
        begun = time.perf_counter()
        answer = self._server.post("/v1/chat/completions", json=asked)
        seconds = time.perf_counter() - begun
        whole = answer.json()
        note, choices = whole["picktune"], whole.pop("choices")
        replies = [{**one, "id": id} for one, id in zip(choices, note["candidate_ids"], strict=True)]
        return self.known(note["slate_id"], note["candidate_ids"], of_answer(answer, seconds, whole, replies))

    def stream(self, number: int) -> Known:
        """The gateway's stream: each event, when it came, and in which piece of the network's."""
        asked = {"model": "picktune", "messages": [ASK], "user": f"u{number}", "stream": True}
        asked["stream_options"] = {"include_usage": True}
        pieces: list[tuple[float, bytes]] = []
        begun = time.perf_counter()
        with self._server.stream("POST", "/v1/chat/completions", json=asked) as answer:
            pieces.extend((time.perf_counter() - begun, piece) for piece in answer.iter_raw())
        events, rest = [], b""
        for number_of_piece, (at, piece) in enumerate(pieces):
            *whole_events, rest = (rest + piece).split(b"\n\n")
            events += [
                (at - pieces[0][0], number_of_piece, json.loads(one[6:]), len(one))
                for one in whole_events
                if one.startswith(b"data: {")
            ]
        note = events[0][2]["picktune"]
        whole = {"first": events[0][2], "last": events[-1][2], "events": len(events), "pieces": len(pieces)}
        replies = []
        for place, id in enumerate(note["candidate_ids"]):
            mine = [
                (at, cut, told, size, order)
                for order, (at, cut, told, size) in enumerate(events)
                if told["choices"] and told["choices"][0]["index"] == place
            ]
            times = np.array([one[0] for one in mine])
            gaps = np.diff(times)
            replies.append(
                {
                    "id": id,
                    "first": mine[0][2],
                    "middle": mine[len(mine) // 2][2],
                    "end": mine[-1][2],
                    "begins": times[0],
                    "ends": times[-1],
                    "mean": times.mean(),
                    "gap": gaps.mean(),
                    "longest": gaps.max(),
                    "cuts": len({one[1] for one in mine}),
                    "first cut": mine[0][1],
                    "last cut": mine[-1][1],
                    "sizes": sum(one[3] for one in mine),
                    "order": mine[0][4],
                    "last order": mine[-1][4],
                    "number": len(mine),
                }
            )
        return self.known(
            note["slate_id"], note["candidate_ids"], of_answer(answer, pieces[0][0], whole, replies)
        )


def chance(draw: Callable[[int], Known], slates: int = SLATES) -> float:
    """How likely a classifier that knows nothing would find the tuned replies as well as this one does."""
    drawn = [draw(number) for number in range(slates)]
    # A slate in which one arm lacks a reply has told nothing, but fits no table.
    drawn = [one for one in drawn if [label for _, label in one].count(True) == len(one) - 2 == 2]
    assert len(drawn) > 0.9 * slates
    half = len(drawn) // 2
    table = DictVectorizer(sparse=False).fit_transform([told for one in drawn for told, _ in one])
    labels = np.array([label for one in drawn for _, label in one])
    forest = RandomForestClassifier(300, min_samples_leaf=3, random_state=1)
    forest.fit(table[: 4 * half], labels[: 4 * half])
    scores = forest.predict_proba(table[4 * half :])[:, 1].reshape(-1, 4)
    theirs = labels[4 * half :].reshape(-1, 4)
    reached = scores[theirs].sum()
    random = np.random.default_rng(1)
    # Who says what is a fair draw of two out of four in each slate, if nothing tells.
    by_chance = [
        np.take_along_axis(scores, random.random(scores.shape).argsort(1)[:, :2], 1).sum()
        for _ in range(PERMUTATIONS)
    ]
    return float((1 + sum(other >= reached for other in by_chance)) / (1 + PERMUTATIONS))


@pytest.mark.parametrize("way", ["api", "desk", "completion", "stream"])
def test_who_spoke_does_not_show(open_desk: Any, way: str) -> None:
    draw = getattr(Client(open_desk()), way)
    assert chance(draw) > 0.05 or chance(draw) > 0.05


@pytest.mark.parametrize("leak", ["named", "slower"])
def test_a_leak_would_show(open_desk: Any, leak: str) -> None:
    assert chance(Client(open_desk(leak)).stream, 120) < 0.001
