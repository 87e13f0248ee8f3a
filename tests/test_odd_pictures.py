"""Pictures as the world makes them: every kind comes out right, and no file brings us down."""

import io
import os
import random
import resource
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from faceswap_cli.config import TrainConfig
from faceswap_cli.errors import FaceswapError, MediaError
from faceswap_cli.faces.faceset import open_faceset, read_record, write_aligned
from faceswap_cli.faces.metadata import with_comment
from faceswap_cli.faces.store import FaceFolder
from faceswap_cli.imaging import decode_grey, decode_image, read_grey, read_image, write_image
from faceswap_cli.media.picture_header import MAX_PIXELS, read_header
from faceswap_cli.media.pictures import BadFrame, list_pictures, read_picture, read_picture_frames
from faceswap_cli.media.reader import Frame
from faceswap_cli.training.cutting import cut_face, cut_named
from faceswap_cli.types import RgbImage
from tests.facesets import blob, record

LEVELS = 2
"""Of 255, by which a lossy or converted picture may differ."""
ROWS, COLUMNS = np.mgrid[0:48, 0:64]
SMOOTH = np.stack([COLUMNS * 3 + 20, ROWS * 4 + 20, 230 - COLUMNS - ROWS], axis=-1).astype(np.uint8)
PICTURE = Image.fromarray(SMOOTH)
GREY = PICTURE.convert("L")
ALPHA = Image.fromarray((COLUMNS * 4).astype(np.uint8))
FINE = {"quality": 100, "subsampling": 0}


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(image: Image.Image) -> RgbImage:
    return np.asarray(image.convert("RGB"))


def with_alpha(image: Image.Image) -> Image.Image:
    made = image.copy()
    made.putalpha(ALPHA)
    return made


def of_16_bits(kind: str, *, alpha: bool = False) -> bytes:
    planes = [SMOOTH[..., ::-1], *([np.asarray(ALPHA)] if alpha else [])]
    _, data = cv2.imencode(kind, np.dstack(planes).astype(np.uint16) * 257)
    return data.tobytes()


def without_adobe(data: bytes) -> bytes:
    """Return a JPEG without the marker that says what its four inks mean."""
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack_from(">H", data, at + 2)[0] :]


def as_ycck(data: bytes) -> tuple[bytes, RgbImage]:
    """Return a JPEG whose inks are to be read as YCC and black, and what it shows."""
    changed = bytearray(data)
    changed[data.index(b"Adobe") + 11] = 2
    return bytes(changed), rgb(Image.open(io.BytesIO(changed)))


CMYK = PICTURE.convert("CMYK")
PALETTE, ONE_BIT = PICTURE.quantize(200), GREY.convert("1")
GREY_16 = Image.fromarray(np.asarray(GREY).astype(np.uint16) * 257)
KINDS: dict[str, tuple[bytes, RgbImage]] = {
    **{f"RGB {kind}": (saved(PICTURE, kind), SMOOTH) for kind in ("PNG", "TIFF", "BMP")},
    **{f"grey {kind}": (saved(GREY, kind), rgb(GREY)) for kind in ("PNG", "TIFF", "BMP", "JPEG")},
    **{f"palette {kind}": (saved(PALETTE, kind), rgb(PALETTE)) for kind in ("PNG", "TIFF", "BMP")},
    **{f"1 bit {kind}": (saved(ONE_BIT, kind), rgb(ONE_BIT)) for kind in ("PNG", "TIFF", "BMP")},
    **{f"16-bit grey {kind}": (saved(GREY_16, kind), rgb(GREY)) for kind in ("PNG", "TIFF")},
    **{f"16-bit {kind}": (of_16_bits(kind), SMOOTH) for kind in (".png", ".tiff")},
    "16-bit alpha": (of_16_bits(".png", alpha=True), SMOOTH),
    "alpha PNG": (saved(with_alpha(PICTURE), "PNG"), SMOOTH),
    "alpha WebP": (saved(with_alpha(PICTURE), "WEBP", lossless=True, exact=True), SMOOTH),
    "grey and alpha": (saved(with_alpha(GREY), "PNG"), rgb(GREY)),
    "palette, transparent": (saved(PALETTE, "PNG", transparency=3), rgb(PALETTE)),
    "WebP": (saved(PICTURE, "WEBP", lossless=True), SMOOTH),
    "big TIFF": (saved(PICTURE, "TIFF", big_tiff=True), SMOOTH),
    "TIFF, deflated": (saved(PICTURE, "TIFF", compression="tiff_adobe_deflate"), SMOOTH),
    "CMYK TIFF": (saved(CMYK, "TIFF"), rgb(CMYK)),
    "CMYK JPEG as Adobe inverts it": (saved(CMYK, "JPEG", **FINE), rgb(CMYK)),
    "CMYK JPEG": (without_adobe(saved(CMYK, "JPEG", **FINE)), rgb(CMYK)),
    "YCCK JPEG": as_ycck(saved(CMYK, "JPEG", **FINE)),
    "JPEG": (
        saved(PICTURE, "JPEG", **FINE),
        rgb(Image.open(io.BytesIO(saved(PICTURE, "JPEG", **FINE)))),
    ),
    "progressive JPEG": (
        saved(PICTURE, "JPEG", progressive=True, **FINE),
        rgb(Image.open(io.BytesIO(saved(PICTURE, "JPEG", **FINE)))),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_comes_out_in_its_colours(kind: str, tmp_path: Path) -> None:
    data, expected = KINDS[kind]
    path = tmp_path / "a.png"  # the content says what it is, not the name
    path.write_bytes(data)
    for image in (read_image(path), read_picture(path)):
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        assert np.abs(image.astype(int) - expected).max() <= LEVELS
    assert read_header(data, path).size_wh == (64, 48)


def test_a_transparent_tiff_is_as_over_black() -> None:
    image = decode_image(saved(with_alpha(PICTURE), "TIFF"), "a.tif")
    over_black = SMOOTH * (np.asarray(ALPHA)[..., None] / 255.0)
    assert np.abs(image - over_black).max() <= 1


def test_floating_point_is_0_to_1() -> None:
    _, data = cv2.imencode(".tiff", (SMOOTH[..., ::-1] / 255.0).astype(np.float32))
    assert np.abs(decode_image(data.tobytes(), "a.tif").astype(int) - SMOOTH).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    about = Image.Exif()
    about[0x112] = orientation
    options: dict[str, dict[str, Any]] = {"JPEG": FINE, "WEBP": {"lossless": True}}
    data = saved(PICTURE, kind, exif=about, **options.get(kind, {}))
    expected = rgb(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    image = decode_image(data, "")
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= LEVELS


def test_16_bits_are_rounded() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    _, data = cv2.imencode(".png", every)
    expected = np.rint(every / 257.0).astype(np.uint8)
    np.testing.assert_array_equal(decode_grey(data.tobytes(), ""), expected)
    np.testing.assert_array_equal(decode_image(data.tobytes(), "")[..., 1], expected)


@pytest.mark.parametrize("kind", ["LA", "RGBA", "P"])
def test_what_is_transparent_in_a_mask_is_no_face(kind: str) -> None:
    white = Image.new("L", (64, 48), 255)
    if kind == "P":  # one colour of the palette is transparent
        painted = Image.fromarray((np.asarray(ALPHA) > 100).astype(np.uint8) * 7, "P")
        painted.putpalette([255] * 768)
        data, expected = saved(painted, "PNG", transparency=0), (np.asarray(ALPHA) > 100) * 255
    else:
        data = saved(with_alpha(white.convert(kind.removesuffix("A"))), "PNG")
        expected = np.asarray(ALPHA)
    np.testing.assert_array_equal(decode_grey(data, ""), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_mask_may_be_of_any_kind(kind: str) -> None:
    assert np.abs(decode_grey(saved(GREY, kind), "").astype(int) - np.asarray(GREY)).max() <= LEVELS


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


def jpeg_that_claims(width: int, height: int, *, scans: int = 1) -> bytes:
    data = bytearray(saved(PICTURE, "JPEG", progressive=True))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, height, width)
    scan = data.index(b"\xff\xda")
    data[scan:scan] = data[scan : scan + 14] * (scans - 1)
    return bytes(data)


def patched(data: bytes, at: int, form: str, *values: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def tiff_that_claims(width: int, height: int, *, tag: int = 256) -> bytes:
    data = saved(PICTURE, "TIFF")
    (at,) = struct.unpack_from("<I", data, 4)
    for place in range(at + 2, at + 2 + 24, 12):
        value = width if struct.unpack_from("<H", data, place)[0] == 256 else height
        data = patched(data, place + 2, "<HII", 4, 1, value)
    if tag != 256:  # the size of its tiles, in place of two others
        for place, one in ((at + 2 + 48, tag), (at + 2 + 60, tag + 1)):
            data = patched(data, place, "<HHII", one, 4, 1, 60_000)
    return data


LOSSLESS = saved(PICTURE, "WEBP", lossless=True)
HUGE = {
    "PNG": (png_that_claims(100_000, 100_000), "100000x100000 pixels are 10000 megapixels"),
    "JPEG": (jpeg_that_claims(65_500, 65_500), "65500x65500 pixels are 4290 megapixels"),
    "JPEG scans": (jpeg_that_claims(8000, 8000, scans=900), "in 9[0-9][0-9] scans: takes too long"),
    "WebP": (patched(LOSSLESS, 21, "<I", 0x0FFFFFFF), "16384x16384 pixels are 268 megapixels"),
    "BMP": (patched(saved(PICTURE, "BMP"), 18, "<ii", 60_000, -60_000), "60000x60000 pixels"),
    "TIFF": (tiff_that_claims(4_000_000, 4_000_000), "4000000x4000000 pixels"),
    "TIFF tiles": (tiff_that_claims(64, 48, tag=322), "in tiles of 3600 megapixels"),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_picture_that_claims_to_be_enormous_is_not_decoded(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, expected = HUGE[kind]
    path = tmp_path / "bomb.png"
    path.write_bytes(data)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("a decoder was let at it"))
    for read in (read_image, read_grey, read_picture):
        with pytest.raises(MediaError, match=expected) as told:
            read(path)
        assert f"seen in: {path}" in str(told.value)
        assert "fix: " in str(told.value)


def test_the_limit_is_in_the_message() -> None:
    side = int(MAX_PIXELS**0.5)
    assert read_header(png_that_claims(side, side), "").size_wh == (side, side)
    with pytest.raises(MediaError, match="14143x14143 pixels are 200 megapixels, the limit is 200"):
        read_header(png_that_claims(side + 1, side + 1), "a.png")
    with pytest.raises(MediaError, match="its header says 0x5 pixels"):
        read_header(png_that_claims(0, 5), "a.png")


def test_a_hundred_megapixels_are_decoded_in_the_memory_they_take() -> None:
    data = saved(Image.new("L", (10_000, 10_000), 77), "JPEG")
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    image = decode_image(data, "a.jpg")
    assert image.shape == (10_000, 10_000, 3)
    assert image[9_999, 9_999].tolist() == [77] * 3
    took_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    # The decoder takes twice the picture; it is turned to RGB in place. A copy more is a third.
    assert took_kib < 2.6 * image.nbytes / 1024


WHOLE = {
    "PNG": saved(PICTURE, "PNG"),
    "JPEG": saved(PICTURE, "JPEG"),
    "progressive": saved(PICTURE, "JPEG", progressive=True),
    "WebP": LOSSLESS,
    "TIFF": saved(PICTURE, "TIFF"),
    "BMP": saved(PICTURE, "BMP"),
}
NO_PICTURES = {
    "empty": (b"", "0 bytes"),
    "text": (b"hello, this is a text", "not a picture: no PNG, JPEG, WebP, BMP or TIFF"),
    "GIF": (saved(PICTURE, "GIF"), "a GIF file, not PNG"),
    "AVIF": (b"\0\0\0\x1cftypavif" + bytes(50), "an? AVIF or HEIC file"),
    "zeros": (bytes(5000), "not a picture"),
    **{kind: (data[: len(data) * 7 // 10], "cut short") for kind, data in WHOLE.items()},
    **{f"head of {kind}": (data[:22], "header|cut short") for kind, data in WHOLE.items()},
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_what_cannot_be_decoded_says_file_and_reason(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, expected = NO_PICTURES[kind]
    path = tmp_path / "bad.jpg"
    path.write_bytes(data)
    for read in (read_image, read_grey, read_picture):
        with pytest.raises(MediaError, match=expected) as told:
            read(path)
        assert f"seen in: {path}" in str(told.value)
    assert "OpenCV" not in capfd.readouterr().err


def test_no_memory_for_a_picture_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cv2, "imdecode", fail)
    with pytest.raises(MediaError, match="there is no memory for its 64x48 pixels"):
        decode_image(WHOLE["PNG"], "a.png")


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "none")
    for name, expected in (
        ("pipe.jpg", "not a file"),
        ("folder.png", "not a file"),
        ("nowhere.png", "cannot be read: No such file"),
    ):
        for read in (read_image, read_grey, read_picture, read_record):
            with pytest.raises(MediaError, match=expected):
                read(tmp_path / name)
    assert open_faceset(tmp_path).skipped.keys() == {"pipe.jpg", "folder.png", "nowhere.png"}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # takes no room on the disk
    for read in (read_image, read_grey, read_picture, read_record):
        with pytest.raises(MediaError, match="3072 MiB: too large"):
            read(path)


def test_one_bad_picture_of_the_footage_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = {name: data for name, (data, _) in {**NO_PICTURES, **HUGE}.items()}
    for index, data in enumerate(bad.values()):
        (tmp_path / f"{2 * index}.png").write_bytes(data)
        (tmp_path / f"{2 * index + 1}.png").write_bytes(WHOLE["PNG"])
    items = list(read_picture_frames(list_pictures(tmp_path)))
    assert [type(item) for item in items] == [BadFrame, Frame] * len(bad)


def test_one_bad_face_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    text = record(0).model_dump_json()
    (tmp_path / "bomb.png").write_bytes(with_comment(png_that_claims(90_000, 90_000), text))
    cut = with_comment(saved(Image.new("RGB", (64, 64), "red"), "PNG"), text)
    (tmp_path / "cut.png").write_bytes(cut[:-40])
    write_aligned(tmp_path / "good.png", blob(64, (9, 99, 9), 0.0), record(0), jpeg_quality=95)
    files, config = FaceFolder(tmp_path), TrainConfig(resolution=32)
    with pytest.raises(MediaError, match="90000x90000 pixels are 8100 megapixels"):
        cut_named(files, "bomb.png", config)
    with pytest.raises(MediaError, match="a PNG cut short, or damaged"):
        cut_named(files, "cut.png", config)
    whole = cut_named(files, "good.png", config)
    masks = tmp_path / "mask"
    for data, expected in ((png_that_claims(90_000, 90_000), "8100"), (b"", "0 bytes")):
        masks.mkdir(exist_ok=True)
        (masks / "good.png").write_bytes(data)
        with pytest.raises(MediaError, match=expected) as told:
            cut_named(files, "good.png", config)
        assert f"seen in: {masks / 'good.png'}" in str(told.value)
    (masks / "good.png").unlink()
    assert cut_named(files, "good.png", config) == whole


def test_a_mask_of_another_size_is_the_same_mask(tmp_path: Path) -> None:
    path, config = tmp_path / "a.png", TrainConfig(resolution=64)
    write_aligned(path, blob(64, (9, 99, 9), 0.0), record(0), jpeg_quality=95)
    rows = []
    for side in (64, 256):
        y, x = (np.mgrid[0:side, 0:side] + 0.5) / side
        soft = np.rint(255.0 * np.exp(-40.0 * ((x - 0.4) ** 2 + (y - 0.55) ** 2))).astype(np.uint8)
        write_image(tmp_path / "m.png", soft)
        rows.append(np.frombuffer(cut_face(path, tmp_path / "m.png", config)[0], np.uint8))
    assert np.abs(rows[0].astype(int) - rows[1]).max() <= 2 * LEVELS
    write_image(tmp_path / "m.png", soft[:, :40])
    with pytest.raises(MediaError, match="its mask has 40x256 pixels, the picture 64 each way"):
        cut_face(path, tmp_path / "m.png", config)


def test_a_png_whose_lengths_lie_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenCV 5.0 asked for 4 GiB for the first of these, and took 20 s.
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("a decoder was let at it"))
    data = saved(PICTURE, "PNG")
    with pytest.raises(MediaError, match="a PNG cut short, or damaged"):
        decode_image(patched(data, 33, ">I", 0xFF000053), "a.png")
    text = struct.pack(">I4s", 3, b"zTXt") + b"k\0\0" + struct.pack(">I", zlib.crc32(b"zTXtk\0\0"))
    with pytest.raises(MediaError, match="a PNG with more than 20 texts"):
        decode_image(data[:33] + 21 * text + data[33:], "a.png")


@pytest.mark.parametrize("kind", WHOLE)
def test_mutated_pictures_are_errors_and_never_a_crash(kind: str) -> None:
    data, random_ = WHOLE[kind], random.Random(7)
    readers: list[Callable[[bytes, object], Any]] = [decode_image, decode_grey]
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, refused = time.monotonic(), 0
    for number in range(500):
        changed = bytearray(data[: random_.randrange(len(data))] if number % 3 == 0 else data)
        reach = len(changed) if number % 2 else min(len(changed), 120)  # half of them in the header
        for _ in range(random_.randrange(1, 6) if reach else 0):
            changed[random_.randrange(reach)] = random_.choice((0, 255, random_.randrange(256)))
        for read in readers:
            try:
                read(bytes(changed), "a")
            except FaceswapError as error:
                assert error.what
                refused += 1
    assert refused > 200
    assert time.monotonic() - started < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1_000_000
