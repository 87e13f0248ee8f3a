import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from faceswap_cli.errors import WorkspaceError
from faceswap_cli.interop import pickles
from faceswap_cli.interop.hostile import HostileError
from faceswap_cli.interop.pickles import numbers, plain_data, raw_bytes, read_arrays, read_plain

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


@pytest.mark.parametrize("protocol", [3, 4, 5])
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
        (b"(iposix\nsystem\n.", "refused instruction INST"),
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
        (b"\x80\x04]}]K\x01s.", "refused list as a key"),
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
        (b"\x80\x04", "expected 1 bytes, there are 0"),
        (b"\x80\x04.", "stack underflow"),
        (b"\x80\x04r\xff\xff\xff\xff.", "refused number 4294967295"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.", "expected 9223372036854775807 bytes"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x0fabc.", "expected"),
        (b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b".", "it holds no dict of names"),
        (b"\x80\x04})" + b"\x85" * 100_000 + b"K\x01s.", "refused tuple as a key"),
        (b"\x80\x04\x8b\xff\xff\xff\x7f" + b"1" * 99 + b".", "refused number of 2147483647 bytes"),
        (b"\x80\x04(((((1.", "stack underflow"),
        (b"\x80\x04}h\x09.", "nothing was remembered as number 9"),
        (b"\x80\x04]}t.", "no mark on the stack"),
        (b"\x80\x04\x8c\x02\xff\xfe.", "text that is no UTF-8"),
        (b"\x80\x04K\x01K\x02a.", "refused to append to what is no list"),
        (b"\x80\x04}(K\x01u.", "refused to set an item of what is no dict"),
        (b"\x80\x04c" + b"x" * 300, "a line that does not end"),
        (pickle.dumps([1, 2], 4), "it holds no dict of names"),
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


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False)
    | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=5)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(PLAIN, st.integers(3, 5))
def test_plain_data_comes_back_as_it_was(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    assert plain_data(data, max_bytes=10**6, max_memory=10**7) == value


def parsed(data: bytes, **how: Any) -> Any:
    limits = {"max_bytes": 10**6, "max_memory": 10**6} | how
    return plain_data(data, **limits)


def test_no_more_is_made_than_the_memory_that_is_given() -> None:
    for data in (
        b"\x80\x04" + b"]" * 20_000 + b".",
        b"\x80\x04](" + b"N" * 40_000 + b"e.",
        b"\x80\x04]" + b"(]\x94h\x00e" * 20_000 + b".",
        b"\x80\x04" + b"(" * 40_000 + b".",
        pickle.dumps({str(i): i for i in range(20_000)}),
        pickle.dumps([bytes(500_000), bytes(499_900)]),
    ):
        with pytest.raises(HostileError, match="too much memory"):
            parsed(data)
    with pytest.raises(HostileError, match="9 bytes, at most 8 are read"):
        parsed(bytes(9), max_bytes=8)


def test_enumerations_are_numbers_where_they_are_expected_and_nowhere_else() -> None:
    data = b"\x80\x04csamplelib.Sample\nSampleType\nK\x03\x85R."
    enums = {("samplelib.Sample", "SampleType"): range(5)}
    assert parsed(data, enums=enums) == 3
    with pytest.raises(HostileError, match=r"refused global samplelib\.Sample\.SampleType"):
        parsed(data)
    with pytest.raises(HostileError, match="refused value int of an enumeration"):
        parsed(data.replace(b"K\x03", b"K\x09"), enums=enums)


def test_what_is_of_no_use_takes_no_memory() -> None:
    data = pickle.dumps([{"thumb": list(range(200)), "xy": [1.5, 2.5]} for _ in range(100)])
    found = parsed(data, forget=frozenset(("thumb",)), max_memory=200_000)
    assert found == [{"thumb": [], "xy": [1.5, 2.5]}] * 100
    with pytest.raises(HostileError, match="too much memory"):
        parsed(data, max_memory=200_000)


def test_numbers_are_taken_from_arrays_and_lists_of_the_right_shape_only() -> None:
    points = np.arange(6, dtype=np.float32).reshape(3, 2)
    for value in (points, points.tolist(), [tuple(p) for p in points.tolist()], list(points)):
        np.testing.assert_array_equal(numbers(parsed(pickle.dumps(value)), (3, 2)), points)
    laughs: list[Any] = []
    for _ in range(100):
        laughs = [laughs, laughs, laughs]
    bad = [points.T, points[:2].tolist(), [[1, 2], [3, 4], [5, "6"]], [1, 2, 3], laughs, None,
           [[1, 2], [3, 4], [5, float("nan")]], points + np.inf, [[1, 2], [3, 4], [5, True]],
           [[1, 2], [3, 4], [5, 10**35]]]  # fmt: skip
    for value in bad[:-1]:
        with pytest.raises(HostileError):
            numbers(parsed(pickle.dumps(value)), (3, 2))
    assert raw_bytes(parsed(pickle.dumps(np.frombuffer(b"ab", np.uint8)))) == b"ab"
    with pytest.raises(HostileError, match="an array 3x2 of float32, not bytes"):
        raw_bytes(parsed(pickle.dumps(points)))
