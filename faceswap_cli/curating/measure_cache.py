"""The measures of a whole faceset, kept so that the second look at it takes no time."""

import base64
import json
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.curating.measures import BINS, LOOK_BITS, Measures, measure
from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.faces.faceset import read_face
from faceswap_cli.faces.store import FaceFiles
from faceswap_cli.files import write_atomic
from faceswap_cli.progress import progress

VERSION = 1
"""Of what is measured; another one makes the cache worthless."""
MAX_BYTES = 2**30
_ARRAYS = {"colours": (np.float16, 3 * BINS), "look": (np.uint8, LOOK_BITS**2 // 8)}
_KINDS = {item.name: item.type for item in fields(Measures) if item.name not in _ARRAYS}


@dataclass
class Measured:
    """The faces of a folder by name, and what had to be left out."""

    faces: list[Measures] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Reason by file name."""
    num_new: int = 0
    """Faces that were not in the cache."""


def measure_faceset(files: FaceFiles, cache: Path, *, what: str) -> Measured:
    """Measure the pictures of a faceset, those that are new or changed, and keep what was found.

    A face is known by name, size and time of change. Stopped half way, what was measured
    is kept.

    Args:
        files: Of aligned pictures.
        cache: A JSON file; missing, damaged or of another version it is made anew.
        what: For the progress bar.
    """
    known, found = _read(cache), Measured()
    marks = {name: f"{name} {size} {when}" for name, (size, when) in files.versions().items()}
    kept = {name: known.get(mark) for name, mark in marks.items()}
    missing = [name for name in marks if kept[name] is None]
    try:
        for name, result in _measure_all(files, missing, what):
            if isinstance(result, Measures):
                kept[name] = result
                found.num_new += 1
            else:
                found.skipped[name] = result
    finally:
        if found.num_new:
            _write(cache, {mark: kept[name] for name, mark in marks.items()})
    found.faces = [face for face in kept.values() if face is not None]
    return found


def _measure_all(
    files: FaceFiles, names: list[str], what: str
) -> Iterable[tuple[str, Measures | str]]:
    with (
        progress(what, total=len(names), unit="face") as bar,
        ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="measure") as pool,
    ):
        try:
            results = pool.map(lambda name: _measure_one(files, name), names)
            for name, result in zip(names, results, strict=True):
                yield name, result
                bar.update()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _measure_one(files: FaceFiles, name: str) -> Measures | str:
    """Return the measures, or the reason why there are none."""
    try:
        found = measure(read_face(files, name))
        if not all(math.isfinite(getattr(found, number)) for number in _numbers()):
            raise MediaError("its face record holds numbers that are not finite")
    except FaceswapError as error:
        return error.what
    except OSError as error:
        return error.strerror or "cannot be read"
    except (np.linalg.LinAlgError, cv2.error, OverflowError):
        return "its face record holds numbers that fit no face"
    return found


def _numbers() -> list[str]:
    return [name for name, kind in _KINDS.items() if kind is float]


def _read(cache: Path) -> dict[str, Measures]:
    """Return the faces by name and mark; what is damaged is as if it were not there."""
    try:
        if cache.stat().st_size > MAX_BYTES:
            return {}
        held = json.loads(cache.read_bytes())
        if held["version"] != VERSION:
            return {}
        return {str(key): _from_plain(value) for key, value in held["faces"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _write(cache: Path, faces: Mapping[str, Measures | None]) -> None:
    plain = {key: _to_plain(face) for key, face in faces.items() if face is not None}
    write_atomic(cache, json.dumps({"version": VERSION, "faces": plain}).encode())


def _to_plain(face: Measures) -> dict[str, Any]:
    plain = {name: getattr(face, name) for name in _KINDS}
    packed: dict[str, NDArray[Any]] = {
        "colours": face.colours.astype(np.float16),
        "look": np.packbits(face.look),
    }
    return plain | {name: base64.b64encode(a.tobytes()).decode() for name, a in packed.items()}


def _from_plain(plain: dict[str, Any]) -> Measures:
    """Return a face, or raise ValueError, TypeError or KeyError."""
    values = {name: plain[name] for name in _KINDS}
    for name, kind in _KINDS.items():
        if kind is float and not math.isfinite(values[name]):
            raise ValueError(name)
        if kind is not float and not isinstance(values[name], str if kind is str else int):
            raise TypeError(name)
    arrays = {}
    for name, (dtype, length) in _ARRAYS.items():
        arrays[name] = np.frombuffer(base64.b64decode(plain[name], validate=True), dtype)
        if len(arrays[name]) != length:
            raise ValueError(name)
    return Measures(
        **values,
        colours=arrays["colours"].astype(np.float32),
        look=np.unpackbits(arrays["look"]).astype(np.bool_),
    )
