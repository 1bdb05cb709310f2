"""What a row of choice sets leaves in memory between its way forward and its way back, in bytes.

Written out from what the code keeps, not fitted to what was measured: ``decoder._Layer`` and
``attention._BlockAttention`` on a CPU, and what autograd keeps of a layer of transformers everywhere else.
The terms of the latter are those of Korthikanti et al. 2022, *Reducing Activation Recomputation in Large
Transformer Models*, section 4.1, for gated feed-forward layers, no dropout and norms computed in fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta
from picktune.records import Record

from picktune_retrain.shape import Shape

# As in attention, packing and fused, which cannot be asked without torch; a test holds that they agree.
BLOCK, ROW_TOKENS, ALONE, HEAD_ROWS = 192, 2048, 384, 128
_FLOAT = 4


class Row(Record, frozen=True, kw_only=True):
    """So many choice sets in one row, each of a prompt and ``replies`` replies, in tokens.

    It is taken for granted that no two sets begin alike, which is the most that a row can hold.
    """

    sets: Annotated[int, Meta(ge=1)] = 1
    prompt: Annotated[int, Meta(ge=1)]
    reply: Annotated[int, Meta(ge=1)]
    replies: Annotated[int, Meta(ge=1)] = 4

    @property
    def tokens(self) -> int:
        """The length of the row: nothing is predicted from a reply's last token, which stays out."""
        return self.sets * (self.prompt + self.replies * (self.reply - 1))

    @property
    def targets(self) -> int:
        """How many tokens are predicted."""
        return self.sets * self.replies * self.reply

    @property
    def blocks(self) -> Iterator[tuple[int, int]]:
        """The blocks of attention of one set: so many queries, each over so many keys."""
        yield from _blocks(self.prompt, 0)
        for _ in range(self.replies):
            yield from _blocks(self.reply - 1, self.prompt)

    @property
    def pairs(self) -> int:
        """The pairs of tokens whose attention weights are computed, and kept, on a CPU."""
        return self.sets * sum(queries * keys for queries, keys in self.blocks)


def bundle(*, prompt: int, reply: int, replies: int = 4, batch: int) -> Row:
    """The longest row of a batch of such sets: a single one, or small ones up to ``ROW_TOKENS``."""
    one = prompt + replies * reply
    sets = 1 if one >= ALONE else max(1, min(batch, ROW_TOKENS // one))
    return Row(sets=sets, prompt=prompt, reply=reply, replies=replies)


def kept(shape: Shape, row: Row, *, size: int, rank: int, layers: int, on_gpu: bool) -> int:
    """Bytes that ``layers`` decoder layers keep of a row, the attention weights left out.

    ``size`` is the bytes of a number; ``rank`` the rank of the adapter, 0 without one.
    """
    d, f = shape.hidden, shape.intermediate
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = q + 2 * kv + q  # queries, keys, values; what came of them
    mlp = 4 * f  # gate, up, silu(gate) and their product
    inner = 7 * rank
    if shape.written_out and not on_gpu:
        # The input, its norm, the sum after the attention and its norm; two scales in fp32.
        token = size * (4 * d + attention + mlp + inner) + 2 * _FLOAT
    else:
        norms = shape.norms * (_FLOAT * d + _FLOAT)
        norms += shape.head_norms * _FLOAT * (q + kv)
        token = size * (2 * d + attention + mlp + inner) + norms
    return layers * row.tokens * token


def weights_of_attention(shape: Shape, row: Row, *, size: int, layers: int, on_gpu: bool) -> int:
    """Bytes of the attention weights that are kept.

    On a CPU those of the blocks. On a GPU a row has a mask of its own, which not every kernel reads. The one
    that does keeps the mask alone, but takes no heads that share their keys. Models with such heads
    may fall back to plain arithmetic in fp32, and what that keeps is the most there can be.
    """
    if not on_gpu:
        return layers * shape.heads * row.pairs * size
    if shape.heads == shape.kv_heads:
        return layers * row.tokens**2 * size
    return layers * shape.heads * row.tokens**2 * _FLOAT


def working(shape: Shape, row: Row, *, size: int) -> int:
    """Bytes that come and go while everything else is held: in the head, or on the way back in a layer."""
    head = min(row.targets, HEAD_ROWS) * shape.vocabulary * 2 * _FLOAT
    head += 2 * row.targets * shape.hidden * size
    d, f = shape.hidden, shape.intermediate
    kv = shape.kv_heads * shape.head_dim
    keys = max(keys for _, keys in row.blocks)
    mlp = row.tokens * (size * (4 * f + 3 * d) + 2 * _FLOAT * d)
    attention = row.tokens * (4 * size * d + 2 * _FLOAT * kv) + 3 * shape.heads * BLOCK * keys * size
    return max(head, mlp, attention)


def _blocks(length: int, before: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK):
        queries = min(BLOCK, length - start)
        yield queries, before + start + queries
