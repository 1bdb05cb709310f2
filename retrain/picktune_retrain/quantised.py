"""The base in 4 or 8 bits a number, for QLoRA (Dettmers et al. 2023), by bitsandbytes."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal

from picktune.errors import MissingExtra

if TYPE_CHECKING:
    import torch


def quantisation(kind: Literal["nf4", "int8"], dtype: torch.dtype) -> dict[str, Any]:
    """What transformers is told: NF4 with double quantisation (sections 3.1 and 3.2), or LLM.int8().

    Raises ``MissingExtra`` without bitsandbytes.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtra("QLoRA", "qlora")
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        config: Any = BitsAndBytesConfig(load_in_8bit=True)  # type: ignore[no-untyped-call]
    else:
        config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    return {"quantization_config": config}
