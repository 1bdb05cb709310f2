"""The shape of a network, counted from its ``config.json`` alone: no weights, and mostly without torch.

Common families are counted by arithmetic; any other that transformers knows, by ``metashape``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, structs
from picktune.engines import smollm2
from picktune.errors import EngineDown, InvalidInput
from picktune.records import Record

MOST_LAYERS = 2000
_MOST_BYTES = 2**20
Size = Annotated[int, Meta(ge=1, le=10_000_000)]
Layers = Annotated[int, Meta(ge=1, le=MOST_LAYERS)]


class Shape(Record, frozen=True, kw_only=True):
    """How large a decoder is; ``parameters`` counts a weight that two places share once.

    ``outside`` are the parameters of embeddings, head and last norm. ``linear`` are the weights of the linear
    layers within the decoder layers, and ``linear_sides`` the sums of their inputs and outputs: an adapter
    of rank r has r · ``linear_sides`` parameters. ``rows`` are those outputs alone. ``intermediate`` is what
    one token sees of the feed-forward layers; in a mixture of experts, of those that it is sent to.
    ``stored`` is how many bytes a number has on disk.
    """

    family: str
    parameters: int
    outside: int
    linear: int
    linear_sides: int
    rows: int
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    stored: int = 2
    norms: int = 2
    head_norms: bool = False
    written_out: bool = False


class _Family(Record, frozen=True, kw_only=True):
    """What the files of a family do not say. ``bias`` is that of the attention, where the file is silent."""

    fused_attention: bool = False
    fused_mlp: bool = False
    bias: bool = False
    bias_said: bool = True
    out_bias: bool = True
    mlp_bias_said: bool = False
    norms: int = 2
    head_norms: bool = False
    head_dim: int | None = None
    kv_heads_said: bool = True
    tied: bool = False


_FAMILIES = {
    "llama": _Family(mlp_bias_said=True, kv_heads_said=False),
    "mistral": _Family(bias_said=False),
    "qwen2": _Family(bias=True, bias_said=False, out_bias=False),
    "qwen3": _Family(head_norms=True, head_dim=128),
    "phi3": _Family(fused_attention=True, fused_mlp=True, bias_said=False, kv_heads_said=False),
    "gemma": _Family(head_dim=256, tied=True),
    "gemma2": _Family(head_dim=256, tied=True, norms=4),
    "gemma3_text": _Family(head_dim=256, tied=True, norms=4, head_norms=True),
    "glm": _Family(fused_mlp=True, bias=True, out_bias=False, head_dim=128),
    "glm4": _Family(fused_mlp=True, bias=True, out_bias=False, head_dim=128, norms=4),
    "smollm3": _Family(mlp_bias_said=True, tied=True),
}
# Their layers are written out in picktune_retrain.decoder, where torch would have to be imported to ask.
_WRITTEN_OUT = ("llama", "mistral", "qwen2")


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a configuration that is counted from; what a file leaves out may be a default."""

    model_type: str
    hidden_size: Size | None = None
    intermediate_size: Size | None = None
    num_hidden_layers: Layers | None = None
    num_attention_heads: Size | None = None
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    vocab_size: Size | None = None
    tie_word_embeddings: bool | None = None
    attention_bias: bool | None = None
    mlp_bias: bool = False
    hidden_act: str = "silu"
    attention_dropout: float | None = 0.0
    dtype: str | None = None
    torch_dtype: str | None = None
    # ChatGLM 2 and 3, whose code does not come with transformers, name things in their own way.
    num_layers: Layers | None = None
    ffn_hidden_size: Size | None = None
    padded_vocab_size: Size | None = None
    kv_channels: Size | None = None
    multi_query_attention: bool = False
    multi_query_group_num: Size | None = None
    add_qkv_bias: bool = False
    add_bias_linear: bool = False


def shape(model: str | Path | None) -> Shape:
    """The shape of a model: a folder, a ``config.json``, or an id in Hugging Face's cache.

    ``None`` is the sample model. Raises ``EngineDown`` if there is no such model on this machine,
    ``InvalidInput`` if its configuration cannot be counted from, and ``MissingExtra`` if counting it needs
    transformers and that is not installed.
    """
    path = _file(model)
    try:
        with path.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise EngineDown(
            f"{path} cannot be read ({error.strerror}); name a folder with a config.json"
        ) from error
    if len(raw) > _MOST_BYTES:
        raise InvalidInput(f"{path} is larger than {_MOST_BYTES} bytes: no model's configuration is")
    try:
        config = msgspec.json.decode(raw, type=_Config)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{path} is no configuration of a language model: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not in UTF-8; save it as JSON in UTF-8") from error
    return of_config(config, path)


def of_config(config: _Config, path: Path) -> Shape:
    """See ``shape``; by arithmetic where the family is known and the file says enough."""
    if config.model_type == "chatglm":
        config = _chatglm(config)
    family = _FAMILIES.get(config.model_type)
    if config.model_type == "chatglm":
        family = _Family(
            fused_attention=True, fused_mlp=True, mlp_bias_said=True, out_bias=config.add_bias_linear
        )
    if family is None or not _says_enough(config, family):
        from picktune_retrain.metashape import built

        return built(path)
    found = _arithmetic(config, family)
    if not found.head_dim or found.heads % found.kv_heads:
        raise InvalidInput(
            f"{path}: {found.heads} heads of {found.head_dim} numbers and {found.kv_heads} of keys "
            "make no attention; check num_attention_heads, num_key_value_heads and hidden_size"
        )
    return found


def _says_enough(config: _Config, family: _Family) -> bool:
    wanted = [config.hidden_size, config.intermediate_size, config.num_hidden_layers, config.vocab_size]
    wanted.append(config.num_attention_heads)
    if family.kv_heads_said:
        wanted.append(config.num_key_value_heads)
    return all(wanted)


def _arithmetic(config: _Config, family: _Family) -> Shape:
    hidden, f = config.hidden_size or 0, config.intermediate_size or 0
    layers, heads = config.num_hidden_layers or 0, config.num_attention_heads or 0
    vocabulary = config.vocab_size or 0
    kv_heads = config.num_key_value_heads or heads
    head_dim = config.head_dim or family.head_dim or hidden // heads
    q, kv = heads * head_dim, kv_heads * head_dim
    said = config.attention_bias if family.bias_said and config.attention_bias is not None else family.bias
    biased_out = said and family.out_bias
    linears = [(hidden, q + 2 * kv, said)] if family.fused_attention else []
    linears += [] if family.fused_attention else [(hidden, q, said), (hidden, kv, said), (hidden, kv, said)]
    linears += [(q, hidden, biased_out)]
    mlp = config.mlp_bias and family.mlp_bias_said
    linears += [(hidden, 2 * f, mlp)] if family.fused_mlp else [(hidden, f, mlp), (hidden, f, mlp)]
    linears += [(f, hidden, mlp)]
    weights = sum(i * o for i, o, _ in linears)
    biases = sum(o for _, o, biased in linears if biased)
    norms = family.norms * hidden + 2 * head_dim * family.head_norms
    tied = family.tied if config.tie_word_embeddings is None else config.tie_word_embeddings
    outside = vocabulary * hidden * (1 if tied else 2) + hidden
    return Shape(
        family=config.model_type,
        parameters=layers * (weights + biases + norms) + outside,
        outside=outside,
        linear=layers * weights,
        linear_sides=layers * sum(i + o for i, o, _ in linears),
        rows=layers * sum(o for _, o, _ in linears),
        layers=layers,
        hidden=hidden,
        intermediate=f,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=vocabulary,
        stored=stored(config.dtype or config.torch_dtype),
        norms=family.norms,
        head_norms=family.head_norms,
        written_out=(
            config.model_type in _WRITTEN_OUT and config.hidden_act == "silu" and not config.attention_dropout
        ),
    )


def stored(dtype: object) -> int:
    """The bytes of a number that a configuration calls float32 or something else; mostly that is bfloat16."""
    return 4 if str(dtype).endswith("float32") else 2


def _chatglm(config: _Config) -> _Config:
    return structs.replace(
        config,
        intermediate_size=config.ffn_hidden_size,
        num_hidden_layers=config.num_layers,
        num_key_value_heads=(
            config.multi_query_group_num if config.multi_query_attention else config.num_attention_heads
        ),
        head_dim=config.kv_channels,
        vocab_size=config.padded_vocab_size,
        attention_bias=config.add_qkv_bias or config.add_bias_linear,
        mlp_bias=config.add_bias_linear,
        hidden_act="swiglu",
    )


def _file(model: str | Path | None) -> Path:
    name = str(smollm2.model_folder() if model is None else model)
    path = Path(name).expanduser()
    if path.is_dir():
        return path / "config.json"
    if path.is_file() or path.suffix == ".json":
        return path
    try:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(name, "config.json")
    except (ImportError, ValueError):
        found = None
    if not isinstance(found, str):
        raise EngineDown(
            f"{name!r} is neither a folder, nor a config.json, nor a model in Hugging Face's cache; "
            "fetch its config.json, a few kilobytes, and name the file with --model"
        )
    return Path(found)
