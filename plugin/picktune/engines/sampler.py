"""Sampling of the next token: every row has its own settings and its own stream of random numbers.

A row's draw depends on its logits, its seed and how many tokens it has, and on nothing else: not on the other
rows of the batch, not on their number, not on their order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from picktune.records import Sampling

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def row_seed(seed: int, index: int) -> int:
    """The seed of reply ``index`` of a request: the same whether the request asks for 2 replies or for 4."""
    mixed: int = _mix(_mix(seed & _MASK) + (index + 1) * _GOLDEN)
    return mixed


def next_token(logits: NDArray[np.float32], sampling: Sampling, seed: int, step: int) -> int:
    """The token drawn from one row's logits, of shape (vocabulary,); the likeliest one at temperature 0.

    ``step`` counts the row's tokens so far. The draw is the Gumbel-max trick over the nucleus (Holtzman et
    al. 2020, section 3.1), with noise that is a hash of seed, step and token: small differences of arithmetic
    move a draw only where two tokens all but tie. Raises ``FloatingPointError`` if the logits are not finite.
    """
    best = int(logits.argmax())
    top = float(logits[best])
    if not np.isfinite(top):
        raise FloatingPointError("the model gives no finite logits")
    if sampling.temperature == 0.0:
        return best
    scaled = (logits - top) / np.float32(sampling.temperature)
    weights = np.exp(scaled)
    tokens = _nucleus(weights, sampling.top_p)
    noise = -np.log(-np.log(_uniform(tokens, seed, step)))
    return int(tokens[(scaled[tokens] + noise).argmax()])


def _nucleus(weights: NDArray[np.float32], top_p: float) -> NDArray[np.intp]:
    """The fewest tokens whose weight is at least ``top_p`` of the whole."""
    if top_p >= 1.0:
        return np.flatnonzero(weights)
    total = float(weights.sum(dtype=np.float64))
    # All tokens lighter than this together weigh at most 1 - top_p, so none of them is needed, and the
    # vocabulary need not be sorted.
    tokens = np.flatnonzero(weights > (1.0 - top_p) * total / len(weights))
    order = tokens[np.argsort(-weights[tokens], kind="stable")]
    mass = np.cumsum(weights[order], dtype=np.float64)
    return order[: int(np.searchsorted(mass, top_p * total)) + 1]


def _uniform(tokens: NDArray[np.intp], seed: int, step: int) -> NDArray[np.float64]:
    """One number of the open interval (0, 1) for each token id."""
    stream = np.uint64(_mix(seed + (step + 1) * _GOLDEN))
    bits = _mix((tokens.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN) ^ stream)
    uniform: NDArray[np.float64] = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return uniform


def _mix(value: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), of a number or of an array of uint64."""
    if isinstance(value, int):
        value &= _MASK
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
        return value ^ (value >> 31)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
