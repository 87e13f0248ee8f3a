"""Readers of files from elsewhere, given thousands of damaged ones.

They run in a process of their own, which is watched: what it executes, what it opens for
writing, how much memory it takes. Run it alone with `python -m tests.test_fuzz_readers`.
"""

import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceswap_cli.errors import FaceswapError
from faceswap_cli.faces.faceset import parse_record
from faceswap_cli.faces.metadata import read_comment, with_comment
from faceswap_cli.imaging import encode_image
from faceswap_cli.interop.dfl_faces import read_dfl_face
from faceswap_cli.interop.dfl_pak import PakReader
from faceswap_cli.interop.dfl_records import mask_of, record_of
from faceswap_cli.interop.faceswap_alignments import read_alignments
from faceswap_cli.interop.faceswap_faces import StoredFace, crop_mask, read_face_png
from faceswap_cli.interop.faceswap_faces import record_of as record_as_cut
from faceswap_cli.interop.frame_finder import Place
from tests.dfl_facesets import (
    FRAME_WH,
    dfl_dict,
    dfl_jpeg,
    dfl_pak,
    faceswap_face,
    faceswap_png,
    fsa,
    old_pickle,
)
from tests.facesets import record
from tests.made_faces import smooth_picture

CASES = 500
MAX_SECONDS = 5.0
MAX_MIB = 256
PLACE = Place("data_dst.mp4", "000000", 0, Fraction(0), FRAME_WH)
SQUARE = np.array([[20.0, 20], [60, 20], [60, 60], [20, 60]], np.float32)
WATCHED = ("exec", "compile", "import", "os.", "subprocess.", "socket.", "ctypes.", "marshal.",
           "pickle.", "shutil.", "code.__new__", "pty.")  # fmt: skip
HARMLESS = ("os.listdir", "os.scandir", "os.getxattr")


class Payload:
    """Runs a command when Python's own pickle reads it."""

    def __reduce__(self) -> tuple[Any, Any]:
        return os.system, ("touch /nonexistent/proof",)


def seeds() -> dict[str, list[bytes]]:
    """Whole files of each kind, some of them hostile."""
    mask = np.frombuffer(encode_image(np.full((64, 64), 200, np.uint8), ".png"), np.uint8)
    polygons = {"polys": [{"type": 1, "pts": SQUARE}, {"type": 0, "pts": SQUARE / 2}]}
    face = dfl_dict(xseg_mask=mask, seg_ie_polys=polygons)
    jpegs = [dfl_jpeg(face), dfl_jpeg(dfl_dict(landmarks=np.array(face["landmarks"])))]
    evil = dfl_jpeg(old_pickle(face | {"face_type": Payload()}))
    plain = {"__meta__": {"version": 2.4}, "__data__": {"a.png": {"faces": [faceswap_face()]}}}
    small = smooth_picture(0, (16, 16))
    text = record(0, size_px=16).model_dump_json(exclude_none=True)
    return {
        "DeepFaceLab jpg": [*jpegs, evil],
        "faceset.pak": [
            dfl_pak({"a.jpg": jpegs[0], "b.jpg": jpegs[1]}),
            dfl_pak({"a.jpg": evil}),
            dfl_pak({"a.jpg": evil}, source_filename=Payload()),
        ],
        "faceswap png": [faceswap_png(), faceswap_png(text="[" * 5000)],
        "fsa": [fsa(), fsa({"a.png": {"faces": [Payload()]}})],
        "fsa, its pickle": [pickle.dumps(plain), pickle.dumps(plain, 5)],
        "our own": [with_comment(encode_image(small, suffix), text) for suffix in (".jpg", ".png")],
    }


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Return a file with one to four faults: bits, bytes, lengths, cuts, insertions."""
    data = bytearray(whole)
    for _ in range(chance.randrange(1, 5)):
        if not data:
            break
        at, kind = chance.randrange(len(data)), chance.randrange(6)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.randrange(256)
        elif kind == 2:
            width = chance.choice((1, 2, 4, 8))
            extreme = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
            data[at : at + width] = chance.choice(
                (extreme * width, extreme + b"\xff" * (width - 1))
            )
        elif kind == 3:
            data[at : at + chance.randrange(1, 40)] = b""
        elif kind == 4:
            data[at:at] = chance.randbytes(chance.randrange(1, 40))
        else:
            piece = data[at : at + chance.randrange(1, 200)]
            data[at:at] = piece * chance.choice((1, 2, 50))
    if chance.random() < 0.15:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


def read_jpeg(data: bytes) -> None:
    face = read_dfl_face(data, "a.jpg")
    mask_of(face, record_of(face, PLACE))


def read_png(data: bytes) -> None:
    use(read_face_png(data, "a.png"))


def use(face: StoredFace) -> None:
    _, crop = record_as_cut(face, PLACE, face_type="whole_face", size_px=32)
    crop_mask(face, crop, 32)


def read_own(data: bytes) -> None:
    read_comment(data)
    parse_record(data, Path("a.jpg"))


def readers(path: Path) -> dict[str, Callable[[bytes], None]]:
    """Return what reads a file of each kind; `path` may be written."""

    def read_pak(data: bytes) -> None:
        path.write_bytes(data)
        pak = PakReader(path)
        for face in pak.faces:
            read_jpeg(pak.read(face))

    def read_fsa(data: bytes) -> None:
        path.write_bytes(data)
        found, _ = read_alignments(path)
        for face in found:
            use(face)

    return {
        "DeepFaceLab jpg": read_jpeg,
        "faceset.pak": read_pak,
        "faceswap png": read_png,
        "fsa": read_fsa,
        "fsa, its pickle": lambda data: read_fsa(zlib.compress(data, 1)),
        "our own": read_own,
    }


def fuzz(kind: str, read: Callable[[bytes], None], wholes: list[bytes]) -> dict[str, Any]:
    chance = random.Random(kind)
    told: dict[str, Any] = {"read": 0, "refused": 0, "slowest_s": 0.0, "faults": []}
    for case in range(CASES):
        data = damaged(chance.choice(wholes), chance)
        started = time.process_time()
        try:
            read(data)
            told["read"] += 1
        except FaceswapError:
            told["refused"] += 1
        except BaseException as error:  # noqa: BLE001 - that is what is looked for
            told["faults"].append(f"case {case}: {error!r}")
        told["slowest_s"] = max(told["slowest_s"], time.process_time() - started)
    return told


def watch(folder: Path) -> list[str]:
    """Return a list that will name what this process executes or writes from now on."""
    seen: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        is_write = event == "open" and arguments[1] not in (None, "r", "rb")
        if is_write and str(arguments[0]).startswith(str(folder)):
            return
        if is_write or (event.startswith(WATCHED) and event not in HARMLESS):
            seen.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(hook)
    return seen


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Fuzz all readers; print what happened as JSON."""
    wholes = seeds()
    with tempfile.TemporaryDirectory() as folder:
        known = readers(Path(folder) / "a.fsa")
        for kind, read in known.items():
            read(wholes[kind][0])  # warm: what is loaded late is loaded now
            with pytest.raises(FaceswapError):
                read(b"")
        before, seen = peak_mib(), watch(Path(folder))
        told = {kind: fuzz(kind, read, wholes[kind]) for kind, read in known.items()}
        outcome: dict[str, Any] = {"told": told, "ran": list(seen), "mib": peak_mib() - before}
        seen.clear()
        pickle.loads(pickle.dumps(Payload()))  # the payload is real, and would be seen
        Path(os.devnull).write_bytes(b"")
        outcome["sees"] = seen
        sys.stdout.write(json.dumps(outcome))


@pytest.fixture(scope="module")
def outcome() -> Iterator[dict[str, Any]]:
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.test_fuzz_readers"],
        cwd=root,
        env=environment,
        capture_output=True,
        timeout=300,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    yield json.loads(done.stdout)


KINDS = ["DeepFaceLab jpg", "faceset.pak", "faceswap png", "fsa", "fsa, its pickle", "our own"]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_our_error_and_in_time(outcome: dict[str, Any], kind: str) -> None:
    told = outcome["told"][kind]
    assert told["faults"] == []
    assert told["read"] + told["refused"] == CASES
    assert told["refused"] > CASES / 20  # else the faults are not where it looks
    assert told["slowest_s"] < MAX_SECONDS


def test_nothing_is_run_and_nothing_written(outcome: dict[str, Any]) -> None:
    assert outcome["ran"] == []


def test_memory_stays_bounded(outcome: dict[str, Any]) -> None:
    assert outcome["mib"] < MAX_MIB


def test_the_watch_sees_what_a_payload_does(outcome: dict[str, Any]) -> None:
    assert any(event.startswith("os.system") for event in outcome["sees"])
    assert any(event.startswith("open") for event in outcome["sees"])


def test_lengths_at_their_limits_take_neither_time_nor_memory(tmp_path: Path) -> None:
    known = readers(tmp_path / "a.fsa")
    whole = seeds()
    for kind in ("DeepFaceLab jpg", "faceset.pak", "our own"):
        data = whole[kind][0]
        for at in range(0, min(len(data) - 8, 64)):
            for form, value in ((">H", 65535), ("<Q", 2**64 - 1), (">I", 2**31 - 1), ("<Q", 0)):
                field = struct.pack(form, value)
                try:
                    known[kind](data[:at] + field + data[at + len(field) :])
                except FaceswapError:
                    continue


if __name__ == "__main__":
    main()
