import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.interop import pickles
from faceswap_cli.interop.pickles import MAX_TUPLES, read_arrays, read_plain

ARRAYS: dict[str, NDArray[Any]] = {
    "conv1/weight:0": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "by_columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.array([1.5, -2], np.float16),
    "big_endian": np.array([1, 2], ">i4"),
    "number": np.array(7, np.int64),
    "none": np.empty((0, 5), np.uint8),
}


class Payload:
    """Pickles as a call of anything."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def written(folder: Path, data: bytes) -> Path:
    path = folder / "a_SAEHD_encoder.npy"
    path.write_bytes(data)
    return path


def refusal(folder: Path, data: bytes) -> str:
    """Read it both ways; return the message."""
    path = written(folder, data)
    with pytest.raises(WorkspaceError) as plain:
        read_plain(path)
    with pytest.raises(WorkspaceError) as arrays:
        read_arrays(path)
    assert str(plain.value) == str(arrays.value)
    assert f"seen in: {path}\nfix: take the file" in str(plain.value)
    return str(plain.value)


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_come_back_to_the_bit(tmp_path: Path, protocol: int) -> None:
    found = read_arrays(written(tmp_path, pickle.dumps(ARRAYS, protocol)))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_arrays_of_numpy_1_are_read(tmp_path: Path) -> None:
    data = pickle.dumps(ARRAYS, 3)
    old = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != data
    assert read_arrays(written(tmp_path, old)).keys() == ARRAYS.keys()


def test_plain_options_are_read(tmp_path: Path) -> None:
    options = {"archi": "liae-ud", "resolution": 128, "loss": [[1.5, np.float32(2)]] * 3, "x": None}
    data = pickle.dumps({"iter": 10**6, "options": options, "sample": [ARRAYS]}, 4)
    found = read_plain(written(tmp_path, data))
    assert found["iter"] == 10**6
    assert found["options"] == options


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "nest",
    [
        lambda payload: payload,
        lambda payload: {"a": payload},
        lambda payload: {**ARRAYS, "options": {"deep": [(payload,)]}},
    ],
    ids=["alone", "in a dict", "deep"],
)
def test_nothing_runs(
    tmp_path: Path, protocol: int, nest: Callable[[Payload], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = tmp_path / "proof"
    payloads = [
        Payload(os.system, f"touch {proof}"),
        Payload(eval, f"open({str(proof)!r}, 'w')"),
        Payload(exec, f"open({str(proof)!r}, 'w')"),
        Payload(open, str(proof), "w"),
        Payload(getattr, os, "system"),
        Payload(np.load, str(proof), None, True),
        Payload(np.save, str(proof), np.ones(1)),
        Payload(np.memmap, str(proof), "u1", "w+", 0, (9,)),
        Payload(np.frombuffer, b"1234"),
    ]
    for payload in payloads[:4] + payloads[5:]:
        message = refusal(tmp_path, pickle.dumps(nest(payload), protocol))
        assert "refused" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_SAEHD_encoder.npy"]
    # The payload is real: without the walls it does run.
    pickle.loads(pickle.dumps(nest(payloads[0]), protocol))
    assert proof.exists()


def test_the_refused_global_is_named(tmp_path: Path) -> None:
    for protocol in (3, 4):
        message = refusal(tmp_path, pickle.dumps({"a": Payload(os.system, "true")}, protocol))
        assert "refused global posix.system" in message
        assert "may be an attack, and was not run" in message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"cposix\nsystem\n(S'true'\ntR.", "refused global posix.system"),
        (b"(S'true'\niposix\nsystem\n.", "refused instruction STRING"),
        (b"(iposix\nsystem\n.", "refused instruction INST posix system"),
        (b"\x80\x02]Q.", "refused instruction BINPERSID"),
        (b"Pname\n.", "refused instruction PERSID"),
        (b"\x80\x02\x82\x01.", "refused instruction EXT1"),
        (b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93)\x81.", "refused instruction NEWOBJ"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0adtype.type\x93.", "refused global numpy.dtype.type"),
        (b"\x80\x04cnumpy\ndtype\n}b.", "refused state of a global"),
        (b"\x80\x04cnumpy\nndarray\n)R.", "callable"),
        (b"\x80\x04cnumpy\ndtype\n\x8c\x02|O\x85R.", "refused dtype |O"),
        (b"\x80\x04cnumpy\ndtype\n\x8c\x08f4,(9,)O\x85R.", "refused dtype f4,(9,)O"),
        (b"\x80\x04}K\x01K\x02s.", "it holds no dict of names"),
        (b"\x80\x04]}]K\x01s.", "unhashable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_handmade_programs_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    assert reason in refusal(tmp_path, data)


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"an": "object"}], object),
        np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        np.array(["text"]),
        np.array(["2020-01-01"], "datetime64[D]"),
        np.array([1 + 2j]),
    ],
    ids=["objects", "fields", "text", "time", "complex"],
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path: Path, array: NDArray[Any]) -> None:
    assert "refused" in refusal(tmp_path, pickle.dumps({"a": array}, 4))


def test_an_array_larger_than_its_bytes_takes_no_memory(tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.zeros((7, 9), np.float32)}, 4)
    huge = data.replace(
        b"K\x07K\x09\x86", b"\x8a\x06" + (2**40).to_bytes(6, "little") + b"K\x09\x86"
    )
    assert huge != data
    huge = huge[:2] + huge[11:]  # without the frame, whose length is wrong now
    assert "63 numbers for an array of another size" in refusal(tmp_path, huge)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\x80\x04", "pickle exhausted before seeing STOP"),
        (b"\x80\x04.", "stack underflow"),
        (b"\x80\x04r\xff\xff\xff\xff.", "refused number 4294967295"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "expected 9223372036854775807 bytes"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0fabc.", "expected"),
        (b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b".", "it holds no dict of names"),
        (b"\x80\x04})" + b"\x85" * 200_000 + b"K\x01s.", f"more than {MAX_TUPLES} tuples"),
        (b"\x80\x04})" + b"\x85" * (MAX_TUPLES - 1) + b"K\x01s.", "it holds no dict of names"),
        (pickle.dumps([1, 2], 4), "it holds no dict of names"),
        (pickle.dumps(ARRAYS, 5), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_damaged_and_hostile_files_are_explained(tmp_path: Path, data: bytes, reason: str) -> None:
    assert reason in refusal(tmp_path, data)


def test_a_list_of_lists_that_are_the_same_is_never_written_out(tmp_path: Path) -> None:
    laughs: list[Any] = []
    for _ in range(100):
        laughs = [laughs, laughs]  # 2^100 of them, were they copied or shown
    path = written(tmp_path, pickle.dumps({"a": laughs}, 4))
    assert list(read_plain(path)) == ["a"]
    with pytest.raises(WorkspaceError, match="a is no array of numbers"):
        read_arrays(path)


def test_a_file_cut_short_is_explained(tmp_path: Path) -> None:
    data = pickle.dumps({"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)}, 4)
    for length in range(0, len(data), 3):
        refusal(tmp_path, data[:length])


def test_random_bytes_and_random_faults_never_crash(tmp_path: Path) -> None:
    noise = random.Random(0)
    whole = pickle.dumps({"a": np.ones(3, np.float32), "iter": 5, "b": ["x", {"y": 2.5}]}, 4)
    for _ in range(100):
        refusal(tmp_path, noise.randbytes(noise.randrange(1, 200)))
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(noise.randrange(1, 4)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        path = written(tmp_path, bytes(data))
        try:
            read_plain(path)
        except WorkspaceError as error:
            assert "not a pickle" in str(error)


def test_a_file_that_is_too_large_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickles, "MAX_BYTES", 10)
    assert "at most 10 are read" in refusal(tmp_path, pickle.dumps(ARRAYS, 4))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="No such file"):
        read_arrays(tmp_path / "absent.npy")
