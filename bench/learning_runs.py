"""The trainings of ``learning.py``: every objective from the same picks, with the time that it took.

Time is counted in processor seconds as well: with one thread that is about what an idle core would have
taken, however busy the machine is. Loading the model, checks on held-out picks and writing the adapter are
not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from learning_world import START
from picktune.records import ChoiceSet, Record
from picktune_retrain.records import Extra, Labelled, Recipe, Step, Written

PAIRED = ("choice", "dpo-all", "dpo-one")
CURVES = ("choice", "dpo-all")
OBJECTIVES = ("choice", "dpo-all", "dpo-one", "kto", "sft")
SAID = {
    "choice": "choice training",
    "dpo-all": "DPO, all pairs (packed)",
    "dpo-one": "DPO, one random pair",
    "kto": "KTO",
    "sft": "SFT on the picked",
    "dpo-rows": "DPO, all pairs (TRL)",
}


class Settings(Record, frozen=True, kw_only=True):
    """The sizes of a run; an epoch's steps are of ``batch`` picks for every objective."""

    picks: int = 80
    held_out: int = 48
    fresh: int = 60
    epochs: int = 2
    batch: int = 4
    rank: int = 8
    rate: float = 4e-4
    check_every: int = 8
    max_tokens: int = 20
    temperature: float = 0.8


class Point(Record, frozen=True, kw_only=True):
    """The accuracy on held-out picks after so many steps, and the seconds of training until then."""

    step: int
    wall: float
    cpu: float
    accuracy: float


class Trained(Record, frozen=True, kw_only=True):
    """A training: how long it took, the reference included, and how the accuracy grew."""

    objective: str
    steps: int
    wall: float
    cpu: float
    reference_cpu: float
    curve: tuple[Point, ...]


def recipe_of(objective: str, settings: Settings, seed: int) -> Recipe:
    """Picktune's own defaults, but for the sizes."""
    name, _, pairs = objective.partition("-")
    # A pick is four replies that were liked or not: so a step has the same picks with KTO.
    batch = settings.batch * (4 if name == "kto" else 1)
    return Recipe(
        objective=name,
        pairs="one" if pairs == "one" else "all",
        rank=settings.rank,
        alpha=2 * settings.rank,
        learning_rate=settings.rate,
        epochs=settings.epochs,
        batch=batch,
        seed=seed,
    )


def extras_of(objective: str, sets: Sequence[ChoiceSet]) -> list[Extra]:
    """What KTO and SFT learn from, made of the same picks."""
    rows: list[Extra] = []
    for one in sets:
        about = {
            name: getattr(one, name)
            for name in ("slate_id", "conversation_id", "messages", "annotator", "role", "decided_at")
        }
        if objective == "kto":
            rows += [
                Labelled(reply=reply, desirable=i == one.chosen, source="thumb", **about)
                for i, reply in enumerate(one.replies)
            ]
        elif objective == "sft":
            rows.append(Written(completion=one.replies[one.chosen], shown=one.replies, **about))
    return rows


class Clock:
    """Seconds of the reference pass and of each step, by the wall and of the processor."""

    def __init__(self) -> None:
        self.reference = [0.0, 0.0]
        self.steps: list[tuple[float, float]] = []
        self.interrupted = False
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        """Something begins."""
        self._began = time.perf_counter(), time.process_time()

    def lap(self) -> tuple[float, float]:
        """How long it took; nought if nothing had begun."""
        began, self._began = self._began, None
        if began is None:
            return 0.0, 0.0
        return time.perf_counter() - began[0], time.process_time() - began[1]

    def seconds(self, steps: int) -> tuple[float, float]:
        """What so many steps take, the reference included.

        Each counts as the mean of those in which nothing else was done; the first, a warm-up, is left out.
        """
        kept = self.steps[1:] or self.steps
        if not kept:
            raise SystemExit("no step was left alone, so none was timed; train longer, or check less often")
        wall, cpu = (fmean(one[i] for one in kept) * steps + self.reference[i] for i in (0, 1))
        return wall, cpu


def trained(
    objective: str,
    sets: Sequence[ChoiceSet],
    held_out: Sequence[ChoiceSet],
    *,
    model: Path,
    folder: Path,
    settings: Settings,
    seed: int,
    progress: Callable[[int, int], None],
) -> Trained:
    """Train with Picktune's own trainer; the adapter goes to ``folder``. Some are checked on the way."""
    from picktune_retrain.train import train

    clock, checks = Clock(), dict[int, float]()

    def ask() -> bool:
        wall, cpu = clock.lap()
        if wall and not clock.interrupted:
            clock.steps.append((wall, cpu))
        clock.interrupted = False
        clock.start()
        return False

    def referenced(done: int, total: int) -> None:
        # The references of held-out picks come last, and are not the training's.
        wall, cpu = clock.lap()
        if done <= total - len(checked):
            clock.reference = [clock.reference[0] + wall, clock.reference[1] + cpu]

    def step(record: Step) -> None:
        if record.split == "validation":
            clock.interrupted = True
            checks[record.step] = record.accuracy or 0.0
        progress(record.step, record.steps)

    checked = held_out if objective in CURVES else ()
    run = train(
        sets if objective in PAIRED else (),
        checked,
        extras=extras_of(objective, sets),
        dataset_id="bench",
        base_model=model,
        recipe=recipe_of(objective, settings, seed),
        folder=folder,
        progress=step,
        referenced=referenced,
        should_stop=ask,
        check_every=settings.check_every,
        now=START,
    )
    return account(objective, run.steps[-1].steps, clock, checks)


def account(objective: str, steps: int, clock: Clock, checks: Mapping[int, float]) -> Trained:
    """The curve of a training out of its clock and its checks."""
    points = []
    for number, accuracy in sorted(checks.items()):
        wall, cpu = clock.seconds(number)
        points.append(Point(step=number, wall=wall, cpu=cpu, accuracy=accuracy))
    wall, cpu = clock.seconds(steps)
    return Trained(
        objective=objective, steps=steps, wall=wall, cpu=cpu, reference_cpu=clock.reference[1],
        curve=tuple(points),
    )  # fmt: skip


def trained_by_trl(
    sets: Sequence[ChoiceSet],
    held_out: Sequence[ChoiceSet],
    *,
    model: Path,
    folder: Path,
    settings: Settings,
    seed: int,
    progress: Callable[[int, int], None],
) -> Trained:
    """Train the same picks with TRL's ``DPOTrainer`` on all their pairs, as anybody would; as many steps.

    Its defaults but for what Picktune's recipe says too: rank, rate, schedule, β, batch, number format. The
    adapters of the checks are scored by Picktune, as all others are.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from picktune_retrain.choice import score
    from picktune_retrain.evaluate import evaluate
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    recipe = recipe_of("dpo-all", settings, seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = []
    for one in sets:
        messages = [{"role": message.role, "content": message.content} for message in one.messages]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        picked = one.replies[one.chosen]
        rows += [
            {"prompt": prompt, "chosen": picked, "rejected": other}
            for other in one.replies
            if other != picked
        ]
    clock = Clock()

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, _: Any, state: Any, __: Any, **more: Any) -> None:
            clock.steps.append(clock.lap())
            if state.global_step % settings.check_every == 0 or state.global_step == state.max_steps:
                more["model"].save_pretrained(folder / f"step-{state.global_step}")
            progress(state.global_step, state.max_steps)

    torch.manual_seed(seed)
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16),
        args=DPOConfig(
            output_dir=str(folder), per_device_train_batch_size=3 * settings.batch, beta=recipe.beta,
            num_train_epochs=settings.epochs, learning_rate=recipe.learning_rate, lr_scheduler_type="cosine",
            warmup_steps=recipe.warmup, max_grad_norm=recipe.max_grad_norm, gradient_checkpointing=False,
            bf16=True, use_cpu=True, max_length=None, save_strategy="no", logging_strategy="no", report_to=[],
            disable_tqdm=True, seed=seed,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[Watch()],
        peft_config=LoraConfig(
            r=recipe.rank, lora_alpha=recipe.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )  # fmt: skip
    trainer.train()
    checks = {}
    for saved in folder.glob("step-*"):
        scores = score(held_out, base_model=model, adapter=saved, recipe=recipe)
        made = evaluate(held_out, scores, beta=recipe.beta)
        checks[int(saved.name.removeprefix("step-"))] = made.adapter.accuracy
    return account("dpo-rows", max(checks), clock, checks)
