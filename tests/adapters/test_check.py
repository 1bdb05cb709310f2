"""Every fault that an engine would answer 200 to is caught, and the message says how to mend it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picktune_adapters import check_adapter
from picktune_adapters.errors import AdapterCorrupt, BaseUnreadable

from .conftest import IN, MODULE, OUT, PREFIX, RANK, MakeAdapter, weights

A = f"{PREFIX}{MODULE.format(0)}.lora_A.weight"
B = f"{PREFIX}{MODULE.format(0)}.lora_B.weight"


def fault(folder: Path, base: Path | None = None, **options: Any) -> str:
    """The message with which a folder is refused."""
    with pytest.raises(AdapterCorrupt) as caught:
        check_adapter(folder, base=base, **options)
    message = str(caught.value)
    assert str(folder) in message
    assert ";" in message  # what is wrong; how to mend it
    return message


def test_a_sound_adapter(make_adapter: MakeAdapter, base: Path) -> None:
    shape = check_adapter(make_adapter(), base=base)
    assert shape.rank == RANK
    assert shape.alpha == 2 * RANK
    assert shape.modules == tuple(MODULE.format(layer) for layer in range(2))
    assert shape.parameters == 2 * RANK * (IN + OUT)


def test_an_adapter_that_peft_saved(tiny_adapter: Any, tiny_model: Path) -> None:
    shape = check_adapter(tiny_adapter("peft", rank=8), base=tiny_model)
    assert shape.rank == 8
    assert len(shape.modules) == 2 * 7


@pytest.mark.model
def test_an_adapter_that_peft_saved_for_the_sample_model(
    tiny_adapter: Any, smollm2: Path, tiny_model: Path
) -> None:
    folder = tiny_adapter("real", base=smollm2, rank=4)
    assert len(check_adapter(folder, base=smollm2).modules) == 30 * 7
    assert "base" in fault(folder, tiny_model)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'"),
        ({"peft_type": None}, "peft_type"),
        ({"task_type": "SEQ_CLS"}, "task_type"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "all"}, "bias='all'"),
        ({"lora_bias": True}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 8}}, "alpha_pattern"),
        ({"layer_replication": [[0, 1]]}, "layer replication"),
        ({"trainable_token_indices": [1]}, "trainable tokens"),
        ({"init_lora_weights": "pissa"}, "'pissa' changes the base"),
        ({"init_lora_weights": "pissa_niter_16"}, "changes the base"),
        ({"init_lora_weights": "olora"}, "changes the base"),
        ({"init_lora_weights": "loftq"}, "changes the base"),
        ({"init_lora_weights": "corda"}, "changes the base"),
        ({"init_lora_weights": 3}, "changes the base"),
        ({"r": 8}, "rank 8"),
        ({"r": 0}, "rank r is 0"),
        ({"r": True}, "rank r is True"),
        ({"r": "4"}, "rank r is '4'"),
        ({"r": None}, "rank r is None"),
        ({"r": 4.5}, "rank r is 4.5"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_alpha": "8"}, "lora_alpha"),
        ({"target_modules": ["k_proj"]}, "not among target_modules"),
        ({"target_modules": []}, "not among target_modules"),
    ],
)
def test_configurations_that_cannot_be_served(
    make_adapter: MakeAdapter, config: dict[str, Any], word: str
) -> None:
    assert word in fault(make_adapter(**config))


@pytest.mark.parametrize("init", [True, False, "gaussian", "orthogonal", "eva"])
def test_initialisations_that_touch_only_the_adapter(make_adapter: MakeAdapter, init: object) -> None:
    assert check_adapter(make_adapter(init_lora_weights=init), base=None).rank == RANK


@pytest.mark.parametrize("targets", ["all-linear", r".*\.q_proj", ["self_attn.q_proj"], None])
def test_ways_to_say_which_modules(make_adapter: MakeAdapter, targets: object) -> None:
    assert check_adapter(make_adapter(target_modules=targets), base=None).rank == RANK


def test_a_rank_above_the_engines_limit(make_adapter: MakeAdapter) -> None:
    folder = make_adapter(tensors=weights(rank=65), r=65)
    assert "rank 65 is above 64" in fault(folder)
    assert check_adapter(folder, base=None, max_rank=65).rank == 65


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite(make_adapter: MakeAdapter, bad: float) -> None:
    tensors = weights()
    tensors[B][-1, -1] = bad
    message = fault(make_adapter(tensors=tensors))
    assert B in message
    assert "not a number" in message


def test_not_a_number_in_bfloat16(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    path = folder / "adapter_model.safetensors"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    at = 0
    for entry in header.values():
        count = int(np.prod(entry["shape"]))
        entry |= {"dtype": "BF16", "data_offsets": [at, at + 2 * count]}
        at += 2 * count
    encoded = json.dumps(header).encode()
    for bits, sound in ((0x3F80, True), (0x7FC0, False)):
        data = np.full(at // 2, 0x3F80, np.uint16)
        data[at // 4] = bits
        path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data.tobytes())
        if sound:
            check_adapter(folder, base=None)
        else:
            assert "not a number" in fault(folder)


def test_integers_cannot_be_served(make_adapter: MakeAdapter) -> None:
    tensors = {name: tensor.astype(np.int8) for name, tensor in weights().items()}
    assert "I8" in fault(make_adapter(tensors=tensors))


@pytest.mark.parametrize("missing", [A, B])
def test_a_missing_half(make_adapter: MakeAdapter, missing: str) -> None:
    tensors = weights()
    del tensors[missing]
    assert f"lacks lora_{'A' if missing == A else 'B'}" in fault(make_adapter(tensors=tensors))


@pytest.mark.parametrize(
    "name",
    [
        f"{PREFIX}{MODULE.format(0)}.lora_magnitude_vector",
        f"{PREFIX}lm_head.weight",
        f"{PREFIX}model.embed_tokens.lora_embedding_A",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "x",
    ],
)
def test_tensors_that_are_no_lora_matrices(make_adapter: MakeAdapter, name: str) -> None:
    tensors = weights() | {name: np.zeros((RANK, IN), np.float32)}
    assert "is no LoRA matrix" in fault(make_adapter(tensors=tensors))


def test_shapes_that_are_no_matrices(make_adapter: MakeAdapter) -> None:
    tensors = weights() | {A: np.zeros((RANK, IN, 1), np.float32)}
    assert "no matrices" in fault(make_adapter(tensors=tensors))
    tensors = weights() | {A: np.zeros((RANK, 0), np.float32)}
    assert "no matrices" in fault(make_adapter("empty", tensors=tensors))


def test_one_matrix_of_another_rank(make_adapter: MakeAdapter) -> None:
    tensors = weights() | {A: np.zeros((RANK + 1, IN), np.float32)}
    assert "rank 4" in fault(make_adapter(tensors=tensors))


def test_a_module_that_the_base_does_not_have(make_adapter: MakeAdapter, base: Path) -> None:
    module = MODULE.format(7)
    tensors = weights() | {
        f"{PREFIX}{module}.lora_A.weight": np.zeros((RANK, IN), np.float32),
        f"{PREFIX}{module}.lora_B.weight": np.zeros((OUT, RANK), np.float32),
    }
    folder = make_adapter(tensors=tensors)
    check_adapter(folder, base=None)
    assert f"no module {module!r}" in fault(folder, base)


@pytest.mark.parametrize(("half", "shape"), [(A, (RANK, IN + 1)), (B, (OUT - 1, RANK))])
def test_a_shape_that_does_not_fit_the_base(
    make_adapter: MakeAdapter, base: Path, half: str, shape: tuple[int, int]
) -> None:
    folder = make_adapter(tensors=weights() | {half: np.zeros(shape, np.float32)})
    check_adapter(folder, base=None)
    assert "(8, 6)" in fault(folder, base)


def test_a_convolution_keeps_its_weight_the_other_way_round(make_adapter: MakeAdapter, base: Path) -> None:
    tensors = {
        f"{PREFIX}{MODULE.format(0)}.lora_A.weight": np.zeros((RANK, OUT), np.float32),
        f"{PREFIX}{MODULE.format(0)}.lora_B.weight": np.zeros((IN, RANK), np.float32),
    }
    folder = make_adapter(tensors=tensors, fan_in_fan_out=True)
    assert check_adapter(folder, base=base).rank == RANK


def test_a_base_that_cannot_be_read_is_not_the_adapters_fault(
    make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    with pytest.raises(BaseUnreadable):
        check_adapter(make_adapter(), base=tmp_path / "missing")


def test_a_truncated_file(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    assert "truncated" in fault(folder)
    path.write_bytes(b"")
    assert "truncated" in fault(folder)


def test_no_tensor_at_all(make_adapter: MakeAdapter) -> None:
    assert "no tensor" in fault(make_adapter(tensors={}))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file(make_adapter: MakeAdapter, name: str) -> None:
    folder = make_adapter()
    (folder / name).unlink()
    assert f"{name} is missing" in fault(folder)
    (folder / name).mkdir()
    assert f"{name} is missing" in fault(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    assert "no such folder" in fault(tmp_path / "missing")
    (tmp_path / "file").touch()
    assert "no such folder" in fault(tmp_path / "file")


@pytest.mark.parametrize("name", ["adapter_model.bin", "training.pt", "optimizer.PTH", "x.pkl", "x.ckpt"])
def test_files_that_can_hold_pickled_code(make_adapter: MakeAdapter, name: str) -> None:
    folder = make_adapter()
    (folder / name).write_bytes(b"\x80\x04.")
    message = fault(folder)
    assert name in message
    assert "safetensors" in message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe{}", b'{"r": "\xc3\x28"}', b"NaN"])
def test_a_configuration_that_is_no_json_object(make_adapter: MakeAdapter, content: bytes) -> None:
    folder = make_adapter()
    (folder / "adapter_config.json").write_bytes(content)
    assert "no JSON object" in fault(folder)


def test_a_huge_configuration(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    (folder / "adapter_config.json").write_bytes(b" " * (1 << 20) + b"{}")
    assert "larger than" in fault(folder)


def test_a_number_too_large_to_be_a_rank(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1e400, "lora_alpha": 1}')
    fault(folder)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 1e400}')
    fault(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_links_may_not_lead_out_of_the_folder(make_adapter: MakeAdapter, tmp_path: Path, name: str) -> None:
    folder = make_adapter()
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    assert "is a link out of the folder" in fault(folder)
    outside.rename(folder / "inside")
    (folder / name).unlink()
    (folder / name).symlink_to("inside")
    check_adapter(folder, base=None)


def test_a_link_in_a_circle(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    path = folder / "adapter_config.json"
    path.unlink()
    path.symlink_to(path)
    fault(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file(make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    path = folder / "adapter_config.json"
    path.unlink()
    os.mkfifo(path)
    assert "missing" in fault(folder)
