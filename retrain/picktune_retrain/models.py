"""A base model with at most one LoRA adapter, loaded for scoring and training."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from picktune.engines import smollm2
from picktune.engines.prompted import kind_of
from picktune.errors import AdapterCorrupt, EngineDown, InvalidInput, MissingExtra

from picktune_retrain.mixture import OWN_WEIGHTS
from picktune_retrain.quantised import quantisation
from picktune_retrain.records import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(slots=True, kw_only=True)
class Model:
    """``network`` is the transformers model, its linear layers wrapped by PEFT once there is an adapter.

    ``name`` is what adapters call their base. ``packed`` says whether a set may go through it as one row,
    ``plain`` that its layers are frozen but for their adapters, so that they may be written out by hand,
    ``written_out`` that they are; ``virtual`` are the tokens before the prompt, if it has any: see
    ``prompts``. ``kernel`` computes packed attention, ``wanted`` is the one that was asked for.
    """

    name: str
    network: Any
    tokenizer: Any
    packed: bool = True
    plain: bool = True
    written_out: bool = False
    kernel: str = "blocks"
    wanted: str = "auto"
    virtual: Any = None
    virtual_ids: tuple[int, ...] = ()

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.network.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the base's weights; the adapter's own are fp32."""
        dtype: torch.dtype = self.network.dtype
        return dtype

    def parameters(self) -> dict[str, nn.Parameter]:
        """What is trained, by name: the adapter's matrices, or weights of the model itself."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}


def load(base_model: str | Path | None, recipe: Recipe) -> Model:
    """Load a base: a folder, or an id in Hugging Face's cache; ``None`` is the sample model.

    The type is bf16 where this machine multiplies it fast, otherwise fp32, unless the recipe says which.
    Raises ``MissingExtra`` without torch and ``EngineDown`` if there is no such model on this machine.
    """
    require_torch()
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = str(smollm2.model_folder() if base_model is None else base_model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        dtype = _dtype(recipe, device)
        more = quantisation(recipe.quantised, dtype) if recipe.method == "qlora" else {}
        network: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype, **more)
    except (OSError, ValueError, SafetensorError) as error:
        raise EngineDown(
            f"the base model {name!r} cannot be loaded: {error}; name a folder with its safetensors, "
            "tokenizer and chat template, or an id that is in Hugging Face's cache"
        ) from error
    if not tokenizer.chat_template:
        raise EngineDown(f"the base model {name!r} has no chat template; choose a chat model")
    network.requires_grad_(False)
    for layer in network.modules():
        # bitsandbytes repacks 4-bit weights on some CPUs at the first pass without gradient, for good, and
        # has no gradient for what it has repacked.
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
    if recipe.method != "qlora":  # what is quantised lies where it was quantised
        network.to(device)
    return Model(name=name, network=network.eval(), tokenizer=tokenizer, wanted=recipe.attention)


def add_adapter(model: Model, recipe: Recipe) -> None:
    """Wrap every linear layer but the vocabulary head; the adapter starts as the base itself (B = 0)."""
    import torch
    from peft import LoraConfig, get_peft_model

    from picktune_retrain.fused import fuse

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=_targets(model.network, recipe.targets),
        use_rslora=recipe.rslora,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model.network = get_peft_model(model.network, config)
    fuse(model.network)


def save_adapter(model: Model, folder: Path) -> None:
    """Write the adapter as PEFT does (safetensors and its configuration), naming the base as it was given."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = model.network.peft_config["default"]
    config.base_model_name_or_path = model.name
    config.inference_mode = True
    config.save_pretrained(str(folder))
    config.inference_mode = False
    # PEFT keeps the modules as a set, whose order changes from run to run; the files should not.
    path = folder / "adapter_config.json"
    fields = json.loads(path.read_text("utf-8"))
    fields["target_modules"] = sorted(fields["target_modules"])
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", "utf-8")
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in sorted(get_peft_model_state_dict(model.network).items())
    }
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def load_adapter(model: Model, folder: Path) -> None:
    """Put a saved adapter on the base. Raises ``AdapterCorrupt`` if it does not fit."""
    from peft import PeftModel

    from picktune_retrain.fused import fuse

    if (kind := kind_of(folder)) is not None:
        from picktune_retrain.prompts import load_prompt

        load_prompt(model, folder, kind)
        return
    try:
        model.network = PeftModel.from_pretrained(model.network, str(folder), local_files_only=True).eval()
    except Exception as error:  # PEFT raises KeyError, RuntimeError, SafetensorError and more
        raise AdapterCorrupt(f"the adapter in {folder} does not load on {model.name}: {error}") from error
    fuse(model.network)


@contextlib.contextmanager
def dropout(model: Model, seed: int) -> Iterator[None]:
    """The adapter's dropout, if its recipe has any, drawn from this seed; elsewhere it is off."""
    import torch

    layers = [layer for layer in model.network.modules() if isinstance(layer, torch.nn.Dropout) and layer.p]
    adapters = getattr(model.network, "peft_config", None)
    if not adapters or not adapters["default"].lora_dropout:
        layers = []
    if not layers:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in layers:
            layer.train()
        yield
        for layer in layers:
            layer.eval()


@contextlib.contextmanager
def float32(model: Model) -> Iterator[None]:
    """All weights in fp32 for a while; those that were bf16 come back to the last bit."""
    import torch

    # What is quantised stays as it is: its numbers are codes.
    types = {p: p.dtype for p in model.network.parameters() if p.is_floating_point()}
    for p in types:
        p.data = p.data.to(torch.float32)
    try:
        yield
    finally:
        for p, dtype in types.items():
            p.data = p.data.to(dtype)


def _targets(network: Any, wanted: str) -> str | list[str]:
    """The linear layers to adapt, by their last names; raises ``InvalidInput``, naming those there are."""
    import torch

    if wanted == "all":
        return "all-linear"
    head = network.get_output_embeddings()
    paths = [name for name, m in network.named_modules() if isinstance(m, torch.nn.Linear) and m is not head]
    names = sorted({path.rpartition(".")[2] for path in paths})
    if wanted in ("attention", "mlp"):
        inside = {path.rpartition(".")[2] for path in paths if "attn" in path.lower() or "attention" in path}
        found = sorted(inside if wanted == "attention" else set(names) - inside)
    else:
        found = sorted(name.strip() for name in wanted.split(","))
    if not found or not set(found) <= set(names):
        raise InvalidInput(
            f"targets {wanted!r} are no linear layers of this model; name all, attention, mlp, or some of "
            f"{', '.join(names)}",
            field="targets",
        )
    return found


def require_torch() -> None:
    """Raises ``MissingExtra`` unless everything that training imports is there."""
    # By default the threads of a product spin while they wait for one another. Where anything else wants a
    # core, as the server beside a night does, that made a step three times as long; asleep they cost nothing.
    # Read when torch is loaded, so it must be set before; who has set it otherwise is left in peace.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # oneDNN keeps what it made for each shape of a product, 1024 of them, and rows have ever other shapes:
    # hundreds of MB, and more with more picks. Read at the first product.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    # Where bitsandbytes is installed, PEFT imports it, and on some processors it then warns of a package that
    # it would fetch kernels with at run time. Nothing here asks for it.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingExtra("training", "retrain") from error


def _dtype(recipe: Recipe, device: str) -> torch.dtype:
    import torch

    if recipe.method in OWN_WEIGHTS:
        # bf16 has three digits: steps of the size that training takes would be rounded away.
        return torch.float32
    if recipe.dtype != "auto":
        dtype: torch.dtype = getattr(torch, recipe.dtype)
        return dtype
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else _cpu_multiplies_bf16()
    return torch.bfloat16 if fast else torch.float32


def _cpu_multiplies_bf16() -> bool:
    import torch

    # Without such instructions bf16 is emulated, at a fraction of the speed of fp32.
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
