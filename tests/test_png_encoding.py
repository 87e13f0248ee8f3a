"""What we write as PNG, read by a library that is not ours."""

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest

from faceswap_cli.media.png_encoding import encode_png

TURN = {1: None, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}


def picture(shape: tuple[int, ...], dtype: type) -> Any:
    """Return noise on a ramp: every byte occurs, and neighbours are alike."""
    rng = np.random.default_rng(len(shape) + shape[0])
    ramp = np.linspace(0, np.iinfo(dtype).max, int(np.prod(shape))).reshape(shape)
    return (ramp + rng.integers(0, 9, shape)).astype(np.int64).astype(dtype)


def decoded(data: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    turn = TURN[image.shape[2] if image.ndim == 3 else 1]
    return image if turn is None else cv2.cvtColor(image, turn)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 33), (5, 7, 3), (33, 1, 3), (1, 9, 4)])
def test_another_library_reads_every_value_as_it_was(shape: tuple[int, ...], dtype: type) -> None:
    image = picture(shape, dtype)
    found = decoded(encode_png(image))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, image)


def test_a_part_of_a_larger_picture_is_written_as_what_it_shows() -> None:
    whole = picture((20, 30, 3), np.uint8)
    np.testing.assert_array_equal(decoded(encode_png(whole[3:17, 5:21])), whole[3:17, 5:21])


def test_numbers_of_another_byte_order_are_the_same_picture() -> None:
    image = picture((6, 8), np.uint16)
    np.testing.assert_array_equal(decoded(encode_png(image.astype(">u2"))), image)


def test_every_chunk_has_the_checksum_that_strict_readers_ask_for() -> None:
    data = encode_png(picture((40, 30, 3), np.uint8))
    kinds, start = [], 8
    while start < len(data):
        end = start + 12 + struct.unpack_from(">I", data, start)[0]
        kinds.append(data[start + 4 : start + 8])
        assert struct.unpack(">I", data[end - 4 : end]) == (zlib.crc32(data[start + 4 : end - 4]),)
        start = end
    assert (kinds, start) == ([b"IHDR", b"IDAT", b"IEND"], len(data))


def test_a_noisy_picture_is_hardly_larger_than_by_the_fast_way_of_libpng() -> None:
    y, x = np.mgrid[:200, :300].astype(np.float64)
    smooth = np.stack([np.sin(x / 40), np.cos(y / 30), np.sin((x + y) / 70)], axis=2)
    noise = np.random.default_rng(0).normal(0.0, 1.5, smooth.shape)
    image = np.rint(120.0 + 80.0 * smooth + noise).astype(np.uint8)
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    _, of_libpng = cv2.imencode(".png", image, fast)
    assert len(encode_png(image)) < 1.3 * len(of_libpng)


def test_a_mask_of_nothing_takes_next_to_no_bytes() -> None:
    assert len(encode_png(np.zeros((1080, 1920), np.uint8))) < 20_000
