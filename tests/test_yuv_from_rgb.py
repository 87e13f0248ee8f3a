"""RGB to samples and back: exact to the rounding, and off to no side, in either range."""

from dataclasses import replace
from typing import Any

import av
import numpy as np
import pytest

from faceswap_cli.media.colour import SWS_MATRICES, ColourTags
from faceswap_cli.media.conversion import Converter
from faceswap_cli.media.fields import FieldOrder
from faceswap_cli.media.orientation import Turn
from faceswap_cli.media.samples import find_layout, view_samples
from faceswap_cli.media.yuv_from_rgb import YuvConverter
from tests.awkward import woven
from tests.encoded import BT709, sample_values
from tests.made_faces import smooth_picture

FULL = replace(BT709, range=2)
BLOCK_PX = 16
PLANAR = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"]
OTHERS = ["nv12", "p010le", "yuv420p16le"]


def colours(dtype: Any = np.uint8) -> Any:
    """Blocks of one colour each, black and white among them."""
    top = np.iinfo(dtype).max
    flat = np.random.default_rng(0).integers(0, top + 1, (12, 16, 3))
    flat[0, :3] = [[top] * 3, [0] * 3, [top, 0, 0]]
    return flat.astype(dtype)


def in_blocks(flat: Any) -> Any:
    return flat.repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)


def means(samples: Any, step_xy: tuple[int, int]) -> Any:
    """The mean of each block, without its edge."""
    width, height = BLOCK_PX // step_xy[0], BLOCK_PX // step_xy[1]
    blocks = samples.reshape(12, height, 16, width).astype(float)
    return blocks[:, height // 4 : -height // 4, :, width // 4 : -width // 4].mean((1, 3))


@pytest.mark.parametrize("colour", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("pixel_format", [*PLANAR, *OTHERS])
def test_samples_are_those_of_the_standard_and_off_to_no_side(
    pixel_format: str, dtype: Any, colour: ColourTags
) -> None:
    if pixel_format == "yuvj420p" and colour.range == 1:
        pytest.skip("it is full by its name")
    flat, layout = colours(dtype), find_layout(pixel_format)
    assert layout is not None
    frame = YuvConverter(pixel_format, colour).convert(in_blocks(flat))
    assert frame.format.name == pixel_format
    bits = frame.format.components[0].bits
    expected = sample_values(flat / np.iinfo(dtype).max, colour, bits)
    steps = (1, 1), layout.step_xy, layout.step_xy
    for samples, values, step_xy in zip(view_samples(frame, layout), expected, steps, strict=True):
        found = means(samples / 2.0 ** (layout.bits - bits), step_xy)
        # Full-range chroma has half a step more above 255 than a sample can hold.
        errors = found - np.clip(values, 0, 2**bits - 1)
        coarse = 2 ** max(0, bits - 12)  # of 16 bits, swscale has 14
        assert abs(errors).max() < 0.7 * coarse
        assert abs(errors.mean()) < 0.2 * coarse


def test_alpha_has_all_its_steps() -> None:
    image = np.full((32, 256, 4), 200, np.uint8)
    image[..., 3] = np.arange(256)
    frame = YuvConverter("yuva420p", FULL).convert(image)
    assert frame.format.name == "yuva420p"
    alpha = np.frombuffer(frame.planes[3], np.uint8).reshape(32, -1)[:, :256]
    assert np.array_equal(alpha, image[..., 3])


@pytest.mark.parametrize("colour", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv444p10le", "yuv444p12le", "yuv420p10le"])
@pytest.mark.parametrize("deep", [False, True])
def test_pictures_are_read_as_the_standard_says(
    pixel_format: str, colour: ColourTags, deep: bool
) -> None:
    rgb = np.random.default_rng(1).random((12, 16, 3)) * 0.9 + 0.05
    rgb[0, 0] = 1.0
    layout = find_layout(pixel_format)
    assert layout is not None
    frame = av.VideoFrame(16 * BLOCK_PX, 12 * BLOCK_PX, pixel_format)
    values = sample_values(rgb, colour, layout.bits)
    steps = (1, 1), layout.step_xy, layout.step_xy
    for samples, wanted, (step_x, step_y) in zip(
        view_samples(frame, layout), values, steps, strict=True
    ):
        whole = wanted.repeat(BLOCK_PX // step_y, 0).repeat(BLOCK_PX // step_x, 1)
        samples[...] = np.rint(whole)
    image = Converter(colour, Turn(), deep=deep).whole(frame)
    errors = image[8::16, 8::16] / np.iinfo(image.dtype).max * 255 - rgb * 255
    rounded = 1.6 * 2.0 ** (8 - layout.bits) + (0 if deep else 0.5)  # of a sample; of a pixel
    assert abs(errors).max() < rounded
    assert abs(errors.mean()) < 0.12


@pytest.mark.parametrize("colour", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_many_passes_do_not_shift_colours(pixel_format: str, colour: ColourTags) -> None:
    converter, reader = YuvConverter(pixel_format, colour), Converter(colour, Turn())
    image = first = smooth_picture(3, (96, 64), detail_px=12.0)
    for _ in range(5):
        image = reader.whole(converter.convert(image))
    assert np.abs((image - first.astype(float)).mean((0, 1))).max() < 0.3


@pytest.mark.parametrize("colour", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [*SWS_MATRICES, 8])
def test_every_matrix_goes_both_ways(matrix: int, colour: ColourTags) -> None:
    tags = replace(colour, matrix=matrix)
    image = smooth_picture(3, (96, 64), detail_px=12.0)
    shown = Converter(tags, Turn()).whole(YuvConverter("yuv420p", tags).convert(image))
    assert np.abs(shown.astype(int) - image).mean() < 0.7


@pytest.mark.parametrize("colour", [BT709, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("order", ["tff", "bff"])
def test_fields_have_chroma_of_their_own(order: FieldOrder, colour: ColourTags) -> None:
    image = woven(order)[0]
    image[::2] = np.roll(image[::2], 20, axis=1)  # far apart
    reader = Converter(colour, Turn())
    mixed = reader.whole(YuvConverter("yuv420p", colour).convert(image))
    frame = YuvConverter("yuv420p", colour, field_order=order).convert(image)
    assert frame.interlaced_frame
    apart = np.abs(reader.whole(frame).astype(int) - image).mean()
    assert apart < 1.5
    assert np.abs(mixed.astype(int) - image).mean() > 4 * apart
