"""Measures of a face, and the orders that are made of them."""

import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from faceswap_cli.commands.curating import KEYS as KEYS_OF_THE_COMMAND
from faceswap_cli.curating.best import choose_best, share
from faceswap_cli.curating.chain import near_copies, nearest_chain, unlikeness
from faceswap_cli.curating.measure_cache import measure_faceset
from faceswap_cli.curating.measures import (
    Measures,
    colour_roots,
    look_of,
    measure,
    mouth_opening,
    share_outside,
)
from faceswap_cli.curating.orders import KEYS, cut, ranked
from faceswap_cli.faces.faceset import AlignedFace, write_aligned
from faceswap_cli.faces.store import FaceFolder
from faceswap_cli.geometry import Similarity
from faceswap_cli.imaging import decode_image, encode_image
from faceswap_cli.types import RgbImage
from tests.facesets import face68, record, write_faceset
from tests.made_faces import smooth_picture

SIZE_PX = 256


def picture(seed: int = 0) -> RgbImage:
    """Edges of all directions, as a face has them: patches of one colour each."""
    rng = np.random.default_rng(seed)
    image = np.full((SIZE_PX, SIZE_PX, 3), 120, np.uint8)
    for _ in range(250):
        x, y = rng.integers(0, SIZE_PX, 2).tolist()
        colour = [int(level) for level in rng.integers(40, 220, 3)]
        axes = tuple(rng.integers(4, 24, 2).tolist())
        cv2.ellipse(image, (x, y), axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    return image


def moved(image: RgbImage, length_px: int, angle_deg: float) -> RgbImage:
    """The picture as a camera sees it that moves so far while its shutter is open."""
    kernel = np.zeros((length_px, length_px), np.float32)
    centre = (length_px - 1) / 2
    step = np.array([np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))])
    for along in np.linspace(-centre, centre, 8 * length_px):
        x, y = np.rint(centre + along * step).astype(int)
        kernel[y, x] += 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def measured(image: RgbImage) -> Measures:
    face = AlignedFace(Path("000000_00.png"), record(0, size_px=len(image)))
    return measure(_Held(face.path, face.record, image))


class _Held(AlignedFace):
    """A face whose picture is in memory."""

    def __init__(self, path: Path, face_record: object, image: RgbImage) -> None:
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "record", face_record)
        object.__setattr__(self, "held", image)

    def image(self) -> RgbImage:
        held: RgbImage = self.__dict__["held"]
        return held


def made(name: str = "a.png", **values: object) -> Measures:
    """A face with these measures; all others are those of a flat picture."""
    plain = measured(np.full((64, 64, 3), 90, np.uint8))
    return replace(plain, name=name, **values)  # type: ignore[arg-type]


FLAT = made()


def some(count: int, seed: int = 0) -> list[Measures]:
    rng = np.random.default_rng(seed)
    return [
        replace(
            FLAT,
            name=f"{i:05d}.png",
            frame=i,
            yaw_deg=float(rng.normal(0, 25)),
            pitch_deg=float(rng.normal(0, 12)),
            sharpness=float(rng.uniform(0.1, 1)),
            colours=colour_roots(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)),
        )
        for i in range(count)
    ]


def test_blur_lowers_the_sharpness_step_by_step_and_light_does_not() -> None:
    image = picture()
    values = [measured(image).sharpness]
    values += [measured(cv2.GaussianBlur(image, (0, 0), s)).sharpness for s in (1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[3] < 0.5 * values[0]
    assert measured(image // 2).sharpness == pytest.approx(values[0], rel=0.05)
    noise = np.random.default_rng(0).normal(0, 4, image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert measured(noisy).sharpness == pytest.approx(values[0], rel=0.1)


def test_a_picture_enlarged_from_a_small_one_is_not_sharp() -> None:
    image = picture()
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    enlarged = np.asarray(cv2.resize(small, (SIZE_PX, SIZE_PX)), np.uint8)
    assert measured(enlarged).sharpness < 0.6 * measured(image).sharpness


@pytest.mark.parametrize("angle_deg", [0, 45, 90, 120])
def test_motion_in_any_direction_is_told_from_want_of_focus(angle_deg: float) -> None:
    image = picture()
    steady = measured(image).steadiness
    assert measured(moved(image, 15, angle_deg)).steadiness < 0.5 * steady
    assert measured(cv2.GaussianBlur(image, (0, 0), 3)).steadiness > 0.75 * steady


def test_hue_of_skin_does_not_jump_at_red() -> None:
    pink, orange = (
        np.full((64, 64, 3), rgb, np.uint8) for rgb in ((220, 150, 160), (220, 160, 130))
    )
    both = np.concatenate([pink[:, :32], orange[:, :32]], axis=1)
    hues = [measured(image).hue_deg for image in (pink, both, orange)]
    assert -15 < hues[0] < hues[1] < hues[2] < 25
    assert measured(both).brightness == pytest.approx(220 / 255, abs=0.01)


def test_what_lies_beyond_the_frame_is_counted_without_looking_at_pixels() -> None:
    half = Similarity(np.array([[1.0, 0.0, 32.0], [0.0, 1.0, 0.0]]))
    assert share_outside(half, 64, (64, 64)) == pytest.approx(0.5, abs=0.03)
    assert share_outside(half, 64, (20, 64)) == pytest.approx(1 - 20 / 64, abs=0.03)
    inside = Similarity(np.array([[1.0, 0.0, -5.0], [0.0, 1.0, -5.0]]))
    assert share_outside(inside, 64, (96, 96)) == 0.0


def test_mouth_opening_is_the_gap_by_the_width() -> None:
    points = face68()
    shut, width = mouth_opening(points), np.linalg.norm(points[48] - points[54])
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[lower] = points[upper] + [0, 0.5 * width]
    assert mouth_opening(points) == pytest.approx(0.5, abs=0.01)
    assert shut < 0.45


def test_look_survives_light_and_compression_and_tells_faces_apart() -> None:
    one, other = (
        cv2.cvtColor(smooth_picture(i, (256, 256), detail_px=20), cv2.COLOR_RGB2GRAY)
        for i in (0, 1)
    )
    darker = np.rint(0.8 * one + 10).astype(np.uint8)
    same = decode_image(encode_image(darker, ".jpg", jpeg_quality=60), "same")[..., 0]
    looks = [look_of(image.astype(np.float32)) for image in (one, same, other)]
    assert (looks[0] != looks[1]).sum() <= 4
    assert (looks[0] != looks[2]).sum() > 15


def test_chain_goes_to_the_nearest_and_visits_each_once() -> None:
    angles = np.random.default_rng(0).permutation(np.linspace(0, 1.5, 40))
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    start = int(np.argmin(angles))
    order = [start, *(set(range(40)) - {start})]
    chained = [order[index] for index, _ in nearest_chain(rows[order])]
    assert sorted(chained) == list(range(40))
    assert (np.diff(angles[chained]) > 0).all()


def test_chain_in_chunks_visits_each_once_and_goes_on_where_it_was() -> None:
    rows = np.stack([face.colours for face in some(50)])
    chained = [index for index, _ in nearest_chain(rows, chunk=20)]
    assert sorted(chained) == list(range(50))
    assert [index // 20 for index in chained] == sorted(index // 20 for index in chained)
    last, first = chained[19], chained[20]
    assert first == 20 + int(np.argmax(rows[20:40] @ rows[last]))


def test_unlikeness_is_the_mean_over_all_others() -> None:
    rows = np.stack([face.colours for face in some(9)])
    by_hand = [np.mean([1 - rows[i] @ rows[j] for j in range(9) if j != i]) for i in range(9)]
    np.testing.assert_allclose(unlikeness(rows), by_hand, atol=1e-6)
    assert unlikeness(rows[:1]).tolist() == [0.0]


def test_near_copies_need_the_same_look_and_the_same_pose() -> None:
    looks = np.zeros((5, 64), np.bool_)
    looks[1, :3] = True  # three bits: nearly the same
    looks[2, :30] = True  # another picture
    poses = np.zeros((5, 2))
    poses[3] = [0, 30]  # another pose
    groups = near_copies(looks, poses, most_bits=4, most_deg=2.0)
    assert groups == [[0, 1, 4]]


def test_share_is_even_and_makes_up_for_those_that_have_little() -> None:
    assert share([9, 9, 9], 6) == [2, 2, 2]
    assert share([1, 9, 9], 7) == [1, 3, 3]
    assert share([0, 2, 2], 100) == [0, 2, 2]
    assert sum(share([5, 1, 8, 3], 11)) == 11
    spread = share([1] * 10, 2)
    assert sum(spread) == 2
    assert spread[:5].count(1) == 1  # not both from one end


def test_best_covers_poses_evenly_and_takes_the_sharp_ones() -> None:
    frontal = [
        replace(face, yaw_deg=face.yaw_deg / 25, pitch_deg=face.pitch_deg / 12)
        for face in some(500)
    ]
    aside = [
        replace(face, name=f"side{i}", yaw_deg=40.0 + i, sharpness=0.01)
        for i, face in enumerate(some(10))
    ]
    chosen = [(frontal + aside)[i] for i in choose_best(frontal + aside, 40)]
    assert len(chosen) == len({face.name for face in chosen}) == 40
    assert sum(face.name.startswith("side") for face in chosen) >= 8
    ahead = [face.sharpness for face in chosen if not face.name.startswith("side")]
    assert min(ahead) > np.quantile([face.sharpness for face in frontal], 0.3)


def test_best_takes_all_if_more_are_wanted_and_any_beginning_is_even() -> None:
    faces = some(60)
    assert sorted(choose_best(faces, 1000)) == list(range(60))
    first = [faces[index] for index in choose_best(faces, 60)[:12]]
    assert np.ptp([face.yaw_deg for face in first]) > 60


@pytest.mark.parametrize("key", sorted(KEYS))
def test_every_order_has_every_face_once(key: str) -> None:
    faces = some(30)
    order = ranked(faces, key, best=10)
    assert sorted(place.face.name for place in order) == [face.name for face in faces]
    assert all(np.isfinite(place.value) for place in order)
    assert sum(place.is_kept for place in order) == (10 if key == "best" else 30)
    assert ranked([], key, best=10) == []


def test_the_command_knows_the_keys() -> None:
    assert sorted(KEYS_OF_THE_COMMAND) == sorted(KEYS)


def test_order_by_number_puts_what_is_wanted_first() -> None:
    faces = [made("blurred", sharpness=0.1, frame=0), made("sharp", sharpness=0.9, frame=1)]
    assert [place.face.name for place in ranked(faces, "blur")] == ["sharp", "blurred"]
    assert [place.value for place in ranked(faces, "source")] == [0, 1]


def test_cut_by_number_from_either_end_and_by_value() -> None:
    order = ranked([made(str(i), sharpness=i / 10, frame=i) for i in range(10)], "blur")

    def left(**how: float) -> list[str]:
        return [place.face.name for place in cut(order, **how) if place.is_kept]  # type: ignore[arg-type]

    assert left() == [str(i) for i in range(9, -1, -1)]
    assert left(keep=2) == ["9", "8"]
    assert left(drop=8) == ["9", "8"]
    assert left(below=0.8) == ["9", "8"]
    assert left(above=0.1) == ["1", "0"]
    assert left(keep=5, below=0.8, above=0.8) == ["8"]
    assert left(drop=99) == []


def test_second_look_measures_only_what_changed(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path, count=4).aligned("src")
    cache = tmp_path / "cache" / "measures.json"
    first = measure_faceset(FaceFolder(folder), cache, what="measure")
    again = measure_faceset(FaceFolder(folder), cache, what="measure")
    assert (first.num_new, again.num_new) == (4, 0)
    for one, other in zip(first.faces, again.faces, strict=True):
        for item in fields(Measures):
            left, right = _pair(one, other, item.name)
            np.testing.assert_allclose(left, right, rtol=2e-3)
    write_aligned(folder / "000001_00.png", picture()[:64, :64], record(1), jpeg_quality=95)
    (folder / "000002_00.png").unlink()
    third = measure_faceset(FaceFolder(folder), cache, what="measure")
    assert (third.num_new, len(third.faces)) == (1, 3)


def _pair(one: Measures, other: Measures, name: str) -> list[NDArray[np.float64]]:
    values = [getattr(face, name) for face in (one, other)]
    if isinstance(values[0], str):
        assert values[0] == values[1]
        return [np.zeros(1), np.zeros(1)]
    return [np.asarray(value, np.float64) for value in values]


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"version": 1}', '{"version": 0, "faces": {}}', "deep"]
)
def test_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    folder = write_faceset(tmp_path, count=2).aligned("src")
    cache = tmp_path / "measures.json"
    cache.write_text("[" * 100_000 if damage == "deep" else damage)
    assert measure_faceset(FaceFolder(folder), cache, what="measure").num_new == 2
    assert measure_faceset(FaceFolder(folder), cache, what="measure").num_new == 0


def test_numbers_of_the_cache_are_checked(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path, count=1).aligned("src")
    cache = tmp_path / "measures.json"
    measure_faceset(FaceFolder(folder), cache, what="measure")
    held = json.loads(cache.read_text())
    for key, value in (("sharpness", "x"), ("yaw_deg", float("nan")), ("look", ""), ("track", "1")):
        spoilt = json.loads(json.dumps(held))
        next(iter(spoilt["faces"].values()))[key] = value
        cache.write_text(json.dumps(spoilt))
        assert measure_faceset(FaceFolder(folder), cache, what="measure").num_new == 1, key


def test_unusable_pictures_are_named(tmp_path: Path) -> None:
    folder = write_faceset(tmp_path, count=2).aligned("src")
    (folder / "empty.png").write_bytes(b"")
    far = record(9).model_copy(update={"landmarks_crop": ((float("nan"), 0.0),) * 68})
    write_aligned(folder / "nan.png", picture()[:64, :64], far, jpeg_quality=95)
    found = measure_faceset(FaceFolder(folder), tmp_path / "c.json", what="measure")
    assert len(found.faces) == 2
    assert set(found.skipped) == {"empty.png", "nan.png"}
