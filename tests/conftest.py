"""Shared fixtures: tiny random models and adapters made on the spot, the sample model, and a real vLLM."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of what else the machine does than of us.
settings.register_profile("picktune", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("picktune")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded, as the servers do it too
# Started in the background, a shell lets its children ignore Ctrl-C, and theirs: tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VLLM_SLOTS = 8
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class AdapterFactory(Protocol):
    """Makes a random LoRA adapter in a folder called ``name`` and returns the folder.

    ``scale`` is the standard deviation of its B matrices: 0 leaves the base as it is, 0.5 changes every reply
    visibly. ``base`` is the model folder that it fits; the tiny model unless given.
    """

    def __call__(
        self, name: str, seed: int = 0, scale: float = 0.5, *, base: Path | None = None, rank: int = 8
    ) -> Path: ...


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several workers share the tests, each takes whole files, and one of them all that need vLLM.

    vLLM comes last: while it waits its workers spin, and whatever runs beside it takes twice as long. At the
    very end comes what makes the server unfit for others. (xdist 3.8 does not see the groups of pytest 9.2:
    with these, tests are shared out one by one and each worker starts a vLLM, which costs a minute.)
    """

    def place(item: pytest.Item) -> tuple[bool, bool]:
        return item.get_closest_marker("vllm") is not None, item.path.parent.name == "vllm"

    for item in items:
        item.add_marker(pytest.mark.xdist_group("vllm" if place(item)[0] else str(item.path)))
    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test logs may be no Unicode on purpose; workers hand their reports on as UTF-8."""
    report = yield
    sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    report.sections = sections
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture
def fine_tuning() -> Iterator[Any]:
    """A platform of ours that fine-tunes and serves over HTTP; see ``finetuning.py``."""
    name = "picktune_tests_finetuning"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("finetuning.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    with sys.modules[name].FineTuning() as platform:
        yield platform


def build_tokenizer() -> Any:
    """A byte-level tokenizer with ChatML: token i is byte i in GPT-2's order, then three special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(list(SPECIAL))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=2048
    )
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer random Llama over bytes and a ChatML tokenizer: real files, no download."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20)
        model = LlamaForCausalLM(config)
    # Random bytes are seldom text: leave the loud logits to printable ASCII.
    printable = set(range(32, 127))
    with torch.no_grad():
        model.lm_head.weight *= 2.0
        for symbol, i in tokenizer.get_vocab().items():
            if len(symbol) > 1 or ord(symbol) not in printable:
                model.lm_head.weight[i] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> AdapterFactory:
    """A factory of random LoRA adapters on all linear layers, saved as PEFT saves them."""

    def make(
        name: str, seed: int = 0, scale: float = 0.5, *, base: Path | None = None, rank: int = 8
    ) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        base = tiny_model if base is None else base
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = LoraConfig(
            r=rank, lora_alpha=2 * rank, target_modules=list(LINEAR), task_type="CAUSAL_LM", lora_dropout=0.0
        )
        tuned = get_peft_model(model, config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for key, weight in tuned.named_parameters():
                if "lora_A" in key:
                    weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
                elif "lora_B" in key:
                    weight.normal_(0.0, scale, generator=generator)
        tuned.peft_config["default"].base_model_name_or_path = str(base)
        folder = tmp_path_factory.mktemp("adapters") / name
        tuned.save_pretrained(str(folder))
        return folder

    return make


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of the real SmolLM2-135M-Instruct; use it under the marker ``model`` only."""
    from picktune.engines.smollm2 import model_folder

    return model_folder()


class VLLMServer(NamedTuple):
    """A running vLLM: where it listens, the model folder that it serves, and its log."""

    url: str
    model: Path
    log: Path


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def start_vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., VLLMServer]]:
    """Starts vLLM servers on free ports through ``scripts/vllm serve``; all are stopped at the end."""
    if not (ROOT / ".venv-vllm" / "bin" / "python").exists():
        pytest.skip("vLLM is not installed; run: scripts/vllm install")
    with contextlib.ExitStack() as stack:

        def start(model: Path, *options: str, limit: float = 240.0) -> VLLMServer:
            port = free_port()
            log = tmp_path_factory.mktemp("vllm") / "server.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [ROOT / "scripts" / "vllm", "serve", str(model), "--port", str(port), *options],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            stack.callback(_stop, process)
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + limit
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    pytest.fail(f"vLLM ended with code {process.returncode}:\n{_tail(log)}")
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"{url}/health", timeout=2.0).status_code == 200:
                        return VLLMServer(url, model, log)
                time.sleep(0.5)
            pytest.fail(f"vLLM was not ready after {limit:g} s:\n{_tail(log)}")

        yield start


@pytest.fixture(scope="session")
def vllm_server(start_vllm: Callable[..., VLLMServer], smollm2: Path) -> VLLMServer:
    """One vLLM that serves SmolLM2 to all tests under the marker ``vllm``, in float32, with ``VLLM_SLOTS``.

    In bfloat16 a neighbour in the batch can tip a near tie between two tokens, and equality proves nothing.
    Without our plugin, so that both ways are tested: the server of ``tests/vllm`` has it.
    """
    return start_vllm(smollm2, "--no-plugin", "--dtype", "float32", "--max-loras", str(VLLM_SLOTS))


def _tail(log: Path) -> str:
    return log.read_text("utf-8", errors="replace")[-4000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    # The whole group: vLLM's engine is a process of its own and outlives a parent that is killed.
    for sign, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            if sign == signal.SIGTERM:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            return
