"""Words by which a model says which one it is: who reads them is not blind any more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import PurePath

from msgspec import structs
from picktune_adapters import Aliases

from picktune.engines.base import Generation, Speaker
from picktune.records import Message, Sampling, Slate

NAMED = "picktune:named-itself"
"""The tag of a turn of whose replies one says which model it is."""

# Families and their makers. A customer may well ask about one of them, so only who says "I am" is meant.
FAMILIES = (
    *("ChatGPT", "GPT", "OpenAI", "Claude", "Anthropic", "Gemini", "Gemma", "Google", "DeepMind", "LLaMA"),
    *("Meta AI", "Mistral", "Mixtral", "Qwen", "Tongyi", "Alibaba", "DeepSeek", "GLM", "ChatGLM", "Zhipu"),
    *("Kimi", "Moonshot", "ERNIE", "Baidu", "Doubao", "ByteDance", "Hunyuan", "Tencent", "MiniMax"),
    *("Baichuan", "InternLM", "Phi", "Microsoft", "Copilot", "Grok", "xAI", "Cohere", "Command R", "Falcon"),
    *("SmolLM", "Hugging Face", "Yi", "01.AI", "Nemotron", "NVIDIA", "Granite", "Vicuna", "Alpaca", "LoRA"),
    *(
        "通义",
        "千问",
        "阿里",
        "深度求索",
        "智谱",
        "月之暗面",
        "文心",
        "百度",
        "豆包",
        "字节跳动",
        "混元",
        "腾讯",
    ),
    *("百川", "书生", "讯飞", "星火", "零一万物", "谷歌", "微软", "面壁"),
)
_SELF = (
    # I am Qwen; my name is Qwen; I'm a model called Qwen; as a Qwen model, I …
    r"(?:\bI\s*(?:am|['’]m)|\bmy\s+name\s+is|\bthis\s+is|\bas\s+an?|\bcall(?:ed)?\s+me|\bI\s+go\s+by)"
    r"(?:\s+(?:an?|the|your|just|called|named|known|as|AI|large|language|model|assistant|chatbot|based|on)\b,?){0,8}"
    r"\s+%s",
    # trained by Alibaba; a model made by OpenAI
    r"\b(?:I|me|model|assistant|chatbot|AI)\b[^.!?\n]{0,60}"
    r"\b(?:trained|developed|created|made|built|designed|powered|provided)\s+(?:by|at)(?:\s+the)?\s+%s",
    # 我是通义千问；我叫豆包；由阿里云开发
    r"(?:我是|我叫|我的名字是|我的名字叫|作为)[^。！？\n]{0,16}?%s",
    r"(?:我|模型|助手)[^。！？\n]{0,16}?由\s*%s[^。！？\n]{0,12}?(?:开发|训练|研发|创造|打造|推出)",
)
_REDRAWN = 0x5DEECE66D


class Naming:
    """Finds the words; ``own`` are names that this installation serves, each of which tells by itself.

    A name of fewer than four letters, or a plain word, is looked for only where a model speaks of itself.
    """

    def __init__(self, own: Iterable[str] = ()) -> None:
        names = {PurePath(name).name or name for name in own} | set(own)
        tells = sorted(name for name in names if len(name) >= 4 and not name.isalpha())
        families = _any({*FAMILIES, *(name for name in names if name not in tells)})
        alone = [rf"(?<!\w){_any(tells)}(?!\w)"] if tells else []
        latin = rf"(?:{families})"
        self._patterns = re.compile("|".join([*alone, *(one % latin for one in _SELF)]), re.IGNORECASE)

    def found(self, text: str) -> str | None:
        """The words by which the text says who wrote it, or ``None``."""
        match = self._patterns.search(text)
        return match.group() if match else None

    def tagged(self, slate: Slate) -> Slate:
        """The slate, its turn tagged if one of the replies names itself."""
        if all(self.found(one.text) is None for one in slate.candidates):
            return slate
        return structs.replace(slate, turn=structs.replace(slate.turn, tags=(*slate.turn.tags, NAMED)))


class Unnamed:
    """A ``Speaker`` whose replies do not say who they are: such a one is drawn again once, then left out."""

    def __init__(self, speaker: Speaker, naming: Naming) -> None:
        self._speaker = speaker
        self._naming = naming

    async def generate(
        self, messages: Sequence[Message], *, model: str | None, n: int, sampling: Sampling, seed: int
    ) -> list[Generation]:
        """See ``Speaker.generate``; fewer than ``n`` if some could not help naming themselves."""
        said = await self._speaker.generate(messages, model=model, n=n, sampling=sampling, seed=seed)
        good = [one for one in said if self._naming.found(one.text) is None]
        lacking = len(said) - len(good)
        if not lacking or sampling.temperature == 0.0:  # greedy, it would only say the same again
            return good
        again = await self._speaker.generate(
            messages, model=model, n=lacking, sampling=sampling, seed=(seed ^ _REDRAWN) % 2**31
        )
        return good + [one for one in again if self._naming.found(one.text) is None]


@lru_cache(maxsize=16)
def naming_for(base_model: str, adapters: tuple[str, ...], more: tuple[str, ...]) -> Naming:
    """For what is served now, and the names that the settings add."""
    return Naming((base_model, *adapters, *more))


def speaking(aliases: Aliases) -> tuple[str, ...]:
    """The names of the adapters that may speak."""
    return tuple(sorted({name for name in (aliases.champion, aliases.challenger) if name}))


def _any(names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: (-len(name), name))
    # "Qwen2.5-7B" begins with Qwen; "Phillip" does not begin with Phi, nor "Yin" with Yi.
    parts = [
        rf"(?<![a-z0-9]){re.escape(name)}(?![a-z])" if name.isascii() else re.escape(name) for name in ordered
    ]
    return f"(?:{'|'.join(parts)})"
