"""The processes behind ``choice_training.py``: each runs one trainer, a step for every line on its input.

A worker is told what to do by its first argument and the sets by a JSON file. It prints one JSON line for
every step that it was asked for, and at the end one with its results and its peak memory.
"""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")
# As Picktune sets it; TRL and the bare products get it too, and where the machine is not idle gain by it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from picktune.engines.smollm2 import model_folder  # noqa: E402
from picktune.records import ChoiceSet, Message  # noqa: E402
from picktune_retrain.encoding import encode  # noqa: E402
from picktune_retrain.records import Recipe  # noqa: E402
from planned_memory import held  # noqa: E402

RANK, BETA, RATE = 16, 0.1, 1e-4
WORDS = """
    the a your our this that parcel order refund shop address courier voucher invoice size colour delivery
    return label week day Monday Friday morning evening please sorry thank you we can will have sent checked
    found moved opened lost damaged late early today tomorrow soon again with without before after because
    customer service team number email box blue green small large two three four new old first last
""".split()  # noqa: SIM905


def choice_sets(count: int, prompt: int, reply: int, tokenizer: Any) -> list[ChoiceSet]:
    """Random words of ours: prompts of ``prompt`` tokens with the template, replies of about ``reply``."""
    rng = random.Random(20)
    recipe = Recipe(max_prompt=100_000, max_reply=100_000)

    def one(number: int, words: Sequence[str], replies: Sequence[str]) -> ChoiceSet:
        return ChoiceSet(
            slate_id=f"set-{number}",
            conversation_id=f"conversation-{number}",
            messages=(
                Message(role="system", content="You answer for a shop."),
                Message(role="user", content=" ".join(words)),
            ),
            replies=tuple(replies),
            chosen=number % 4,
            annotator="bench",
            role="model",
            decided_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    sets = []
    for number in range(count):
        words: list[str] = []
        replies = [" ".join(rng.choices(WORDS, k=rng.randint(reply - 11, reply + 9))) for _ in range(4)]
        while len(encode(one(number, words, replies), tokenizer, recipe).prompt) < prompt:
            words.append(rng.choice(WORDS))
        sets.append(one(number, words, replies))
    return sets


def load_sets(path: str) -> list[ChoiceSet]:
    import msgspec

    return msgspec.json.decode(Path(path).read_bytes(), type=list[ChoiceSet])


Moment = tuple[float, float]


def wait_for_go() -> Moment:
    if not sys.stdin.readline():
        sys.exit(0)
    return time.perf_counter(), time.process_time()


def since(began: Moment) -> dict[str, float]:
    """Seconds by the clock, and of all processors together: other work on the machine changes these least."""
    return {"seconds": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]}


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def peak_memory() -> int:
    """The most memory that this process ever held, in bytes (VmHWM, the kernel's own count)."""
    return held("VmHWM")


def recipe_of(dtype: str) -> Recipe:
    return Recipe(
        rank=RANK, alpha=2 * RANK, learning_rate=RATE, beta=BETA, lam=0.0, epochs=1, batch=1, warmup=0.0,
        max_prompt=100_000, max_reply=100_000, dtype=dtype,
    )  # fmt: skip


def picktune(sets: list[ChoiceSet], references: Path | None = None) -> None:
    """``train()`` itself: its reference pass a set at a time, then its steps of one set each."""
    from picktune_retrain.train import train

    began: Moment | None = None
    done = 0

    def finish() -> None:
        nonlocal began, done
        if began is not None:
            say(phase="reference" if done < len(sets) else "step", **since(began))
            began, done = None, done + 1

    def should_stop() -> bool:
        nonlocal began
        finish()
        began = wait_for_go()
        return False

    with tempfile.TemporaryDirectory() as folder:
        train(
            sets, dataset_id="bench", base_model=None, recipe=recipe_of("bfloat16"),
            folder=Path(folder) / "adapter", should_stop=should_stop, references=references,
            now=datetime.now(UTC),
            progress=lambda step: finish() if step.step == step.steps else None,
        )  # fmt: skip
    say(peak=peak_memory())


def fill(sets: list[ChoiceSet], references: Path) -> None:
    """The night before: what the base gives the replies is stored, a row for each set."""
    from picktune_retrain import forward, models
    from picktune_retrain.references import References

    recipe = recipe_of("bfloat16")
    began = wait_for_go()
    model = models.load(None, recipe)
    encoded = [encode(one, model.tokenizer, recipe) for one in sets]
    forward.choose_layout(model, encoded)
    with References(references, model, recipe) as base:
        for one in encoded:
            base.of_row([one])
    say(phase="fill", **since(began))
    say(peak=peak_memory())


def trl_trainer(
    sets: list[ChoiceSet],
    dtype: torch.dtype,
    attention: str,
    callbacks: list[Any],
    folder: str,
    stored: bool = False,
) -> Any:
    """TRL's own defaults but for gradient checkpointing, which is off; a step is the three pairs of a set.

    ``stored`` lets it compute the reference before all steps, and so outside of what is timed.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    base = model_folder()
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = []
    for one in sets:
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        others = [reply for i, reply in enumerate(one.replies) if i != one.chosen]
        rows += [{"prompt": prompt, "chosen": one.replies[one.chosen], "rejected": other} for other in others]
    arguments = DPOConfig(
        output_dir=folder, per_device_train_batch_size=3, num_train_epochs=1, beta=BETA, learning_rate=RATE,
        gradient_checkpointing=False, bf16=dtype is torch.bfloat16, use_cpu=True, max_length=None,
        train_sampling_strategy="sequential", save_strategy="no", logging_strategy="no", report_to=[],
        disable_tqdm=True, precompute_ref_log_probs=stored,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=dtype, attn_implementation=attention),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=callbacks,
        peft_config=LoraConfig(
            r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    same_tokens(sets, trainer.train_dataset, tokenizer)
    return trainer


def same_tokens(sets: list[ChoiceSet], rows: Any, tokenizer: Any) -> None:
    """Both trainers must see the same tokens, or nothing here could be compared."""
    for number, one in enumerate(sets):
        ours = encode(one, tokenizer, recipe_of("float32"))
        others = [reply for i, reply in enumerate(ours.replies) if i != one.chosen]
        for place, other in enumerate(others):
            row = rows[3 * number + place]
            theirs = row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]
            if theirs != (list(ours.prompt), list(ours.replies[one.chosen]), list(other)):
                sys.exit(f"set {number}: TRL and Picktune encode it differently")


def trl(sets: list[ChoiceSet], attention: str, stored: bool = False) -> None:
    """``DPOTrainer.train()`` itself, held before every step until it is asked for."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):  # type: ignore[misc]
        began: Moment = (0.0, 0.0)

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = wait_for_go()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            say(phase="step", **since(self.began))

    with tempfile.TemporaryDirectory() as folder:
        trl_trainer(sets, torch.bfloat16, attention, [Clock()], folder, stored).train()
    say(peak=peak_memory())


def limit(sets: list[ChoiceSet]) -> None:
    """Nothing but the products with the base's own matrices in bf16 that a packed set needs.

    Forward for the reference, forward for the policy, and backward for the inputs: the frozen weights have
    no gradient. The vocabulary head is there for the reply tokens only.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    network = AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.bfloat16)
    head = network.get_output_embeddings().weight.detach()
    linear = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    weights = [m.weight.detach() for m in linear if m is not network.get_output_embeddings()]
    for one in sets:
        encoded = encode(one, tokenizer, recipe_of("bfloat16"))
        replies = sum(map(len, encoded.replies))
        rows = len(encoded.prompt) + replies - len(encoded.replies)
        products = [(w, rows) for w in weights] + [(head, replies)]
        inputs = {(n, w.shape[1]): torch.randn(n, w.shape[1]).bfloat16() for w, n in products}
        outputs = {(n, w.shape[0]): torch.randn(n, w.shape[0]).bfloat16() for w, n in products}
        for phase in ("reference", "policy"):
            began = wait_for_go()
            for weight, n in products:
                inputs[n, weight.shape[1]] @ weight.T
            if phase == "reference":
                say(phase=phase, **since(began))
        for weight, n in reversed(products):
            outputs[n, weight.shape[0]] @ weight
        say(phase="step", **since(began))
    say(peak=peak_memory())


def parity(sets: list[ChoiceSet], attention: str) -> None:
    """The largest difference between both trainers' reference log-probabilities of a reply, in fp32."""
    from picktune_retrain.choice import score

    wait_for_go()
    (ours,) = score(sets[:1], base_model=None, recipe=recipe_of("float32"))
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(sets[:1], torch.float32, attention, [], folder)
        batch = next(iter(trainer.get_train_dataloader()))
        chosen, rejected = trainer.compute_ref_log_probs(trainer.model, batch)
    others = [value for i, value in enumerate(ours.base) if i != sets[0].chosen]
    pairs = [(ours.base[sets[0].chosen], float(value)) for value in chosen]
    pairs += list(zip(others, rejected.tolist(), strict=True))
    say(phase="parity", seconds=0.0, cpu=0.0, nats=max(abs(a - b) for a, b in pairs))
    say(peak=peak_memory())


def main(kind: str, path: str, attention: str) -> None:
    sets = load_sets(path)
    references = Path(path).with_name("references.txt")
    if kind == "picktune":
        picktune(sets)
    elif kind == "picktune-again":
        picktune(sets, references)
    elif kind == "fill":
        fill(sets, references)
    elif kind in ("trl", "trl-stored"):
        trl(sets, attention, stored=kind == "trl-stored")
    elif kind == "limit":
        limit(sets)
    else:
        parity(sets, attention)


if __name__ == "__main__":
    main(*sys.argv[1:])
