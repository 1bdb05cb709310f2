from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picktune_adapters.tensors import is_finite, read_header, read_tensors
from safetensors.numpy import save_file


def write(path: Path, dtype: str, shape: tuple[int, ...], data: bytes) -> Path:
    """A safetensors file written by hand, for the types that NumPy does not have."""
    header = json.dumps({"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def bfloat16(values: list[float]) -> bytes:
    """The upper halves of float32: truncation is close enough for a test."""
    return b"".join(struct.pack("<f", value)[2:] for value in values)


@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=30),
    dtype=st.sampled_from(["F64", "F32", "F16", "BF16"]),
)
def test_finite_means_finite_in_every_type(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("finite") / "t.safetensors"
    with np.errstate(over="ignore"):
        halves = np.array(values, np.float16)
    data = {
        "F64": np.array(values, np.float64).tobytes(),
        "F32": np.array(values, np.float32).tobytes(),
        "F16": halves.tobytes(),
        "BF16": bfloat16(values),
    }[dtype]
    write(path, dtype, (len(values),), data)
    expected = bool(np.isfinite(halves).all()) if dtype == "F16" else bool(np.isfinite(values).all())
    assert is_finite(read_tensors(path), "t") is expected


def test_one_bad_number_at_the_very_end_of_a_large_tensor_is_found(tmp_path: Path) -> None:
    values = np.zeros(3_000_001, np.float32)
    save_file({"t": values}, tmp_path / "good.safetensors")
    values[-1] = np.nan
    save_file({"t": values}, tmp_path / "bad.safetensors")
    assert is_finite(read_tensors(tmp_path / "good.safetensors"), "t")
    assert not is_finite(read_tensors(tmp_path / "bad.safetensors"), "t")


def test_an_empty_tensor_is_finite(tmp_path: Path) -> None:
    assert is_finite(read_tensors(write(tmp_path / "t.safetensors", "F32", (0, 4), b"")), "t")


def test_a_type_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    tensors = read_tensors(write(tmp_path / "t.safetensors", "I8", (2,), b"\0\0"))
    with pytest.raises(ValueError, match="t holds I8"):
        is_finite(tensors, "t")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"\xff\xfe",
        struct.pack("<Q", 9) + b'{"t": 1} ',
        b"\x80\x04pickle" * 10,
    ],
)
def test_what_is_no_safetensors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="safetensors"):
        read_header(path)


def test_every_truncation_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"t": np.ones((3, 5), np.float32)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):  # noqa: PT011 - each length breaks something else
            read_tensors(path)


def test_a_header_that_contradicts_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "t.safetensors", "F32", (3,), b"\0" * 8)
    with pytest.raises(ValueError, match=r"(?i)invalid|mismatch|offset"):
        read_tensors(path)


def test_metadata_is_no_tensor(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({"t": np.ones(2, np.float32)}, path, metadata={"format": "pt"})
    tensors: Any = read_tensors(path)
    assert list(tensors.entries) == ["t"]
