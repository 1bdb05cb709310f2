"""The plan of a training: its memory, the cards it needs, and what to change if there are not as many.

States are shared out among cards as in Rajbhandari et al. 2020, *ZeRO*, section 5 (stage 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from math import ceil

from msgspec import structs
from picktune.records import Record

from picktune_retrain.memory import BYTES, GIB, Parts, Work, check, measure, trained
from picktune_retrain.shape import Shape

# The CUDA context and what an allocator cannot hand out again on a GPU: assumed. On a CPU the process itself,
# Python with PyTorch and transformers loaded: measured.
RESERVE_GPU, RESERVE_CPU = GIB, GIB // 2
MOST_CARDS = 1024


class Rule(Record, frozen=True, kw_only=True):
    """The rule of thumb: parameters × bytes × 4, for weights, gradients and the two moments of Adam."""

    bytes_a_number: float
    total: int
    cards: int | None


class Change(Record, frozen=True, kw_only=True):
    """Something to change so that it fits, as options of the command, and the peak on each card then."""

    options: str
    peak: int


class MemoryPlan(Record, frozen=True, kw_only=True):
    """What a training takes, in bytes, and whether it fits.

    ``card`` is the memory of one card, or of the machine; ``each`` the peak on each of ``cards`` cards, what
    is set aside (``reserve``) left out; ``needed`` the least number of cards, ``None`` if no number will do.
    ``checked`` says that the formula was compared with measured peaks; everything else is planned only.
    """

    shape: Shape
    work: Work
    trained: int
    row_tokens: int
    parts: Parts
    peak: int
    reserve: int
    card: int | None
    cards: int
    each: int
    fits: bool | None
    needed: int | None
    changes: tuple[Change, ...]
    kv_a_token: int
    rules: tuple[Rule, ...]
    ours: bool
    checked: bool


def plan(shape: Shape, work: Work, *, card: int | None = None, cards: int = 1) -> MemoryPlan:
    """Plan a training on ``cards`` cards of ``card`` bytes. Raises ``InvalidInput`` for what cannot be."""
    check(shape, work)
    parts = measure(shape, work)
    reserve = RESERVE_GPU if work.on_gpu else RESERVE_CPU
    room = None if card is None else card - reserve
    each = _each(shape, work, parts, cards)
    fits = None if room is None else each <= room
    kv = 2 * shape.layers * shape.kv_heads * shape.head_dim * work.size
    sizes = sorted({4.0, BYTES[work.precision], 1.0}, reverse=True)
    return MemoryPlan(
        shape=shape,
        work=work,
        trained=trained(shape, work),
        row_tokens=work.row.tokens,
        parts=parts,
        peak=parts.peak,
        reserve=reserve,
        card=card,
        cards=cards,
        each=each,
        fits=fits,
        needed=None if room is None else _needed(shape, work, parts, room),
        changes=() if fits is not False or room is None else tuple(_changes(shape, work, room, cards)),
        kv_a_token=kv,
        rules=tuple(rule(shape.parameters, size, card) for size in sizes),
        ours=work.ours and cards == 1,
        checked=work.ours and not work.on_gpu and cards == 1,
    )


def rule(parameters: int, size: float, card: int | None = None) -> Rule:
    """See ``Rule``: seven thousand million parameters in fp32 are 112 GB, which is 104 GiB."""
    total = ceil(parameters * size * 4)
    return Rule(bytes_a_number=size, total=total, cards=None if card is None else ceil(total / card))


def _each(shape: Shape, work: Work, parts: Parts, cards: int) -> int:
    """The peak on each card. The states are shared out; a layer's weights are put together to be used."""
    if cards == 1:
        return parts.peak
    layer = (shape.parameters - shape.outside) // shape.layers * work.size
    return max(ceil(parts.states / cards) + layer + parts.passing, ceil(parts.start / cards))


def _needed(shape: Shape, work: Work, parts: Parts, room: int) -> int | None:
    return next((n for n in range(1, MOST_CARDS + 1) if _each(shape, work, parts, n) <= room), None)


def _changes(shape: Shape, work: Work, room: int, cards: int) -> Iterator[Change]:
    """What would fit instead, the least intrusive first."""
    parts = measure(shape, work)
    needed = _needed(shape, work, parts, room)
    if work.on_gpu and needed is not None:
        yield Change(options=f"--cards {needed}", peak=_each(shape, work, parts, needed))
    for other in _others(work):
        for shorter in chain((other,), _shorter(other)):
            peak = _each(shape, shorter, measure(shape, shorter), cards)
            if peak <= room and shorter != work:
                yield Change(options=_options(work, shorter), peak=peak)
                break


def _others(work: Work) -> Iterator[Work]:
    yield work
    if work.precision == "fp32":
        yield structs.replace(work, precision="bf16")
    if not work.adapts:
        yield structs.replace(work, method="lora", precision="bf16")
    # On a CPU only what Picktune's own trainer does is proposed.
    for precision in ("int8", "nf4"):
        if work.on_gpu and BYTES[precision] < BYTES[work.precision]:
            yield structs.replace(work, method="qlora", precision=precision)


def _shorter(before: Work) -> Iterator[Work]:
    """The same with one set a row, then with shorter and shorter prompts and replies."""
    work = structs.replace(before, batch=1)
    if work.row.sets < before.row.sets:
        yield work
    while work.prompt >= 256:
        work = structs.replace(work, prompt=work.prompt // 2, reply=max(1, work.reply // 2))
        yield work


def _options(before: Work, after: Work) -> str:
    words = [
        f"--{name} {getattr(after, name)}"
        for name in ("method", "precision", "batch")
        if getattr(after, name) != getattr(before, name)
    ]
    if (after.prompt, after.reply) != (before.prompt, before.reply):
        words.append(f"--tokens {after.prompt + after.replies * after.reply}")
    return " ".join(words)
