"""What a GPU would cut is what the CPU cuts."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from faceswap_cli.extracting.press import CpuPress, CudaPress, warp_on
from faceswap_cli.geometry import Similarity, warp
from faceswap_cli.imaging import decode_image
from faceswap_cli.media.reader import Frame
from tests.made_faces import made_record, smooth_picture


@pytest.mark.parametrize("scale", [1.3, 0.8, 0.3])
def test_the_warp_of_a_device_is_that_of_the_cpu(scale: float) -> None:
    image = smooth_picture(1, (150, 120), detail_px=2.0)
    turned = scale * np.array([[0.98, 0.2], [-0.2, 0.98]])
    out_from_image = Similarity(np.column_stack([turned, [-9.0, 7.0]]))
    ours = warp_on(torch.device("cpu"), image, out_from_image, size_px=64)
    theirs = warp(image, out_from_image, size_wh=(64, 64))
    assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs).max() <= 1


def test_a_part_of_a_frame_gives_the_same_picture_as_the_whole() -> None:
    image, record = smooth_picture(2, (96, 72)), made_record(0)
    whole = Frame(0, Fraction(0), Fraction(1), image)
    part = Frame(0, Fraction(0), Fraction(1), image[4:, 2:].copy(), (2, 4), (96, 72))
    pictures = [CpuPress(".png", 95).picture(frame, record) for frame in (whole, part)]
    of_whole, of_part = (decode_image(picture, "x")[10:-10, 10:-10] for picture in pictures)
    assert np.array_equal(of_whole, of_part)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_encodes_what_it_cut() -> None:
    image, record = smooth_picture(2, (96, 72)), made_record(0)
    frame = Frame(0, Fraction(0), Fraction(1), image)
    ours = decode_image(CudaPress(torch.device("cuda"), 95).picture(frame, record), "x")
    theirs = decode_image(CpuPress(".jpg", 95).picture(frame, record), "x")
    assert np.abs(ours.astype(int) - theirs).mean() < 3.0
