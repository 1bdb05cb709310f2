"""How much memory a training takes, by method and precision, in parts.

What Picktune's own trainer does (LoRA, fp32 or bf16) is written out from its code, and on a CPU checked with
measured peaks. The rest is planned from published formulas: mixed precision after Rajbhandari et al. 2020,
*ZeRO*, section 3.1; 8-bit weights after Dettmers et al. 2022, *LLM.int8()*; NF4 with double quantisation
after Dettmers et al. 2023, *QLoRA*, section 3. Nothing here imports torch.
"""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from msgspec import Meta
from picktune.errors import InvalidInput
from picktune.records import Record

from picktune_retrain.activations import Row, bundle, kept, weights_of_attention, working
from picktune_retrain.shape import Shape

Method = Literal["full", "freeze", "lora", "qlora"]
Precision = Literal["fp32", "bf16", "int8", "nf4"]
GIB = 2**30
BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "nf4": 0.5}
# QLoRA, section 3: blocks of 64 weights, their constants in 8 bits, and theirs in blocks of 256 in 32 bits.
_NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
_PROBE_TOKENS = 160
# Measured, with glibc: what it cannot hand out again of the memory that comes and goes, as a share of it, if
# layers are written out and if autograd keeps many small parts of them; and what PyTorch and its libraries
# set aside when they are first used.
_LOST_WRITTEN_OUT, _LOST, _BUFFERS = 1 / 8, 1 / 2, 48 * 2**20


class Work(Record, frozen=True, kw_only=True):
    """What is to be trained: choice sets of a prompt and ``replies`` replies, in tokens, ``batch`` a step.

    ``rank`` is that of an adapter, ``trained_layers`` how many of the last layers ``freeze`` leaves thawed.
    With ``checkpointing`` the layers keep their inputs only.
    """

    method: Method = "lora"
    precision: Precision = "bf16"
    rank: Annotated[int, Meta(ge=1, le=256)] = 16
    trained_layers: Annotated[int, Meta(ge=1)] = 2
    prompt: Annotated[int, Meta(ge=1)] = 1024
    reply: Annotated[int, Meta(ge=1)] = 256
    replies: Annotated[int, Meta(ge=1)] = 4
    batch: Annotated[int, Meta(ge=1)] = 4
    checkpointing: bool = False
    on_gpu: bool = False

    @property
    def adapts(self) -> bool:
        return self.method in ("lora", "qlora")

    @property
    def ours(self) -> bool:
        """Whether Picktune's own trainer does this."""
        return self.method == "lora" and self.precision in ("fp32", "bf16")

    @property
    def size(self) -> int:
        """The bytes of a number that is computed with: quantised weights are multiplied in bf16."""
        return 4 if self.precision == "fp32" else 2

    @property
    def row(self) -> Row:
        return bundle(prompt=self.prompt, reply=self.reply, replies=self.replies, batch=self.batch)


class Parts(Record, frozen=True, kw_only=True):
    """Bytes by what they are for. ``start`` is a peak of its own, over before the first step is taken."""

    weights: int
    adapter: int
    gradients: int
    optimiser: int
    activations: int
    attention: int
    working: int
    allocator: int
    start: int

    @property
    def states(self) -> int:
        """What several cards can share out among them."""
        return self.weights + self.adapter + self.gradients + self.optimiser

    @property
    def passing(self) -> int:
        """What every card has for itself."""
        return self.activations + self.attention + self.working + self.allocator

    @property
    def steps(self) -> int:
        """The peak of an optimiser step."""
        return self.states + self.passing

    @property
    def peak(self) -> int:
        """The most that is held at any moment, the process itself left out."""
        return max(self.steps, self.start)


def trained(shape: Shape, work: Work) -> int:
    """How many parameters have a gradient."""
    if work.adapts:
        return work.rank * shape.linear_sides
    if work.method == "full":
        return shape.parameters
    return (shape.parameters - shape.outside) * work.trained_layers // shape.layers


def measure(shape: Shape, work: Work) -> Parts:
    """The parts of the peak on one card."""
    learned, row, size = trained(shape, work), work.row, work.size
    adapter = 0
    if work.adapts:
        # In fp32, and once more in the type that is computed with, as long as the activations are held.
        adapter = learned * (4 + size)
        gradients, optimiser = 4 * learned, 8 * learned
    elif work.precision == "fp32":
        gradients, optimiser = 4 * learned, 8 * learned
    else:
        gradients, optimiser = 2 * learned, 12 * learned  # with the fp32 copy of ZeRO, section 3.1
    layers = work.trained_layers if work.method == "freeze" else shape.layers
    rank = work.rank * work.adapts
    whole = 1 if work.checkpointing else layers  # those that are held as a whole at any moment
    activations = kept(shape, row, size=size, rank=rank, layers=whole, on_gpu=work.on_gpu)
    if work.checkpointing:
        activations += layers * row.tokens * shape.hidden * size
    attention = weights_of_attention(shape, row, size=size, layers=whole, on_gpu=work.on_gpu)
    lost = _LOST_WRITTEN_OUT if shape.written_out else _LOST
    return Parts(
        weights=_weights(shape, work, learned),
        adapter=adapter,
        gradients=gradients,
        optimiser=optimiser,
        activations=activations,
        attention=attention,
        working=working(shape, row, size=size) + _dequantised(shape, work),
        # On a GPU it is part of what is set aside.
        allocator=0 if work.on_gpu else ceil(lost * (activations + attention)) + _BUFFERS,
        start=_start(shape, work, learned) if work.ours else 0,
    )


def _start(shape: Shape, work: Work, learned: int) -> int:
    """Loading the base, and the self-check for which it is in fp32 for a while.

    On a CPU the file is mapped into memory until the last weight of it has been copied to another type.
    """
    mapped = 0 if work.on_gpu or shape.stored == work.size == 4 else 2
    return (4 + mapped) * shape.parameters + 4 * learned + _PROBE_TOKENS * shape.vocabulary * 4


def _weights(shape: Shape, work: Work, learned: int) -> int:
    if work.precision in ("fp32", "bf16"):
        return shape.parameters * work.size
    # What is trained itself stays in bf16, and so do embeddings, head, norms and biases.
    frozen = 1.0 if work.adapts else 1.0 - learned / (shape.parameters - shape.outside)
    linear, rows = frozen * shape.linear, frozen * shape.rows
    quantised = linear + 4 * rows if work.precision == "int8" else _NF4 * linear
    return ceil(quantised + 2 * (shape.parameters - linear))


def _dequantised(shape: Shape, work: Work) -> int:
    if work.precision in ("fp32", "bf16"):
        return 0
    return 2 * shape.hidden * max(2 * shape.intermediate, shape.heads * shape.head_dim)


def check(shape: Shape, work: Work) -> None:
    """Raises ``InvalidInput`` for what cannot be."""
    quantised = work.precision in ("int8", "nf4")
    if work.method == "full" and quantised:
        raise InvalidInput(
            f"weights in {work.precision} have no gradient, so that full training of them cannot be planned; "
            "use --precision bf16, or --method qlora",
            field="precision",
        )
    if work.method == "qlora" and not quantised:
        raise InvalidInput(
            f"qlora is an adapter on a quantised base, and {work.precision} is none; use --precision nf4 or "
            "int8, or --method lora",
            field="precision",
        )
    if work.method == "freeze" and work.trained_layers > shape.layers:
        raise InvalidInput(
            f"{work.trained_layers} layers are to be trained, and the model has {shape.layers}; lower "
            "--trained-layers",
            field="trained_layers",
        )
