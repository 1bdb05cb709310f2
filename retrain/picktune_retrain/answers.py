"""What is done about a training that fails: a smaller batch, then QLoRA; a slower pace; then giving up."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import structs
from picktune.records import Record

from picktune_retrain.records import Answer, Recipe

STATE = "state"
MOST_DEATHS = 2
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Attempt(Record, frozen=True, kw_only=True):
    """A training under way, in the manifest until it ends by itself; one that is found there was killed.

    ``deaths`` counts how often it was killed since it last came any further than the checkpoint ``died_at``;
    ``boot`` is that of the machine, for a power cut is no lack of memory.
    """

    boot: str
    died_at: str | None = None
    deaths: int = 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the system, had no more memory to give."""
    if isinstance(error, MemoryError):
        return True
    # torch.OutOfMemoryError by name, for torch is not to be imported here; the CPU's allocator has no type.
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    words = ("DefaultCPUAllocator: ", "not enough memory", "Cannot allocate memory", "CUDA out of memory")
    return named or (isinstance(error, RuntimeError | OSError) and any(one in str(error) for one in words))


def next_answer(
    recipe: Recipe, fault: Literal["out_of_memory", "killed"], why: str, *, can_quantise: bool | None = None
) -> Answer | None:
    """What to try with less memory than this recipe took; ``None`` if there is nothing left to try."""
    if recipe.batch > 1:
        return Answer(fault=fault, did="smaller_batch", value=recipe.batch // 2, why=why)
    if can_quantise is None:
        can_quantise = importlib.util.find_spec("bitsandbytes") is not None
    if recipe.method == "lora" and can_quantise:
        return Answer(fault=fault, did="qlora", value=0.0, why=why)
    return None


def answered(recipe: Recipe, answers: Sequence[Answer]) -> Recipe:
    """The recipe that is trained after these answers; the training slows itself down, see ``train``."""
    for one in answers:
        if one.did == "smaller_batch":
            recipe = structs.replace(recipe, batch=int(one.value))
        elif one.did == "qlora":
            recipe = structs.replace(recipe, method="qlora")
    return recipe


def state_of(folder: Path, answers: Sequence[Answer]) -> Path:
    """Where the checkpoints of a training with these answers lie; each other recipe has its own folder."""
    other = sum(one.did != "slower" for one in answers)
    return folder / (f"{STATE}-{other + 1}" if other else STATE)


def begin(before: Attempt | None, state: Path) -> Attempt:
    """The attempt that begins now, knowing how the last one ended."""
    boot = _BOOT.read_text("ascii").strip() if _BOOT.exists() else ""
    if before is None or before.boot != boot:
        return Attempt(boot=boot)
    names = sorted(path.name for path in state.glob("step-*"))
    here = names[-1] if names else "the start"
    again = before.deaths if before.died_at == here else 0
    return Attempt(boot=boot, died_at=here, deaths=again + 1)


def let_go() -> None:
    """Give back what a failed training held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def sentence(answer: Answer) -> str:
    """What happened and what was done about it, in words."""
    fault = {
        "diverged": "the training ran away",
        "out_of_memory": "the memory did not suffice",
        "killed": "the training was killed twice at the same place, as for want of memory",
    }[answer.fault]
    did = {
        "slower": f"went on from step {answer.step} at a learning rate of {answer.value:g}",
        "smaller_batch": f"began again with a batch of {answer.value:g}",
        "qlora": "began again with QLoRA",
    }[answer.did]
    return f"{fault} ({answer.why}): {did}"
