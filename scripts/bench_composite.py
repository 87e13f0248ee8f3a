"""How long it takes to put one face into one frame, beside DeepFaceLab's steps in plain NumPy.

One core. All rows take one turn each in every round, so that what disturbs the machine disturbs
all of them; the best round is the least disturbed. The network is left out, reading and writing
files too.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from faceswap_cli.faces.templates import MEAN_FACE
from faceswap_cli.imaging import to_float
from faceswap_cli.masks import hull_mask
from faceswap_cli.merging.compose import paste_faces
from faceswap_cli.merging.cut import Cut, cut_face
from faceswap_cli.merging.look import Drawn, Look, ModeName
from faceswap_cli.merging.masking import face_box, face_mask
from faceswap_cli.merging.recolour import measure_colour, recolour
from faceswap_cli.types import FloatImage, Points, RgbImage

SIZE_WH, FACE_PX, CROPS_PX = (1080, 1920), 173.0, (128, 256)
"""Of the frame; of the face, whose box then has as many pixels as one of 256x358; of what models
draw: DeepFaceLab's default is 128."""
WARM_UP = 2
LOOK = Look(mask="hull*learned", jaw=8.0, erode=1.0, feather=8.0, light="linear")

Row = tuple[str, float, str]
Task = Callable[[], object]


def bench_composite(rounds: int) -> Iterator[Row]:
    """Time every mode, and the parts of the usual one."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    made = {crop_px: made_up(crop_px) for crop_px in CROPS_PX}
    frame, cut, drawn = made[CROPS_PX[0]]
    box = face_box(drawn, LOOK)
    yield "box of the face, width", float(box.size_wh[0]), "px"
    yield "box of the face, height", float(box.size_wh[1]), "px"
    yield "load average", os.getloadavg()[0], ""
    found = tasks(frame, cut, drawn)
    for crop_px, (_, other_cut, other) in made.items():
        found |= tasks_of_a_crop(frame, other_cut, other, name=f"crop of {crop_px} px")
    for name, times in timed(found, rounds).items():
        yield f"{name}, best", 1000.0 * min(times), "ms"
        yield f"{name}, median", 1000.0 * statistics.median(times), "ms"


def tasks(frame: RgbImage, cut: Cut, drawn: Drawn) -> dict[str, Task]:
    """Return what is timed, by its name."""

    def paste(look: Look) -> Task:
        return lambda: paste_faces(frame, [drawn], look)

    found: dict[str, Task] = {
        "copy of the frame": frame.copy,
        "mask": lambda: face_mask(drawn, face_box(drawn, LOOK), LOOK),
        "overlay, signal": paste(replace(LOOK, light="signal")),
    }
    modes: tuple[ModeName, ...] = get_args(ModeName)
    found |= {f"{mode}, linear light": paste(replace(LOOK, mode=mode)) for mode in modes}
    deep = frame.astype(np.uint16) * np.uint16(257)
    found["overlay, linear light, 16 bits"] = lambda: paste_faces(deep, [drawn], LOOK)
    return found


def tasks_of_a_crop(frame: RgbImage, cut: Cut, drawn: Drawn, *, name: str) -> dict[str, Task]:
    """Return what takes longer, the larger the face is that a model draws."""

    def whole(look: Look) -> Task:
        return lambda: paste_faces(frame, [replace(drawn, face=coloured(cut, drawn))], look)

    return {
        f"{name}: rct": lambda: coloured(cut, drawn),
        f"{name}: overlay + rct, linear light": whole(LOOK),
        f"{name}: overlay + rct, signal": whole(replace(LOOK, light="signal")),
        f"{name}: DeepFaceLab's steps": lambda: plain_overlay(frame, cut, drawn),
    }


def timed(found: dict[str, Task], rounds: int) -> dict[str, list[float]]:
    """Run all tasks in turn, and return their times, seconds."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for turn in range(WARM_UP + rounds):
        for name, task in found.items():
            began = time.perf_counter()
            task()
            if turn >= WARM_UP:
                times[name].append(time.perf_counter() - began)
    return times


def made_up(crop_px: int) -> tuple[RgbImage, Cut, Drawn]:
    """Return a frame of soft blobs, a face cut out of it, and another one that was drawn."""
    noise = np.random.default_rng(0).random((*SIZE_WH[::-1], 3), dtype=np.float32)
    blobs = cv2.GaussianBlur(noise, (0, 0), 8.0)
    frame = np.asarray(cv2.normalize(blobs, None, 0, 255, cv2.NORM_MINMAX), np.uint8)
    cut = cut_face(frame, made_up_landmarks(), face_type="whole_face", size_px=crop_px)
    outline = to_float(hull_mask(cut.crop_from_frame.apply(cut.landmarks), (crop_px, crop_px)))
    drawn = Drawn(
        np.ascontiguousarray(to_float(cut.image)[:, ::-1]),
        cut.landmarks,
        cut.crop_from_frame,
        cut.face_px,
        {"learned_src": outline, "learned_dst": outline},
    )
    return frame, cut, drawn


def made_up_landmarks() -> Points:
    """Return the mean face, with a jaw and lips around, in the middle of the frame."""
    unit = np.zeros((68, 2))
    unit[17:49], unit[54] = MEAN_FACE[:32], MEAN_FACE[32]
    angle = np.linspace(np.pi, 0.0, 17)
    unit[:17] = np.stack([0.5 + 0.65 * np.cos(angle), 0.25 + 1.1 * np.sin(angle)], axis=1)
    around = np.linspace(-np.pi, np.pi, 20)
    lips = np.stack([0.5 + 0.24 * np.cos(around), 0.85 + 0.1 * np.sin(around)], axis=1)
    unit[49:54], unit[55:68] = lips[1:6], lips[7:]
    middle = np.array(SIZE_WH) / 2.0 + np.array([0.3, 0.4])
    return np.asarray((unit - 0.5) * FACE_PX + middle, np.float64)


def coloured(cut: Cut, drawn: Drawn) -> FloatImage:
    """Return what was drawn in the colours of the footage, as merge does it."""
    with torch.inference_mode():
        face = torch.from_numpy(drawn.face).permute(2, 0, 1)[None]
        footage = torch.from_numpy(cut.image).permute(2, 0, 1)[None].float() / 255.0
        region = torch.from_numpy(cut.region)[None, None]
        numbers = measure_colour("rct", face, region, footage, region)
        image = recolour("rct", face, numbers)[0].permute(1, 2, 0).contiguous()
    return np.asarray(image.numpy(), np.float32)


def plain_overlay(frame: RgbImage, cut: Cut, drawn: Drawn) -> NDArray[np.uint8]:
    """Do what DeepFaceLab's merger does for mode overlay, colour rct: in float, on whole frames.

    The mask is prepared at four times the side of the crop, in a margin of one side; then mask
    and face are brought to the size of the frame, and all of the frame is mixed.
    """
    side, matrix = len(drawn.face), drawn.crop_from_frame.matrix
    background = frame.astype(np.float32) / 255.0
    footage = cv2.warpAffine(background, matrix, (side, side), flags=cv2.INTER_CUBIC).clip(0, 1)
    mask = drawn.masks["learned_src"] * drawn.masks["learned_dst"]
    mask = cv2.resize(mask, (4 * side, 4 * side), interpolation=cv2.INTER_CUBIC)
    mask = np.pad(mask, side)
    radius, blur_px = 10, 41
    mask = cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (radius, radius)))
    clip = side + blur_px // 2
    mask[:clip], mask[-clip:], mask[:, :clip], mask[:, -clip:] = 0, 0, 0, 0
    mask = cv2.GaussianBlur(mask, (blur_px, blur_px), 0)[side:-side, side:-side].clip(0, 1)
    mask = np.ascontiguousarray(mask)
    inverse = cv2.WARP_INVERSE_MAP | cv2.INTER_CUBIC
    grown = np.array(matrix) * 4.0
    alpha = cv2.warpAffine(mask, grown, frame.shape[1::-1], flags=inverse).clip(0, 1)
    alpha[alpha < 1.0 / 255.0] = 0.0
    area = (cv2.resize(mask, (side, side)) > 0)[..., None]
    face = plain_rct(drawn.face, footage, area)
    placed = frame.astype(np.float32)
    cv2.warpAffine(
        face, matrix, frame.shape[1::-1], placed, flags=inverse, borderMode=cv2.BORDER_TRANSPARENT
    )
    mixed = background * (1.0 - alpha[..., None]) + placed.clip(0, 1) * alpha[..., None]
    return np.asarray(mixed * 255.0, np.uint8)


def plain_rct(face: FloatImage, footage: FloatImage, area: NDArray[np.bool_]) -> FloatImage:
    """Match mean and spread in CIELAB."""
    first, second = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (face, footage))
    mine, theirs = (np.where(area, lab, 0.0).reshape(-1, 3) for lab in (first, second))
    spread = theirs.std(axis=0) / mine.std(axis=0)
    lab = (first - mine.mean(axis=0)) * spread + theirs.mean(axis=0)
    lab = np.clip(lab, [0, -127, -127], [100, 127, 127]).astype(np.float32)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1), np.float32)
