"""What DeepFaceLab and faceswap write, made here with Python's own pickler and OpenCV.

Nothing of our readers and writers is used: they are not to be their own judges.
"""

import pickle
import struct
import sys
import types
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faceswap_cli.faces.templates import ALIGNED_INDICES, FACE_TYPES, MEAN_FACE
from faceswap_cli.geometry import estimate_similarity
from faceswap_cli.types import Points, RgbImage
from tests.made_faces import face_at, smooth_picture

FRAME_WH = (160, 120)
SIDE = 96


class SampleType(IntEnum):
    FACE = 1


class FaceType(IntEnum):
    WHOLE_FACE = 4


def dfl_matrix(landmarks: Points, side: int, face_type: str = "whole_face") -> NDArray[np.float64]:
    """The reference, 2.2: three corners of the square on the frame go to the picture's."""
    kind = FACE_TYPES[face_type]
    frame_from_unit = estimate_similarity(landmarks[list(ALIGNED_INDICES)], MEAN_FACE).inverse()
    low = np.array([0.5, 0.5 - kind.up]) - kind.side / 2
    corners = low + np.array([[0, 0], [1, 0], [1, 1]]) * kind.side
    there = np.array([[0, 0], [side, 0], [side, side]], np.float32)
    found = cv2.getAffineTransform(frame_from_unit.apply(corners).astype(np.float32), there)
    return np.asarray(found, np.float64)


def frame_and_landmarks(
    number: int = 0, size_wh: tuple[int, int] = FRAME_WH
) -> tuple[RgbImage, Points]:
    centre = (size_wh[0] / 2 + number, size_wh[1] / 2)
    return smooth_picture(number, size_wh), face_at(centre, 30.0)


def dfl_dict(number: int = 0, **changes: Any) -> dict[str, Any]:
    """What DeepFaceLab keeps of a face: landmarks as lists, the rest as arrays."""
    _, landmarks = frame_and_landmarks(number)
    matrix = dfl_matrix(landmarks, SIDE)
    known: dict[str, Any] = {
        "face_type": "whole_face",
        "landmarks": (landmarks @ matrix[:, :2].T + matrix[:, 2]).tolist(),
        "source_filename": f"{number + 1:05d}.png",
        "source_rect": np.array([60, 40, 100, 80]),
        "source_landmarks": landmarks.tolist(),
        "image_to_face_mat": matrix,
        "eyebrows_expand_mod": 1.0,
    }
    return {key: value for key, value in {**known, **changes}.items() if value is not None}


def crop_of(number: int = 0) -> RgbImage:
    """The picture DeepFaceLab would cut, but for its interpolation."""
    frame, landmarks = frame_and_landmarks(number)
    matrix = dfl_matrix(landmarks, SIDE)
    return np.asarray(cv2.warpAffine(frame, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC), np.uint8)


def old_pickle(value: Any) -> bytes:
    """As numpy 1 would have pickled it: its modules had other names."""
    data = pickle.dumps(value, 3)
    return data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def dfl_jpeg(
    known: Mapping[str, Any] | bytes | None = None, image: RgbImage | None = None
) -> bytes:
    """An aligned .jpg; `known` may be the pickle itself."""
    payload = known if isinstance(known, bytes) else old_pickle(known or dfl_dict())
    crop = crop_of() if image is None else image
    _, encoded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    data = bytes(encoded)
    end = 4 + struct.unpack_from(">H", data, 4)[0]  # of APP0
    return data[:end] + b"\xff\xef" + struct.pack(">H", len(payload) + 2) + payload + data[end:]


def dfl_pak(pictures: Mapping[str, bytes], *, last: int | None = None, **changes: Any) -> bytes:
    """A faceset.pak of pictures by name; "PERSON/NAME" if packed for several people."""
    index = [_sample(name) | changes for name in pictures]
    with _their_modules():
        listed = pickle.dumps(index, 4)
    head = struct.pack("<QQ", 1, len(listed)) + listed
    offsets, at = [], 0
    for data in pictures.values():
        offsets.append(at)
        at += len(data)
    end = len(head) + 8 * (len(pictures) + 1) + at  # the mistake: from the file's beginning
    offsets.append(end if last is None else last)
    return head + struct.pack(f"<{len(offsets)}Q", *offsets) + b"".join(pictures.values())


def _sample(name: str) -> dict[str, Any]:
    person, _, base = name.rpartition("/")
    return {
        "sample_type": SampleType.FACE,
        "filename": base,
        "face_type": FaceType.WHOLE_FACE,
        "shape": (SIDE, SIDE, 3),
        "landmarks": dfl_dict()["landmarks"],
        "seg_ie_polys": {"polys": []},
        "xseg_mask": None,
        "xseg_mask_compressed": np.frombuffer(b"mask", np.uint8),
        "eyebrows_expand_mod": 1.0,
        "source_filename": "00001.png",
        "person_name": person or None,
    }


@contextmanager
def _their_modules() -> Iterator[None]:
    """Let the enumerations be found where DeepFaceLab has them, while something is pickled."""
    places = {SampleType: "samplelib.Sample", FaceType: "facelib.FaceType"}
    names = [name for place in places.values() for name in (place.split(".")[0], place)]
    try:
        for kind, place in places.items():
            for name in (place.split(".")[0], place):
                sys.modules[name] = types.ModuleType(name)
            setattr(sys.modules[place], kind.__name__, kind)
            kind.__module__ = place
        yield
    finally:
        for kind in places:
            kind.__module__ = __name__
        for name in names:
            sys.modules.pop(name, None)


def faceswap_face(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A face as faceswap keeps it, with a mask of the upper half of its crop."""
    _, landmarks = frame_and_landmarks(number)
    mask_from_frame = dfl_matrix(landmarks, 32, "full")
    mask = np.zeros((32, 32), np.uint8)
    mask[:16] = 255
    return {
        "x": 60,
        "y": 40,
        "w": 40,
        "h": 41,
        "landmarks_xy": landmarks.astype(np.float32).tolist(),
        "mask": {
            "bisenet-fp_face": {
                "mask": zlib.compress(mask.tobytes()),
                "affine_matrix": mask_from_frame.tolist(),
                "interpolator": 1,
                "stored_size": 32,
                "stored_centering": "face",
            }
        },
        "identity": {"t-face": [0.25] * 8},
    } | changes


def faceswap_png(face: Mapping[str, Any] | None = None, text: str | None = None) -> bytes:
    """A face PNG with its header; `text` may be the header itself."""
    header = {
        "alignments": dict(face or faceswap_face()),
        "source": {
            "alignments_version": 2.4,
            "original_filename": "data_dst_000001_0.png",
            "face_index": 0,
            "source_filename": "data_dst_000001.mp4",
            "source_is_video": True,
            "source_frame_dims": (FRAME_WH[1], FRAME_WH[0]),
        },
    }
    _, encoded = cv2.imencode(".png", smooth_picture(1, (32, 32)))
    data = bytes(encoded)
    written = (repr(header) if text is None else text).encode()
    payload = b"faceswap\x00\x00\x00\x00\x00" + written
    check = struct.pack(">I", zlib.crc32(b"iTXt" + payload))
    chunk = struct.pack(">I", len(payload)) + b"iTXt" + payload + check
    return data[:33] + chunk + data[33:]


def fsa(frames: Mapping[str, Any] | None = None, *, version: float = 2.4) -> bytes:
    """An alignments file."""
    faces = [faceswap_face() | {"thumb": list(range(200))}]
    known = frames or {"data_dst_000001.mp4": {"faces": faces, "video_meta": {}}}
    return zlib.compress(pickle.dumps({"__meta__": {"version": version}, "__data__": known}))
